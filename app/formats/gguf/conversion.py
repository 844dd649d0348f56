"""A model on its way into a GGUF file: the plan, from either kind of source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.core.errors import Unsupported
from app.core.plan import ImportanceFacts, Plan, PlannedTensor
from app.core.recipe import Recipe
from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.formats.base import Conversion, check_percentile
from app.formats.gguf.choice import OUTPUT, Choice, Chooser, Matrix, is_quantizable
from app.formats.gguf.entries import with_entries
from app.formats.gguf.header import Metadata, TensorEntry
from app.formats.gguf.layout import lay_out
from app.formats.gguf.metadata import recipe_metadata
from app.formats.gguf.recipes import RECIPES
from app.formats.gguf.rules import GgufRecipe, Shape
from app.formats.gguf.wishes import Wishes, check_covered, check_importance, plan_notes, uncovered
from app.models.architectures.changes import AS_IS, Change
from app.models.base import Checkpoint
from app.models.gguf_header import GgufValue
from app.models.named_weights import StoredTensor

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Target:
    """One tensor of the result, before a recipe is applied."""

    name: str
    shape: tuple[int, ...]
    sources: tuple[str, ...]
    change: Change = AS_IS
    """What happens to the sources on the way."""
    kept: str = "F32"
    """Encoding where it is no matrix of weights."""
    values: tuple[float, ...] = ()
    """Its content, where it is a vector that is computed instead of read."""


class GgufConversion(Conversion):
    """Plans a file and reads its rows; each kind of source says what the targets are."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        targets: Sequence[Target],
        metadata: Mapping[str, GgufValue],
        notes: tuple[str, ...],
    ) -> None:
        self._checkpoint = checkpoint
        self._targets = {target.name: target for target in targets}
        self._metadata = metadata
        self._plain_metadata: Metadata | None = None
        self._notes = notes

    @override
    def plan(self, recipe: Recipe, importance: ImportanceFacts | None = None) -> Plan:
        gguf = _find(recipe.preset)
        check_percentile(recipe, has_ranges=False)
        wishes = Wishes.of(recipe)
        choices = self._choices(gguf, wishes)
        if importance is not None:
            check_covered(gguf, choices, importance)
        entries = [_entry(self._targets[name], choice) for name, choice in choices.items()]
        files, places = lay_out(
            self._encoded_metadata(recipe) + recipe_metadata(gguf.file_type, importance),
            entries,
            recipe.split_bytes,
        )
        tensors = tuple(
            PlannedTensor(
                entry.name,
                entry.shape,
                choice.encoding,
                place.offset,
                entry.nbytes,
                self._targets[entry.name].sources,
                choice.wanted,
                place.file,
            )
            for entry, choice, place in zip(entries, choices.values(), places, strict=True)
        )
        notes = (*plan_notes(gguf, wishes, tensors, files), *uncovered(tensors, importance))
        return Plan(gguf.preset.name, tensors, files, (*self._notes, *notes))

    @override
    def rows(self, tensor: PlannedTensor, start: int, stop: int) -> Tensor:
        import torch

        target = self._targets[tensor.name]
        if target.values:
            return torch.tensor([target.values], dtype=torch.float32)
        sources = [StoredTensor(self._checkpoint, name) for name in tensor.sources]
        return target.change.rows(sources, start, stop).to(torch.float32)

    @override
    def row_step(self, tensor: PlannedTensor) -> int:
        return self._targets[tensor.name].change.together(tensor.shape)

    @override
    def source_bytes(self, tensor: PlannedTensor) -> int:
        return sum(self._checkpoint.tensors[name].nbytes for name in tensor.sources)

    def _choices(self, gguf: GgufRecipe, wishes: Wishes) -> Mapping[str, Choice]:
        """What every target gets, in their order."""
        shape = Shape.of(self._metadata, self._targets, importance=bool(wishes.recipe.importance))
        targets = self._targets.values()
        matrices = [
            Matrix(target.name, target.shape)
            for target in targets
            if is_quantizable(target.name, target.shape, shape.architecture)
            and not (target.name == OUTPUT and wishes.recipe.leave_output)
        ]
        wishes.check(self._targets, [matrix.name for matrix in matrices])
        chooser = Chooser(gguf, wishes.recipe, wishes.overrides, shape)
        choices = chooser.choose(self._targets, matrices)
        if not shape.importance:
            check_importance(gguf, choices)
        return {target.name: choices.get(target.name) or self._kept(target) for target in targets}

    def _kept(self, target: Target) -> Choice:
        """What a tensor gets that is not quantized; the output layer stays as it is stored."""
        stored = self._checkpoint.tensors[target.sources[0]].dtype if target.sources else ""
        return Choice(stored if target.name == OUTPUT and stored in ENCODINGS else target.kept)

    def _encoded_metadata(self, recipe: Recipe) -> Metadata:
        if recipe.metadata:
            return Metadata.of(with_entries(self._metadata, recipe.metadata))
        if self._plain_metadata is None:
            self._plain_metadata = Metadata.of(self._metadata)
        return self._plain_metadata


def _find(preset: str) -> GgufRecipe:
    for recipe in RECIPES:
        if recipe.preset.name == preset:
            return recipe
    raise Unsupported(
        f"There is no GGUF recipe called {preset!r}.",
        f"Choose one of: {', '.join(recipe.preset.name for recipe in RECIPES)}.",
    )


def _entry(target: Target, choice: Choice) -> TensorEntry:
    encoding = ENCODINGS[choice.encoding]
    assert isinstance(encoding, Block)
    return TensorEntry(target.name, target.shape, encoding.ggml_id, encoding.nbytes(target.shape))

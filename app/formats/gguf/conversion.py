"""A model on its way into a GGUF file: the plan, from either kind of source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from typing_extensions import override

from app.core.errors import Unsupported
from app.core.plan import Plan, PlannedTensor
from app.core.recipe import Recipe
from app.core.words import size
from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.formats.base import Conversion
from app.formats.gguf.header import Metadata, TensorEntry, encode_header, padded
from app.formats.gguf.metadata import recipe_metadata
from app.formats.gguf.recipes import RECIPES, GgufRecipe, Shape, choose, is_quantizable
from app.models.architectures.changes import AS_IS, Change
from app.models.base import Checkpoint
from app.models.description import Description
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
        description: Description,
        targets: Sequence[Target],
        metadata: Mapping[str, GgufValue],
        notes: tuple[str, ...],
    ) -> None:
        dimensions = description.dimensions
        self._checkpoint = checkpoint
        self._targets = {target.name: target for target in targets}
        self._metadata = Metadata.of(metadata)
        self._notes = notes
        self._shape = Shape(
            description.architecture.gguf,
            dimensions.layers,
            dimensions.heads // dimensions.kv_heads,
            description.tied,
        )

    @override
    def plan(self, recipe: Recipe) -> Plan:
        gguf = _find(recipe.preset)
        tensors = []
        offset = 0
        for target in self._targets.values():
            encoding, wanted = self._choose(gguf, target, recipe.pure)
            nbytes = _block(encoding).nbytes(target.shape)
            tensors.append(
                PlannedTensor(
                    target.name, target.shape, encoding, offset, nbytes, target.sources, wanted
                )
            )
            offset += padded(nbytes)
        header = encode_header(
            self._metadata + recipe_metadata(gguf.file_type),
            [TensorEntry(t.name, t.shape, _block(t.encoding).ggml_id, t.nbytes) for t in tensors],
        )
        return Plan(
            gguf.preset.name,
            tuple(replace(tensor, offset=len(header) + tensor.offset) for tensor in tensors),
            len(header) + offset,
            header,
            (*self._notes, *_fallback_notes(tensors)),
        )

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

    def _choose(self, recipe: GgufRecipe, target: Target, pure: bool) -> tuple[str, str]:
        if not is_quantizable(target.name, target.shape):
            return target.kept, ""
        return choose(recipe, target.name, target.shape[-1], self._shape, pure=pure)


def _find(preset: str) -> GgufRecipe:
    for recipe in RECIPES:
        if recipe.preset.name == preset:
            return recipe
    raise Unsupported(
        f"There is no GGUF recipe called {preset!r}.",
        f"Choose one of: {', '.join(recipe.preset.name for recipe in RECIPES)}.",
    )


def _fallback_notes(tensors: Sequence[PlannedTensor]) -> tuple[str, ...]:
    """A sentence for each pair of encodings, the wanted one and what took its place."""
    groups: dict[tuple[str, str], list[PlannedTensor]] = {}
    for tensor in tensors:
        if tensor.wanted:
            groups.setdefault((tensor.wanted, tensor.encoding), []).append(tensor)
    return tuple(
        f"{len(group)} of {len(tensors)} tensors {'has' if len(group) == 1 else 'have'} rows that "
        f"do not divide by {_block(wanted).block}: {encoding} instead of {wanted}, "
        f"{size(sum(_extra_bytes(tensor) for tensor in group))} more."
        for (wanted, encoding), group in groups.items()
    )


def _extra_bytes(tensor: PlannedTensor) -> float:
    return tensor.nbytes - tensor.weights * _block(tensor.wanted).bits / 8


def _block(encoding: str) -> Block:
    found = ENCODINGS[encoding]
    assert isinstance(found, Block)
    return found

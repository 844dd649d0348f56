"""A model folder on its way into another folder: the plan, and the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from typing_extensions import override

from app.core.errors import AppError, Unsupported
from app.core.plan import ImportanceFacts, Plan, PlannedTensor
from app.core.recipe import Recipe
from app.core.words import size
from app.encodings import find_encoding
from app.encodings.base import DTYPE_BYTES, Encoding
from app.encodings.dtypes import torch_dtype
from app.encodings.fp8 import Float8
from app.encodings.microscaled import NvFp4
from app.formats.base import Conversion, Ranges, check_percentile
from app.formats.safetensors.companions import CARD, Story, card, copied_files
from app.formats.safetensors.floats import kept_dtype, main_dtype, with_dtype
from app.formats.safetensors.inputs import Inputs, InputScale
from app.formats.safetensors.joined import Among, Largest
from app.formats.safetensors.layout import Entry, json_bytes, lay_out, small_file
from app.formats.safetensors.scheme import Modules, Scheme, module
from app.formats.safetensors.schemes import SCHEMES
from app.formats.safetensors.targets import Role, Target, taken_apart, targets_of
from app.models.base import Checkpoint
from app.models.description import Description, describe_folder
from app.models.named_weights import StoredTensor
from app.models.quantized import plain
from app.models.safetensors_folder import CONFIG

if TYPE_CHECKING:
    from torch import Tensor

_ROWS_AT_ONCE = 1 << 21
"""Weights that are looked through at a time."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """What becomes of a tensor."""

    target: Target
    entry: Entry
    quantized: bool
    meant: bool
    """Whether it would be quantized, did its sizes divide."""


class FolderConversion(Conversion):
    """Keeps names, config and tokenizer, and stores matrices as a runtime reads them."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Look at config, tokenizer and shapes.

        Raises:
            BadModelFile: One of them is damaged.
            Unsupported: The source is a GGUF file, or quantized in a way that is not read.
        """
        if checkpoint.kind != "safetensors":
            raise Unsupported(
                "A folder for transformers, vLLM or MLX cannot be made from a GGUF file yet.",
                "Choose the original folder with .safetensors files.",
            )
        self._checkpoint = plain(checkpoint)
        self._main = main_dtype(self._checkpoint)
        self._unknown: AppError | None = None
        self._description: Description | None = None
        try:
            self._description = describe_folder(self._checkpoint)
        except AppError as error:  # such a model can be copied all the same
            self._unknown = error
        self._targets = targets_of(self._checkpoint, self._description)
        self._apart = self._targets
        """With a matrix for each expert."""
        if self._description is not None:
            self._apart = taken_apart(self._targets, self._description)
        self._by_name = {target.name: target for target in (*self._targets, *self._apart)}
        self._groups: dict[str, list[Target]] = {}
        for target in self._apart:
            if target.group:
                self._groups.setdefault(target.group, []).append(target)
        self._largest = Largest(self._members)
        self._inputs = Inputs()
        self._scaled: dict[str, tuple[InputScale, Target]] = {}

    @override
    def plan(self, recipe: Recipe, importance: ImportanceFacts | None = None) -> Plan:
        scheme = SCHEMES[recipe.preset]
        self._check(recipe, scheme)
        dtype = scheme.floats(self._main)
        choices = self._choices(scheme, dtype)
        done = [one.target for one in choices if one.quantized]
        if scheme.roles and not done:
            raise _nothing(scheme, choices)
        entries = [one.entry for one in choices]
        entries += [entry for target in done for entry in self._beside(scheme, target, dtype)]
        files, tensors = lay_out(entries, scheme.made_for, recipe.split_bytes)
        plan = Plan(recipe.preset, tuple(tensors), tuple(files))
        added = scheme.config(_modules(choices, dtype))
        config = {**scheme.known(with_dtype(self._checkpoint.config, dtype)), **added}
        small = {CONFIG: json_bytes(config), **self._copied, **scheme.files(added)}
        told = card(self._checkpoint, _story(scheme, recipe, plan, choices, dtype))
        others = (small_file(name, content) for name, content in small.items())
        sources = dict.fromkeys(target.sources[0] for target in done)
        return replace(
            plan,
            files=(*files, *others, small_file(CARD, told, grows=True)),
            notes=(*self._checkpoint.notes, *_notes(scheme, choices, dtype, self._main)),
            ranges=tuple(sources) if scheme.input_scale else (),
            runs_in=_runs_in(scheme, choices),
        )

    @override
    def rows(self, tensor: PlannedTensor, start: int, stop: int) -> Tensor:
        import torch

        if not tensor.sources:
            return torch.tensor([[self._computed(tensor.name)]])
        return self._rows(self._by_name[tensor.name], start, stop).to(torch.float32)

    @override
    def stored(self, tensor: PlannedTensor, start: int, stop: int) -> Tensor | None:
        import torch

        if not tensor.sources or tensor.encoding not in DTYPE_BYTES:
            return None
        found = self._rows(self._by_name[tensor.name], start, stop)
        if found.dtype is not torch_dtype(tensor.encoding):
            return None
        return found.contiguous().view(torch.uint8)

    @override
    def encoding(self, tensor: PlannedTensor) -> Encoding:
        found = find_encoding(tensor.encoding)
        group = self._by_name[tensor.name].group if tensor.sources else ""
        one_scale = isinstance(found, NvFp4) or (
            isinstance(found, Float8) and found.strategy == "tensor"
        )
        if group and one_scale:
            assert isinstance(found, NvFp4 | Float8)
            return Among(found, self._largest.of(group))
        return found

    @property
    @override
    def learned(self) -> str:
        return self._inputs.digest

    @override
    def learn(self, ranges: Ranges) -> None:
        self._inputs = Inputs(ranges)

    @override
    def source_bytes(self, tensor: PlannedTensor) -> int:
        if not tensor.sources:
            return 0
        info = self._checkpoint.tensors[tensor.sources[0]]
        return round(info.nbytes * tensor.weights / max(1, info.weights))

    @cached_property
    def _copied(self) -> dict[str, bytes]:
        return copied_files(self._checkpoint)

    def _rows(self, target: Target, start: int, stop: int) -> Tensor:
        (name,) = target.sources
        if target.stack is None:
            return self._checkpoint.rows(name, start, stop)
        sources = [StoredTensor(self._checkpoint, name)]
        return target.stack.change.rows(sources, target.first + start, target.first + stop)

    def _computed(self, name: str) -> float:
        """What is stored under a name that is made of no weight."""
        if name not in self._scaled:
            return 0.0
        scale, target = self._scaled[name]
        return scale.of(self._inputs.largest(target))

    def _members(self, group: str) -> Iterator[Tensor]:
        for target in self._groups[group]:
            rows, columns = target.shape
            step = max(1, _ROWS_AT_ONCE // columns)
            for start in range(0, rows, step):
                yield self._rows(target, start, min(rows, start + step)).float()

    def _check(self, recipe: Recipe, scheme: Scheme) -> None:
        """Refuse what a folder cannot be.

        Raises:
            Unsupported: It was asked for.
        """
        check_percentile(recipe, has_ranges=scheme.input_scale is not None)
        if scheme.roles and self._unknown is not None:
            raise self._unknown
        kind = self._checkpoint.config.get("model_type")
        if scheme.families and kind not in scheme.families:
            raise Unsupported(
                f"{recipe.preset} is for models of another family.", "Choose another format."
            )
        options = {
            "a type for single tensors": recipe.overrides,
            "a type for the output layer": recipe.output,
            "a type for the embedding": recipe.embedding,
            "the same type for all": recipe.pure,
            "entries of a GGUF file": recipe.metadata,
            "an importance matrix": recipe.importance,
        }
        wished = [name for name, value in options.items() if value]
        if wished:
            raise Unsupported(
                f"{recipe.preset} is a folder, where {wished[0]} cannot be chosen.",
                "Leave that option out, or choose a GGUF format.",
            )

    def _choices(self, scheme: Scheme, dtype: str) -> list[_Choice]:
        """What becomes of every tensor. What runtimes join is all quantized or not at all."""
        roles = scheme.roles
        if not scheme.knows_experts(str(self._checkpoint.config.get("model_type"))):
            roles -= {Role.EXPERT}
        targets = self._apart if Role.EXPERT in roles else self._targets
        encoding = find_encoding(scheme.encoding(dtype))
        entries = {
            target.name: _quantized(target, encoding, scheme)
            for target in targets
            if target.role in roles
        }
        left = {
            target.group
            for target in targets
            if target.group and entries.get(target.name, target) is None
        }
        choices = []
        for target in targets:
            entry = None if target.group in left else entries.get(target.name)
            kept = entry or self._kept(target, dtype)
            choices.append(_Choice(target, kept, entry is not None, target.name in entries))
        return choices

    def _beside(self, scheme: Scheme, target: Target, dtype: str) -> Iterator[Entry]:
        """What a quantized weight has beside it that is not made of weights."""
        for name in scheme.beside(target):
            yield _computed(name, (), "U8")
        if scheme.input_scale:
            name = scheme.input_scale.name(target.name)
            self._scaled[name] = scheme.input_scale, target
            yield _computed(name, (1,), scheme.input_scale.dtype or dtype)

    def _kept(self, target: Target, dtype: str) -> Entry:
        info = self._checkpoint.tensors[target.sources[0]]
        found = find_encoding(kept_dtype(info, self._main, dtype))
        return Entry.of(_planned(target), found)


def _planned(target: Target) -> PlannedTensor:
    """Without what its encoding decides."""
    return PlannedTensor(target.name, target.shape, "", 0, 0, target.sources)


def _quantized(target: Target, encoding: Encoding, scheme: Scheme) -> Entry | None:
    """A quantized matrix; None where its sizes do not divide."""
    if not scheme.fits(target.shape):
        return None
    try:
        return Entry.of(_planned(target), encoding, scheme.stack(target))
    except ValueError:
        return None


def _computed(name: str, shape: tuple[int, ...], dtype: str) -> Entry:
    return Entry.of(PlannedTensor(name, shape, dtype, 0, 0, ()), find_encoding(dtype))


def _modules(choices: Iterable[_Choice], dtype: str) -> Modules:
    quantized, left = [], ["lm_head"]
    for one in choices:
        name, role = one.target.name, one.target.role
        if one.quantized:
            quantized.append(module(name))
        elif role not in {Role.EMBEDDING, Role.STACK} and _like_linear(one.target):
            left.append(module(name))
    return Modules(tuple(quantized), tuple(dict.fromkeys(left)), dtype)


def _like_linear(target: Target) -> bool:
    """Whether runtimes may have a linear layer of that name."""
    return len(target.shape) == 2 and target.name.endswith(".weight")


def _nothing(scheme: Scheme, choices: Sequence[_Choice]) -> Unsupported:
    """An error to raise where a format would change no weight."""
    bare = next((one.target for one in choices if one.meant), None)
    if bare is None:
        return Unsupported(
            f"This model has nothing that {scheme.preset.name} would quantize.",
            "Choose another format.",
        )
    shape = " x ".join(map(str, bare.shape))
    return Unsupported(
        f"The sizes of this model do not suit {scheme.preset.name}: {module(bare.name)} is "
        f"{shape}.",
        "Choose a format with smaller groups.",
    )


def _notes(scheme: Scheme, choices: Sequence[_Choice], dtype: str, main: str) -> Iterator[str]:
    """What a person should know before it is made."""
    bare = [one for one in choices if one.meant and not one.quantized]
    done = [one for one in choices if one.quantized]
    if bare:
        yield (
            f"{len(bare)} of {len(bare) + len(done)} matrices stay in {dtype}, because their "
            f"sizes do not divide evenly: {module(bare[0].target.name)}"
            f"{' and others' if len(bare) > 1 else ''}."
        )
    experts = _experts(choices)
    plain = [one for one in experts if not one.meant]
    if done and plain:
        nbytes = sum(one.entry.tensor.nbytes for one in plain)
        yield (
            f"The experts ({size(nbytes)}) stay in {dtype}: programs that load this format do "
            "not know quantized ones of this kind of model."
        )
    if programs := _runs_in(scheme, choices):
        yield f"With quantized experts it runs in {programs.replace(', ', ' and ')} only."
    if done and scheme.preset.rounds_inputs:
        yield (
            "Programs will round what these weights are multiplied with, too. The loss that is "
            "measured here is that of the weights alone."
        )
    if done and main == "F32" and dtype != "F32":
        yield f"The source is in F32; what is not quantized becomes {dtype}."


def _experts(choices: Sequence[_Choice]) -> list[_Choice]:
    return [one for one in choices if one.target.role in {Role.STACK, Role.EXPERT}]


def _runs_in(scheme: Scheme, choices: Sequence[_Choice]) -> str:
    """Programs that load the result, where they are not those of the preset; else ""."""
    is_for_few = any(one.quantized for one in _experts(choices))
    return scheme.experts_run_in if is_for_few else ""


def _story(
    scheme: Scheme, recipe: Recipe, plan: Plan, choices: Sequence[_Choice], dtype: str
) -> Story:
    quantized = sum(one.quantized for one in choices)
    return Story(
        preset=scheme.preset,
        runs_in=_runs_in(scheme, choices) or scheme.preset.runs_in,
        method=", ".join((recipe.method, *map("=".join, recipe.options))),
        percentile=recipe.percentile if scheme.input_scale else None,
        library=scheme.library,
        quantized=quantized,
        kept=len(choices) - quantized,
        dtype=dtype,
        nbytes=plan.total_bytes,
        bits=plan.bits_per_weight,
    )

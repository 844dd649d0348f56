"""From a PEFT folder to a GGUF adapter, which llama.cpp adds to a model while it runs.

For a weight of the GGUF file, (out, in), the file holds two matrices: `.lora_a`, (rank, in), and
`.lora_b`, (out, rank). llama.cpp adds alpha / rank * lora_b @ lora_a. What happens to rows of the
weight on the way from the checkpoint happens to those of lora_b, and what happens to columns to
those of lora_a.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose, prod
from typing import TYPE_CHECKING

from typing_extensions import override

from app.core.errors import Unsupported
from app.formats.gguf.companion import Companion, Piece
from app.formats.gguf.header import typed
from app.models.adapter import Adapter, LowRank
from app.models.architectures.base import Source, Weight
from app.models.architectures.changes import (
    AsIs,
    Change,
    ColumnPart,
    Neighbours,
    Part,
    Reader,
    Scaled,
    Shape,
    Stacked,
    Turned,
    row_count,
    whole,
)
from app.models.architectures.reordering import Chained, ColumnsReordered, Reordered, RowsScaled
from app.models.description import Description
from app.models.gguf_header import GgufValue, ValueType
from app.models.merged import EMBEDDING, check_embedding, not_in_model
from app.models.source_file import shown

if TYPE_CHECKING:
    from torch import Tensor

_OF_ROWS = (AsIs, Neighbours, Scaled, Part, Reordered, RowsScaled)
_OF_COLUMNS = (ColumnPart, ColumnsReordered)
_Found = tuple[LowRank, bool]
"""A change of a weight, and whether that is stored as (in, out)."""
_MERGE = "Merge it into its model instead: nibble quantize MODEL --lora ADAPTER."


@dataclass(frozen=True, slots=True)
class _Factors:
    """A change of a tensor: left @ right, with all scales in `left`."""

    left: Reader
    """(rows, rank), or a stack of them."""
    right: Reader
    """(rank, columns), or a stack of them."""


def adapter_conversion(adapter: Adapter, base: Description) -> Companion:
    """The adapter's GGUF file.

    Args:
        adapter: What is converted.
        base: The model that it is for.

    Raises:
        BadModelFile: The adapter belongs to another model.
        Unsupported: llama.cpp cannot run such an adapter.
    """
    names = adapter.of(base.architecture, base.config)
    check_embedding(adapter, names, base)
    _check(adapter)
    alpha = _alpha(adapter)
    pieces: list[Piece] = []
    used: set[str] = set()
    for weight in base.weights:
        changes = [_change_of(source, names, adapter) for source in weight.sources]
        if any(change is not None for change in changes):
            pieces += _pair(weight, changes, alpha)
            used.update(source.name for source in weight.sources)
    for name, own in names.items():
        if name not in used:
            raise not_in_model(adapter, own)
    return Companion(pieces, _metadata(adapter, base, alpha))


def _check(adapter: Adapter) -> None:
    name = shown(adapter.name)
    if adapter.replaced:
        first = min(adapter.replaced)
        raise Unsupported(
            f"The adapter {name} replaces {shown(first)} as a whole: adapters in GGUF cannot.",
            _MERGE,
            "\n".join(sorted(adapter.replaced)[:100]),
        )
    if any(change.magnitude is not None for change in adapter.changes.values()):
        raise Unsupported(
            f"The adapter {name} also changes the lengths of rows (DoRA), which adapters in GGUF "
            "cannot.",
            _MERGE,
        )


def _alpha(adapter: Adapter) -> float:
    """Alpha of the file; 0 would mean to llama.cpp that there is none."""
    products = (change.scale * change.rank for change in adapter.changes.values())
    return next((product for product in products if product), 1.0)


def _change_of(source: Source, names: Mapping[str, str], adapter: Adapter) -> _Found | None:
    name = names.get(source.name)
    if name is None or name not in adapter.changes:
        return None
    change = adapter.changes[name]
    return change, change.is_transposed(name, source.shape, adapter.fan_in_fan_out)


def _pair(weight: Weight, changes: Sequence[_Found | None], alpha: float) -> list[Piece]:
    """Both matrices of a tensor of the GGUF file.

    Raises:
        Unsupported: llama.cpp would not look at them.
    """
    rank = max(change[0].rank for change in changes if change)
    parts = [
        _Factors(_Zeros((source.shape[0], rank)), _Zeros((rank, source.shape[1])))
        if change is None
        else _stored_factors(*change, rank, change[0].scale * rank / alpha)
        for source, change in zip(weight.sources, changes, strict=True)
    ]
    found = _changed(weight, weight.change, parts)
    a, b = found.right, found.left
    if weight.gguf == EMBEDDING:  # llama.cpp looks tokens up in the rows of A
        a, b = found.left, _Transposed(found.right)
    return [
        Piece(f"{weight.gguf}.lora_{letter}", (factor,), 4 * prod(factor.shape), _AT_ONCE)
        for letter, factor in (("a", a), ("b", b))
    ]


def _stored_factors(change: LowRank, turned: bool, rank: int, factor: float) -> _Factors:
    """The change of a weight as the checkpoint stores it, its rank filled up to `rank`."""
    a, b = (
        _Filled(change.a, (rank, change.a.shape[1])),
        _Filled(change.b, (change.b.shape[0], rank)),
    )
    if turned:
        return _Factors(_Times(_Transposed(a), factor), _Transposed(b))
    return _Factors(_Times(b, factor), a)


def _changed(weight: Weight, change: Change, parts: Sequence[_Factors]) -> _Factors:
    """The change of the GGUF file's tensor, by what happens to it on the way there.

    Raises:
        Unsupported: It is not of low rank any more, or llama.cpp would not look at it.
    """
    if isinstance(change, Stacked):
        lefts, rights = [part.left for part in parts], [part.right for part in parts]
        return _Factors(_Changed(change, lefts), _Changed(change, rights))
    if isinstance(change, Chained):
        return _changed(weight, change.then, [_changed(weight, change.first, parts)])
    (one,) = parts
    if isinstance(change, Turned):
        turned = _Factors(_Transposed(one.right), _Transposed(one.left))
        return _changed(weight, change.then, [turned])
    if isinstance(change, _OF_ROWS):
        return _Factors(_Changed(change, [one.left]), one.right)
    if isinstance(change, _OF_COLUMNS):
        return _Factors(one.left, _Changed(change, [one.right]))
    raise Unsupported(
        f"llama.cpp stores {shown(weight.sources[0].name)} in another form, which adapters in GGUF "
        "cannot change.",
        _MERGE,
        weight.gguf,
    )


@dataclass(frozen=True, slots=True)
class _Changed:
    """What a change makes of factors."""

    change: Change
    sources: Sequence[Reader]

    @property
    def shape(self) -> Shape:
        return self.change.shape([source.shape for source in self.sources])

    def rows(self, start: int, stop: int) -> Tensor:
        made = self.change.rows(self.sources, 0, row_count(self.shape))
        return made[start:stop]


@dataclass(frozen=True, slots=True)
class _Transposed:
    stored: Reader

    @property
    def shape(self) -> Shape:
        return self.stored.shape[::-1]

    def rows(self, start: int, stop: int) -> Tensor:
        return whole(self.stored).t()[start:stop]


@dataclass(frozen=True, slots=True)
class _Times:
    """A factor multiplied with a number."""

    stored: Reader
    by: float

    @property
    def shape(self) -> Shape:
        return self.stored.shape

    def rows(self, start: int, stop: int) -> Tensor:
        found = self.stored.rows(start, stop).float()
        return found if isclose(self.by, 1, rel_tol=1e-9) else found * self.by


@dataclass(frozen=True, slots=True)
class _Filled:
    """A matrix with zeros below and to its right: adds nothing to the product."""

    stored: Reader
    shape: Shape

    def rows(self, start: int, stop: int) -> Tensor:
        import torch

        found = torch.zeros(self.shape)
        rows, columns = self.stored.shape
        found[:rows, :columns] = whole(self.stored)
        return found[start:stop]


@dataclass(frozen=True, slots=True)
class _Zeros:
    """A factor of a matrix that the adapter leaves as it is."""

    shape: Shape

    def rows(self, start: int, stop: int) -> Tensor:
        import torch

        return torch.zeros(stop - start, self.shape[-1])


@dataclass(frozen=True, slots=True)
class _AtOnce(AsIs):
    """Read as a whole: what is behind a factor may be in any order."""

    @override
    def together(self, shape: Shape) -> int:
        return row_count(shape)


_AT_ONCE = _AtOnce()


def _metadata(adapter: Adapter, base: Description, alpha: float) -> dict[str, GgufValue]:
    entries = {
        "general.architecture": typed(base.architecture.gguf),
        "general.type": typed("adapter"),
        "general.name": typed(adapter.name),
        "adapter.type": typed("lora"),
        "adapter.lora.alpha": typed(alpha),
    }
    if adapter.invocation:
        entries["adapter.alora.invocation_tokens"] = GgufValue(
            ValueType.ARRAY, adapter.invocation, ValueType.UINT32
        )
    return entries

"""Scales the weights of one layer against each other, so that they are easier to round.

Matrices with the same inputs get factors for their columns; what makes these inputs is divided
by them. What makes them is not looked up for each family of models: whatever in the layer has
the right size is tried, and kept only if the layer's outcome stays the same. So a fold is either
exact or left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.calibration.collectors import Collected
from app.calibration.engine import Pass
from app.calibration.moments import Gather
from app.encodings.base import Encoding
from app.methods.base import Smoothing, Statistics
from app.models.folded import Fold, Folded
from app.models.layerwise import Place
from app.models.named_weights import NamedWeights

if TYPE_CHECKING:
    from torch import Tensor

_SAME = 1e-3
"""Share of what a layer adds to the hidden states by which a fold may change its outcome. Rounding
of float32 changes a tenth of it at most; a wrong fold changes all of it."""
_MOST_TRIED = 6
_LIKELY = ("v_proj", "up_proj", "norm")
"""Parts of names that are tried first."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Matrices with the same inputs."""

    names: tuple[str, ...]
    """As the source calls them."""
    weights: tuple[Tensor, ...]
    """(out, in) each, float32."""
    statistics: Statistics
    """At the same place."""
    encoding: Encoding

    def on(self, device: str) -> _Group:
        """The same on a device."""
        weights = tuple(weight.to(device) for weight in self.weights)
        return replace(self, weights=weights, statistics=self.statistics.on(device))


@dataclass(frozen=True, slots=True)
class _Into:
    """What makes the inputs of a group, perhaps."""

    name: str
    offset: float
    """See `Fold`."""
    divisors: Tensor
    """Of its rows or elements."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """Some hidden states in front of a layer, and behind it."""

    before: Tensor
    behind: Tensor
    by_all: frozenset[str]
    """The matrices that every token passes: an expert may be changed, and nobody sees it."""


@dataclass(slots=True)
class Smoother:
    """Finds and folds the factors of one layer after the other."""

    smoothing: Smoothing
    folded: Folded
    """Gets the folds."""
    source: NamedWeights
    """The weights as they are in there."""
    passing: Pass
    gather: Gather
    """What made the statistics."""
    place: Place
    """Where factors are searched for."""
    left: dict[str, int] = field(default_factory=dict)
    """How often matrices were left alone, as what makes their inputs was not found; by kind."""

    def smooth(
        self, index: int, before: Tensor, found: Collected, encodings: Mapping[str, Encoding]
    ) -> Iterator[str]:
        """Fold what there is to gain in a layer; the matrices that are dealt with, by groups.

        Args:
            index: The layer.
            before: Some hidden states in front of it, (windows, length, hidden size).
            found: Statistics of its matrices' inputs.
            encodings: What its quantized matrices will be stored in, by the source's names.
        """
        behind = self.passing.outcome(index, self.source, before)
        shown = _Shown(before, behind, _seen_by_all(found))
        for group in self._groups(found, encodings):
            yield group.names[0]
            if not self._fold(index, group, shown):
                kind = _kind(group.names[0])
                self.left[kind] = self.left.get(kind, 0) + 1
        self.folded.layers.add(index)

    def factors(self, names: Sequence[str]) -> Tensor | None:
        """What the columns of matrices with the same inputs were multiplied by."""
        folds = (self.folded.folds.get(self._stored(name)) for name in names)
        return next((fold.columns for fold in folds if fold and fold.columns is not None), None)

    def _groups(self, found: Collected, encodings: Mapping[str, Encoding]) -> Iterator[_Group]:
        """Made one at a time, as folding one group changes the weights of the next."""
        alike: dict[int, list[str]] = {}
        for name in found.names():
            known = dict(found.of(name))
            if known.keys() == {0} and len(self.source.info(name).shape) == 2:
                alike.setdefault(id(known[0]), []).append(name)
        for names in alike.values():
            quantized = [name for name in names if name in encodings]
            if not quantized:
                continue
            statistic = dict(found.of(names[0]))[0]
            statistics = self.gather.statistics(statistic)
            weights = tuple(self.source.weight(name) for name in quantized)
            if weights[0].shape[-1] == statistic.value.shape[-1]:
                yield _Group(tuple(names), weights, statistics, encodings[quantized[0]])

    def _fold(self, index: int, group: _Group, shown: _Shown) -> bool:
        """Find factors, and fold them; False where it is not known into what."""
        import torch

        if not shown.by_all.issuperset(group.names):
            return False
        group, factors = self._searched(group)
        if torch.equal(factors, torch.ones_like(factors)):
            return True
        in_vain = False
        for name in self._candidates(index, group, shown):
            for columns, divisors in self._ways(name, factors):
                if columns is not factors and not self._gains(group, columns):
                    in_vain = True
                    continue
                for offset in (0.0, 1.0) if len(self.source.info(name).shape) == 1 else (0.0,):
                    folds = self._with(group, _Into(name, offset, divisors.cpu()), columns.cpu())
                    if self._is_same(index, shown, folds):
                        return True
        return in_vain

    def _searched(self, group: _Group) -> tuple[_Group, Tensor]:
        """Factors, and the group where they were found: the processor, if the device is full."""
        try:
            there = group.on(self.place.device)
            return there, self.smoothing.factors(there.weights, there.encoding, there.statistics)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not self.place.out_of_memory(error):
                raise
        return group, self.smoothing.factors(group.weights, group.encoding, group.statistics)

    def _ways(self, name: str, factors: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Factors of the columns, and divisors of the rows of `name`, that may belong together.

        Heads may share their values: then each value head makes the inputs of several heads in
        a row, which must have the same factors. Of matrices that are fused, the last makes inputs:
        the values behind queries and keys, what is gated behind its gate.
        """
        import torch

        rows, width = self.source.info(name).shape[0], len(factors)
        head = self.source.description.dimensions.head
        for makers in _makers(rows, width, head):
            columns = divisors = factors
            if makers < width:
                each = factors.view(makers // head, -1, head).log().mean(1, keepdim=True).exp()
                columns = each.expand(-1, width // makers, -1).flatten()
                divisors = each.flatten()
            yield columns, torch.cat([factors.new_ones(rows - makers), divisors])

    def _gains(self, group: _Group, factors: Tensor) -> bool:
        """Whether factors that were not searched for are better than none."""
        import torch

        losses = [
            self.smoothing.loss(group.weights, one, group.encoding, group.statistics)
            for one in (factors, torch.ones_like(factors))
        ]
        return losses[0] < losses[1]

    def _candidates(self, index: int, group: _Group, shown: _Shown) -> Sequence[str]:
        """What may make the inputs of a group: norms as wide, and matrices with enough rows."""
        width, head = group.weights[0].shape[-1], self.source.description.dimensions.head
        found = []
        for name in sorted(self.passing.names(index)):
            shape = self.source.info(name).shape
            if name in group.names or not name.endswith("weight"):
                continue
            norm = len(shape) == 1 and shape[0] == width and "norm" in name
            if norm or (name in shown.by_all and _makers(shape[0], width, head)):
                found.append(name)
        found.sort(key=lambda name: not any(part in name for part in _LIKELY))
        return found[:_MOST_TRIED]

    def _with(self, group: _Group, into: _Into, columns: Tensor) -> dict[str, Fold]:
        """All folds, with those of one more group."""
        folds = dict(self.folded.folds)
        for consumer in map(self._stored, group.names):
            folds[consumer] = folds.get(consumer, Fold()).and_columns(columns)
        maker = self._stored(into.name)
        folds[maker] = folds.get(maker, Fold()).and_rows(into.divisors, into.offset)
        bias = self._stored(f"{into.name.removesuffix('weight')}bias")
        if bias in self.folded.tensors:
            folds[bias] = folds.get(bias, Fold()).and_rows(into.divisors)
        return folds

    def _is_same(self, index: int, shown: _Shown, folds: dict[str, Fold]) -> bool:
        """Use `folds` if the layer then computes what it did."""
        kept, self.folded.folds = self.folded.folds, folds
        outcome = self.passing.outcome(index, self.source, shown.before)
        added = shown.behind - shown.before
        if (outcome - shown.behind).norm() <= _SAME * added.norm():
            return True
        self.folded.folds = kept
        return False

    def _stored(self, name: str) -> str:
        return self.source.description.stored.get(name, name)


def _makers(rows: int, width: int, head: int) -> Sequence[int]:
    """How many of a matrix's rows, the last ones, may make `width` inputs."""
    if rows <= width:
        return (rows,) if rows == width or (width % rows == 0 and rows % head == 0) else ()
    values = (rows - width) // 2  # of which there are as many as keys
    is_attention = values % head == 0 and width % max(1, values) == 0
    found = [width] if rows == 2 * width else []
    return [*found, *([values] if is_attention and width + 2 * values == rows else [])]


def _seen_by_all(found: Collected) -> frozenset[str]:
    tokens = {name: max(one.tokens for _, one in found.of(name)) for name in found.names()}
    most = max(tokens.values(), default=0)
    return frozenset(name for name, count in tokens.items() if count == most)


def _kind(name: str) -> str:
    """A tensor's name without the number of its layer."""
    return ".".join(part for part in name.removesuffix(".weight").split(".") if not part.isdigit())

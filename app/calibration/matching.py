"""Which statistics belong to the tensors of a result.

Statistics are named after the source's tensors. A result may name them otherwise, put them in
another order, lay several on top of each other, or take a stack of experts apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from app.calibration.collectors import Collected, Statistic
from app.core.plan import PlannedTensor
from app.methods.base import Statistics
from app.models.architectures.base import Weight
from app.models.architectures.changes import AS_IS, Change
from app.models.description import Description

if TYPE_CHECKING:
    from torch import Tensor

_EXPERT = re.compile(r"\.experts\.(\d+)\.")


def by_matrix(found: Collected, weight: Weight) -> Sequence[Statistic | None]:
    """What is known of each matrix of a GGUF tensor, from the tensors that it is made of.

    They are a stack of those matrices, or parts of one that were given the same inputs, or the
    one that all of them were parts of.
    """
    rows: list[Statistic | None] = []
    for source in weight.sources:
        known = dict(found.of(source.name))
        rows.extend(known.get(matrix) for matrix in range(prod(source.shape[:-2])))
    matrices = prod(weight.shape[:-2])
    if len(rows) == matrices:
        return rows
    return [next(filter(None, rows), None)] * matrices


@dataclass(frozen=True, slots=True)
class Match:
    """What is known of one matrix of a result's tensor."""

    statistic: Statistic
    order: tuple[int, ...] = ()
    """The columns that the result has first, second, ...; empty: as in the source."""

    def arranged(self, known: Statistics) -> Statistics:
        """The statistics of the source's columns, as the result has them."""
        import torch

        if not self.order:
            return known
        order = torch.tensor(self.order)

        def turn(value: Tensor | None) -> Tensor | None:
            return None if value is None else value[..., order]

        moment = turn(known.second_moment)
        return replace(
            known,
            importance=turn(known.importance),
            second_moment=None if moment is None else moment[order].contiguous(),
            absmax=turn(known.absmax),
            mean_abs=turn(known.mean_abs),
            samples=turn(known.samples),
        )


class Matching:
    """Finds them for the results of one model."""

    def __init__(self, description: Description) -> None:
        self._weights = {weight.gguf: weight for weight in description.weights}
        self._plain = {stored: plain for plain, stored in description.stored.items()}

    def sources(self, tensor: PlannedTensor) -> Collection[str]:
        """The source's tensors that a tensor is made of, as statistics name them."""
        weight = self._weights.get(tensor.name)
        if weight is not None:
            return [source.name for source in weight.sources]
        return [self._plain.get(name, name) for name in tensor.sources]

    def find(self, found: Collected, tensor: PlannedTensor) -> Sequence[Match | None]:
        """What is known of each matrix of a tensor; None where that is nothing."""
        weight = self._weights.get(tensor.name)
        known = by_matrix(found, weight) if weight else self._one(found, tensor)
        width = next((_width(one) for one in known if one is not None), 0)
        order = _order(weight.change if weight else AS_IS, width)
        if order is None or (len(order) or width) != tensor.shape[-1]:
            return [None] * len(known)
        return [None if one is None else Match(one, order) for one in known]

    def _one(self, found: Collected, tensor: PlannedTensor) -> Sequence[Statistic | None]:
        """Of a tensor that is called as in the source, or an expert taken out of a stack there."""
        known = dict(found.of(next(iter(self.sources(tensor)), "")))
        matrices = prod(tensor.shape[:-2])
        expert = _EXPERT.search(tensor.name)
        if expert and matrices == 1 and tensor.name not in tensor.sources:
            return [known.get(int(expert[1]))]
        return [known.get(matrix) for matrix in range(matrices)]


def _order(change: Change, width: int) -> tuple[int, ...] | None:
    """The order of a result's columns, of `width`; None where they are something else."""
    import torch

    columns = change.columns(torch.arange(width))
    if columns is None:
        return None
    order = tuple(columns.tolist())
    return () if order == tuple(range(width)) else order


def _width(statistic: Statistic) -> int:
    return int(statistic.value.shape[-1])

"""What an importance matrix looks like, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass

from app.formats.gguf.imatrix import ImportanceMatrix, Squares

_ACTIVE = 1e-5
_TOP = 3


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """Of the mean squares of all columns of all matrices that any token reached."""

    name: str
    matrices: int
    reached: int
    """Matrices that any token reached."""
    tokens: int
    """The most that one matrix was given."""
    total: float
    smallest: float
    largest: float
    mean: float
    deviation: float
    """Standard deviation."""
    active: float
    """Share of the columns above 1e-5."""
    evenness: float
    """Entropy of the columns' shares in the total; 1: all count alike, 0: one counts alone."""
    top_share: float
    """Share that the most important 1 % of the columns have in the total."""
    top_columns: tuple[int, ...]
    """The most important columns, on average over the matrices."""


def statistics(matrix: ImportanceMatrix) -> tuple[TensorStatistics, ...]:
    """A row for each tensor, layer by layer."""
    return tuple(_of(name, matrix.tensors[name]) for name in sorted(matrix.tensors, key=_order))


def _order(name: str) -> tuple[bool, int, str]:
    """Layers by their numbers, what belongs to none behind them."""
    block, _, rest = name.partition(".")
    layer = rest.partition(".")[0]
    in_layer = block == "blk" and layer.isdecimal()
    return not in_layer, int(layer) if in_layer else 0, name


def _of(name: str, squares: Squares) -> TensorStatistics:
    import math

    import torch

    seen = squares.counts > 0
    means = squares.means()[seen].double() if seen.any() else squares.sums.double()
    values = means.flatten()
    total = float(values.sum())
    shares = values / total if total else torch.full_like(values, 1 / len(values))
    entropy = float(torch.special.entr(shares).sum())
    top = max(1, len(values) // 100)
    by_column = means.mean(0)
    return TensorStatistics(
        name=name,
        matrices=len(squares.counts),
        reached=int(seen.sum()),
        tokens=int(squares.counts.max()),
        total=total,
        smallest=float(values.min()),
        largest=float(values.max()),
        mean=float(values.mean()),
        deviation=float(values.std(correction=0)),
        active=float((values > _ACTIVE).double().mean()),
        evenness=entropy / math.log(len(values)) if len(values) > 1 else 1.0,
        top_share=float(shares.topk(top).values.sum()),
        top_columns=tuple(by_column.topk(min(_TOP, len(by_column))).indices.tolist()),
    )

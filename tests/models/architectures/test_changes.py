"""Changes between the two conventions: row by row as all at once, and back again."""

from __future__ import annotations

import pytest
import torch

from app.models.architectures.changes import (
    AS_IS,
    ColumnPart,
    Flattened,
    NegativeExponential,
    Neighbours,
    Part,
    Scaled,
    Shifted,
    Stacked,
    Turned,
    whole,
)
from app.models.architectures.order import halves_to_neighbours, neighbours_to_halves
from app.models.architectures.reordering import (
    Chained,
    ColumnsReordered,
    QueriesKeysValues,
    Reshaped,
    RowsScaled,
)


class Stored:
    """A tensor in memory, read as a stored one."""

    def __init__(self, tensor):
        self.tensor = tensor
        self.shape = tuple(tensor.shape)

    def rows(self, start, stop):
        flat = self.tensor.reshape(-1, self.shape[-1])
        assert 0 <= start < stop <= len(flat)
        return flat[start:stop]


def matrices(count, *shape):
    some = torch.Generator().manual_seed(5)
    return [torch.randn(shape, generator=some) for _ in range(count)]


(A,) = matrices(1, 24, 5)
(E,) = matrices(1, 3, 8, 6)
(V,) = matrices(1, 24)
CASES = {
    "as it is": ([AS_IS], [A], A),
    "a vector": ([AS_IS], [V], V),
    "a channel's kernel": ([Flattened()], [A[:, None]], A),
    "heads": ([Neighbours(8)], [A], halves_to_neighbours(A, 8)),
    "heads of a vector": ([Neighbours(8)], [V], halves_to_neighbours(V, 8)),
    "parts of heads": (
        [Neighbours(8, 4)],
        [A],
        torch.cat(
            [torch.cat([halves_to_neighbours(head[:4], 4), head[4:]]) for head in A.split(8)]
        ),
    ),
    "shifted": ([Shifted()], [V], V + 1),
    "scaled": ([Scaled(2.0)], [A], 2 * A),
    "decay": ([NegativeExponential()], [V], -V.exp()),
    "decay as a column": (
        [Chained(NegativeExponential(), Reshaped((24, 1)))],
        [V],
        -V.exp()[:, None],
    ),
    "groups": ([Reshaped((4, 6))], [V], V.view(4, 6)),
    "scaled rows": (
        [RowsScaled(((10, 2.0), (24, 3.0)))],
        [A],
        torch.cat([2 * A[:10], 3 * A[10:]]),
    ),
    "columns of heads": (
        [ColumnsReordered(QueriesKeysValues(2, 4))],
        [A.t().contiguous()],
        A.view(2, 3, 4, 5).transpose(0, 1).reshape(24, 5).t(),
    ),
    "alternating columns": ([ColumnPart(0, 2), ColumnPart(1, 2)], [E], (E[..., ::2], E[..., 1::2])),
    "two parts": ([Part(0, 10), Part(10, 24)], [A], (A[:10], A[10:])),
    "parts of a vector": ([Part(0, 10), Part(10, 24)], [V], (V[:10], V[10:])),
    "parts of experts": ([Part(0, 3), Part(3, 8)], [E], (E[:, :3], E[:, 3:])),
    "every second row": ([Part(0, 8, 2), Part(1, 8, 2)], [E], (E[:, ::2], E[:, 1::2])),
    "turned": ([Turned()], [A], A.t()),
    "turned experts": ([Turned()], [E], E.transpose(1, 2)),
    "parts of turned experts": (
        [Turned(Part(0, 6, 2)), Turned(Part(1, 6, 2))],
        [E],
        (E.transpose(1, 2)[:, ::2], E.transpose(1, 2)[:, 1::2]),
    ),
    "experts": ([Stacked()], list(E), E),
    "q k v": (
        [QueriesKeysValues(2, 4)],
        [A],
        A.view(2, 3, 4, 5).transpose(0, 1).reshape(24, 5),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_that_rows_in_slices_are_the_whole_and_can_be_undone(case):
    changes, sources, wanted = CASES[case]
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    again = [torch.full_like(source, torch.nan) for source in sources]
    for change, result in zip(changes, wanted, strict=True):
        shape = change.shape([tuple(source.shape) for source in sources])
        assert shape == tuple(result.shape)
        readers = [Stored(source) for source in sources]
        rows = result[..., 0].numel() if result.ndim > 1 else 1
        step = change.together(shape)
        for height in {step, 2 * step, rows}:
            pieces = [
                change.rows(readers, start, min(rows, start + height))
                for start in range(0, rows, height)
            ]
            assert torch.cat(pieces).reshape(shape).equal(result)
        for number, out in enumerate(again):
            change.fill(Stored(result.contiguous()), number, out)
    for source, found in zip(sources, again, strict=True):
        assert found.allclose(source, rtol=1e-6, atol=1e-6)


def test_that_rows_far_apart_are_read_one_by_one():
    (weight,) = matrices(1, 3 * 64 * 2, 5)
    change = QueriesKeysValues(64, 2)
    wanted = weight.view(64, 3, 2, 5).transpose(0, 1).reshape(-1, 5)
    assert change.rows([Stored(weight)], 100, 160).equal(wanted[100:160])


def test_that_a_whole_tensor_has_its_own_shape():
    assert whole(Stored(E)).equal(E)
    assert whole(Stored(V)).equal(V)


def test_that_rows_of_a_head_go_from_halves_to_neighbours():
    rows = torch.arange(12)  # two heads of six
    assert halves_to_neighbours(rows, 6).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


@pytest.mark.parametrize("shape", [(24,), (24, 5)])
def test_that_reordering_is_undone_by_its_inverse(shape):
    weight = torch.randn(shape)
    assert torch.equal(neighbours_to_halves(halves_to_neighbours(weight, 8), 8), weight)

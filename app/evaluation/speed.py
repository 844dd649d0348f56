"""How fast the encodings are here, beside ggml's own functions where they are installed.

ggml comes with the package `libggml-python` and serves for comparison only; nothing else in the
application uses it. Both are timed on one thread by its own processor time, so that other programs
disturb little, and in turns, so that what does disturb them disturbs both. Only the gain from more
threads is one of wall time, and needs a quiet machine.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.encodings.ggml_block import GgmlBlock

if TYPE_CHECKING:
    from torch import Tensor

WITH_KERNELS = tuple(name for name, enc in ENCODINGS.items() if isinstance(enc, GgmlBlock))
"""The encodings whose speed is worth a measurement."""


ROW = 2048
"""Weights a row."""
RUN_SECONDS = 0.25
"""About how long one run may take; slow encodings get fewer rows."""
FEWEST_ROWS = 16
_SCALED_SECONDS = 0.5
"""How long one thread is busy at least, where threads are compared: starting them must not show."""
_SLICES = 8
"""Runs for each thread there, or more: with fewer, one would wait for the other."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Encoding on one thread of this processor; weights a second, medians."""

    ours: float
    ggml: float | None
    """None where it is not installed."""
    ratio: float | None
    """Median of the ratios to ggml, each of two neighbouring runs; above 1, we are faster."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What one encoding takes here."""

    encoding: str
    plain: Pace
    """Where all columns count alike."""
    weighed: Pace
    """With importances of columns, the same ones for ggml."""
    decode: float
    """Weights a second on one thread, median."""
    scaling: float | None
    """How much sooner plain encoding is done with several threads, in wall time; None where that
    was not asked for."""


class Ggml:
    """The quantizing function of a ggml library.

    Args:
        library: A file like `libggml-base.so`.
    """

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self._requires_importance = self.library.ggml_quantize_requires_imatrix
        self._requires_importance.restype = ctypes.c_bool
        self._quantize = self.library.ggml_quantize_chunk
        self._quantize.restype = ctypes.c_size_t
        address, number = ctypes.c_void_p, ctypes.c_int64
        self._quantize.argtypes = [ctypes.c_int, address, address, number, number, number, address]

    @classmethod
    def installed(cls) -> Ggml | None:
        """The one of the package `libggml-python`, if it is there."""
        spec = importlib.util.find_spec("libggml")
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for library in sorted(Path(folder).rglob("*ggml-base*")):
                if library.suffix in {".so", ".dylib", ".dll"}:
                    return cls(library)
        return None

    def encode(self, weight: Tensor, encoding: Block, importance: Tensor | None = None) -> Tensor:
        """The blocks of float32 `weight` (rows, in), flat; `importance` is (in,).

        Where ggml insists on importances and there are none, all columns count alike.
        """
        import torch

        rows, row = weight.shape
        blocks = torch.empty(encoding.nbytes((rows, row)), dtype=torch.uint8)
        source, target = weight.data_ptr(), blocks.data_ptr()
        if importance is None and self._requires_importance(encoding.ggml_id):
            importance = torch.ones(row)
        columns = None if importance is None else importance.float().contiguous()
        matrix = None if columns is None else columns.data_ptr()
        self._quantize(encoding.ggml_id, source, target, 0, rows, row, matrix)
        return blocks


@dataclass(frozen=True, slots=True)
class Sample:
    """Weights to measure with."""

    weight: Tensor
    importance: Tensor

    @classmethod
    def of(cls, rows: int) -> Sample:
        """Normal weights, and mean squares of a few normal activations."""
        import torch

        some = torch.Generator().manual_seed(0)
        importance = torch.randn(8, ROW, generator=some).square().mean(0)
        return cls(torch.randn(rows, ROW, generator=some) * 0.02, importance)

    def first(self, rows: int) -> Sample:
        """Its first rows."""
        return Sample(self.weight[:rows], self.importance)


def measure(
    names: Iterable[str] = WITH_KERNELS, weights: int = 2**21, rounds: int = 5, threads: int = 1
) -> Iterator[Speed]:
    """Measure one encoding after the other.

    Args:
        names: Which ones.
        weights: At most so many in a run.
        rounds: Runs of each kind.
        threads: If more than one: how much sooner so many are done.
    """
    whole = Sample.of(max(weights // ROW, FEWEST_ROWS))
    ggml = Ggml.installed()
    for name in names:
        encoding = ENCODINGS[name]
        assert isinstance(encoding, GgmlBlock)
        sample = whole.first(_rows(encoding, whole, ggml))
        yield Speed(
            encoding.name,
            _pace(encoding, sample.weight, None, rounds, ggml),
            _pace(encoding, sample.weight, sample.importance, rounds, ggml),
            _decoding(encoding, sample.weight, rounds),
            _scaling(encoding, sample.weight, rounds, threads) if threads > 1 else None,
        )


def _rows(encoding: GgmlBlock, whole: Sample, ggml: Ggml | None) -> int:
    """How many rows the slowest kind of run encodes in its time."""
    few = whole.first(FEWEST_ROWS)
    actions: list[Callable[[], object]] = [partial(encoding.encode, few.weight, few.importance)]
    if ggml:
        actions.append(partial(ggml.encode, few.weight, encoding, few.importance))
    for action in actions:
        action()  # compiles the kernel, builds ggml's tables
    slowest = max(_seconds(action) for action in actions)
    rows = int(FEWEST_ROWS * RUN_SECONDS / max(slowest, 1e-6))
    return min(max(rows, FEWEST_ROWS), len(whole.weight))


def _pace(
    encoding: GgmlBlock, weight: Tensor, importance: Tensor | None, rounds: int, ggml: Ggml | None
) -> Pace:
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_seconds(lambda: encoding.encode(weight, importance)))
        if ggml:
            theirs.append(_seconds(lambda: ggml.encode(weight, encoding, importance)))
    return Pace(
        weight.numel() / median(ours),
        weight.numel() / median(theirs) if theirs else None,
        median(b / a for a, b in zip(ours, theirs, strict=True)) if theirs else None,
    )


def _decoding(encoding: GgmlBlock, weight: Tensor, rounds: int) -> float:
    shape = tuple(weight.shape)
    parts = encoding.encode(weight)
    encoding.decode(parts, shape)  # compiles the kernel
    return weight.numel() / median(
        _seconds(lambda: encoding.decode(parts, shape)) for _ in range(rounds)
    )


def _scaling(encoding: GgmlBlock, weight: Tensor, rounds: int, threads: int) -> float:
    """One thread's wall time over that of several, which share the same runs.

    Of each kind the shortest run counts: whatever else the processor does only makes it longer.
    """
    alone = _wall(map, encoding, [weight])
    repeated = [weight] * (threads * max(_SLICES, round(_SCALED_SECONDS / alone / threads)))
    with ThreadPoolExecutor(threads) as pool:
        pairs = [
            (_wall(map, encoding, repeated), _wall(pool.map, encoding, repeated))
            for _ in range(2 * rounds)
        ]
    return min(alone for alone, _ in pairs) / min(together for _, together in pairs)


def _wall(
    each: Callable[..., Iterable[object]], encoding: GgmlBlock, parts: Sequence[Tensor]
) -> float:
    start = time.perf_counter()
    deque(each(encoding.encode, parts), maxlen=0)
    return time.perf_counter() - start


def _seconds(action: Callable[[], object]) -> float:
    """Processor time of this thread."""
    start = time.thread_time()
    action()
    return time.thread_time() - start

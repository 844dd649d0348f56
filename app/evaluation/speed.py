"""How fast the encodings are here, beside ggml's own functions where they are installed.

ggml comes with the package `libggml-python` and serves for comparison only; nothing else in the
application uses it. Both are timed on one thread by its own processor time, so that other programs
disturb little, and in turns, so that what does disturb them disturbs both.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Speed:
    """One encoding on one thread of this processor. All speeds: weights a second, medians."""

    encoding: str
    encode: float
    decode: float
    ggml: float | None
    """Encoding with ggml; None where it is not installed."""
    ratio: float | None
    """Median of the ratios to ggml, each of two neighbouring runs; above 1, we are faster."""


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


def measure(
    names: Iterable[str] = WITH_KERNELS, weights: int = 2**21, rounds: int = 5
) -> Iterator[Speed]:
    """Measure one encoding after the other, on normally distributed weights."""
    import torch

    weight = torch.randn(weights, generator=torch.Generator().manual_seed(0)).view(-1, 2048) * 0.02
    ggml = Ggml.installed()
    for name in names:
        encoding = ENCODINGS[name]
        assert isinstance(encoding, GgmlBlock)
        yield _measure_one(encoding, weight, rounds, ggml)


def _measure_one(encoding: GgmlBlock, weight: Tensor, rounds: int, ggml: Ggml | None) -> Speed:
    shape = tuple(weight.shape)
    parts = encoding.encode(weight)  # compiles the kernels
    encoding.decode(parts, shape)
    ours, theirs, decoding = [], [], []
    for _ in range(rounds):
        ours.append(_seconds(lambda: encoding.encode(weight)))
        if ggml:
            theirs.append(_seconds(lambda: ggml.encode(weight, encoding)))
        decoding.append(_seconds(lambda: encoding.decode(parts, shape)))
    count = weight.numel()
    return Speed(
        encoding.name,
        count / median(ours),
        count / median(decoding),
        count / median(theirs) if theirs else None,
        median(b / a for a, b in zip(ours, theirs, strict=True)) if theirs else None,
    )


def _seconds(action: Callable[[], object]) -> float:
    """Processor time of this thread."""
    start = time.thread_time()
    action()
    return time.thread_time() - start

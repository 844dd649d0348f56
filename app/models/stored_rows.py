"""Rows of a tensor as they lie in a file."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from app.core.tensor import TensorInfo
from app.encodings.base import DTYPE_BYTES
from app.encodings.dtypes import torch_dtype
from app.models.source_file import SourceFile

if TYPE_CHECKING:
    import torch


def stored_rows(
    source: SourceFile, offset: int, info: TensorInfo, start: int, stop: int | None
) -> torch.Tensor:
    """The bytes of rows `start` to `stop`, mapped: uint8, (rows, bytes of a row).

    Args:
        source: The file.
        offset: The tensor's first byte.
        info: The tensor.
        start: First row, counted over all dimensions but the last.
        stop: The row behind the last one; None for all.

    Raises:
        IndexError: The tensor has no such rows.
        BadModelFile: The file has changed.
    """
    rows = prod(info.shape[:-1])
    stop = rows if stop is None else stop
    if not 0 <= start <= stop <= rows:
        raise IndexError(f"{info.name} has {rows} rows, not {start} to {stop}")
    row_bytes = info.nbytes // max(1, rows)
    found = source.bytes_at(offset + start * row_bytes, (stop - start) * row_bytes)
    return found.reshape(stop - start, row_bytes)


def plain_rows(
    source: SourceFile, offset: int, info: TensorInfo, start: int, stop: int | None
) -> torch.Tensor:
    """Like `stored_rows`, as the numbers that the bytes are: (rows, row length)."""
    found = stored_rows(source, offset, info, start, stop)
    size = DTYPE_BYTES[info.dtype]
    if (offset + start * found.shape[1]) % size:
        found = found.clone()  # kernels may count on numbers that lie at multiples of their size
    shape = len(found), info.shape[-1] if info.shape else 1
    if info.dtype == "BOOL":  # bytes other than 0 and 1 would be undefined as torch's bool
        return found.ne(0).reshape(shape)
    return found.flatten().view(torch_dtype(info.dtype)).reshape(shape)

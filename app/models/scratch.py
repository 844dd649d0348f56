"""Where tensors wait that may be too large for the memory.

A file of them goes when its tensor goes: on most systems it has no name from the start, and on
Windows it is deleted with its last handle. So nothing is left behind, however a process ends. What
a power cut leaves on Windows is deleted the next time that room is needed.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from app.core.errors import NotEnoughSpace
from app.core.files import SPARE_BYTES, free_bytes
from app.core.words import size

if TYPE_CHECKING:
    from torch import Tensor, dtype

_ZEROS = bytes(1 << 20)
_ENDING = ".states"


@dataclass(frozen=True, slots=True)
class Scratch:
    """Room for what a model makes of a text."""

    folder: Path | None = None
    """On the disk that takes what is too large for the memory; None: nothing is."""
    in_memory: int = 0
    """Bytes of a tensor that the memory takes."""

    def empty(self, shape: Sequence[int], of: dtype) -> Tensor:
        """A new tensor on the host, in memory or in a file of its own.

        Raises:
            NotEnoughSpace: The disk has no room for it.
        """
        import torch

        nbytes = math.prod(shape) * of.itemsize
        if self.folder is None or nbytes <= self.in_memory:
            return torch.empty(*shape, dtype=of)
        # The tensor keeps the mapping, and that keeps the file.
        return torch.frombuffer(_mapped(self.folder, nbytes), dtype=of).view(*shape)


def _mapped(folder: Path, nbytes: int) -> mmap.mmap:
    """A file that is there only as long as it is mapped."""
    for left in folder.glob(f"*{_ENDING}"):
        with contextlib.suppress(OSError):  # it is in use
            left.unlink()
    need, free = nbytes + SPARE_BYTES, free_bytes(folder)
    if need > free:
        raise _no_room(folder, nbytes, f"Free {size(need - free)} more there")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, suffix=_ENDING) as file:
            _reserve(file, nbytes)
            return mmap.mmap(file.fileno(), nbytes)
    except OSError as error:
        raise _no_room(folder, nbytes, "Check that disk", repr(error)) from error


def _reserve(file: IO[bytes], nbytes: int) -> None:
    """Take the room on the disk now: a mapping that finds none later ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, nbytes)
        return
    for start in range(0, nbytes, len(_ZEROS)):
        file.write(_ZEROS[: nbytes - start])
    file.flush()


def _no_room(folder: Path, nbytes: int, what_to_do: str, details: str = "") -> NotEnoughSpace:
    return NotEnoughSpace(
        f"What the model makes of the text takes {size(nbytes)}: too much for the memory, and for "
        f"the disk of {folder}, where {size(free_bytes(folder))} are free.",
        f"{what_to_do}, or show the model less text.",
        details,
    )

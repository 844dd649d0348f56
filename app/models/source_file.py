"""A file of weights: looked at once, then read in mapped pieces as long as it stays the same."""

from __future__ import annotations

import mmap
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from app.core.errors import BadModelFile

if TYPE_CHECKING:
    from torch import Tensor

_AGAIN = "Download the file again, and compare its size with the one on the model's page."

#: How files start that are often found in the place of weights, and what they are.
_IMPOSTORS = (
    (b"version https://git-lfs", "a placeholder of Git LFS"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"GGUF", "a GGUF file"),
    (b"PK\x03\x04", "a zip or PyTorch file"),
    (b"\x80\x02", "a pickle file"),
    (b"\x89HDF", "an HDF5 file"),
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A regular file as it was when its header was read."""

    path: Path
    size: int
    modified: int
    """Nanoseconds since 1970."""

    @classmethod
    def look(cls, path: Path) -> SourceFile:
        """Remember what the file looks like now.

        Raises:
            BadModelFile: It cannot be read, or is no regular file.
        """
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise BadModelFile(
                f"{path.name} is not a file.", "Choose the model's folder or its .gguf file."
            )
        return cls(path, status.st_size, status.st_mtime_ns)

    def open(self) -> BinaryIO:
        """The file, ready to read from its start.

        Raises:
            BadModelFile: It is gone, or no longer the file it was.
        """
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise unreadable(self.path, error) from error
        if SourceFile.look(self.path) != self:
            file.close()
            raise BadModelFile(
                f"{self.path.name} has changed since it was opened.",
                "Wait until nothing writes to it any more, then start again.",
            )
        return file

    def bytes_at(self, start: int, nbytes: int) -> Tensor:
        """A range of the file as a uint8 vector that maps the disk while it lives.

        The mapping is private: writing to the tensor never reaches the file.

        Raises:
            BadModelFile: See `open`.
        """
        import torch

        if nbytes == 0:
            with self.open():
                return torch.empty(0, dtype=torch.uint8)
        skip = start % mmap.ALLOCATIONGRANULARITY
        with self.open() as file:
            try:
                mapping = mmap.mmap(
                    file.fileno(), skip + nbytes, access=mmap.ACCESS_COPY, offset=start - skip
                )
            except OSError as error:
                raise unreadable(self.path, error) from error
        return torch.frombuffer(mapping, dtype=torch.uint8, count=nbytes, offset=skip)

    def damaged(self, reason: str, details: object = "") -> BadModelFile:
        """An error to raise: `reason` is a clause such as "its header is cut off"."""
        name = shown(self.path.name)
        return BadModelFile(f"{name} is damaged: {reason}.", _AGAIN, str(details))

    def check_start(self, start: bytes) -> None:
        """Refuse what is not of its kind at all, by its first bytes.

        Raises:
            BadModelFile: With what the file is instead.
        """
        for signature, what in _IMPOSTORS:
            if start.startswith(signature):
                raise BadModelFile(
                    f"{shown(self.path.name)} is in fact {what}.",
                    "Download the real file from the model's page.",
                )


def unreadable(path: Path, error: Exception) -> BadModelFile:
    """An error to raise where the system refuses to read `path`."""
    name = shown(path.name)
    if isinstance(error, FileNotFoundError):
        return BadModelFile(f"{name} is missing.", "Download the model again.", str(error))
    return BadModelFile(
        f"{name} cannot be read.", "Check that you may open it and its disk.", str(error)
    )


def sound_name(name: str, limit: int = 1024) -> bool:
    """Whether a name is short, printable text: no control, format or lone surrogate characters."""
    return name.isprintable() and 0 < len(name) <= limit and len(name.encode()) <= limit


def shown(name: str) -> str:
    """A name that comes from outside, fit for one line of the screen."""
    return "".join(letter if letter.isprintable() else " " for letter in name).strip()[:100]

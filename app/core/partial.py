"""A file that is filled piece by piece and appears under its name only when complete.

Beside the target `model.gguf` stand, until then, `model.gguf.partial` with the bytes
and `model.gguf.partial.journal` with one line for every piece that is safe on disk:
a header {"fingerprint", "size"}, then {"at", "length", "crc"}. A piece is
journalled only after its bytes were synced, so that what the journal says is true
after a power cut. Whoever asks for the same file again (same fingerprint) goes on
where it stood; any other fingerprint starts over.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.core.errors import AppError, NotEnoughSpace
from app.core.files import disk_of, free_bytes, move_into_place, write_atomic
from app.core.lock import FileLock
from app.core.words import size as size_words

Buffer = bytes | bytearray | memoryview

_READ_BYTES = 1 << 22
_LOCK_SECONDS = 15.0  # a worker whose window was killed may need a moment to follow


class PartialFile:
    """The unfinished form of `target`. `write` may be called from any thread."""

    def __init__(
        self, target: Path, size: int, fingerprint: str, *, in_place: bool = False
    ) -> None:
        """With `in_place` it has its name from the start: its folder says that it is unfinished."""
        self.target = target
        self.path = target if in_place else target.with_name(target.name + ".partial")
        self._journal_path = self.path.with_name(self.path.name + ".journal")
        self._size = size
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[int, int]] = {}  # written, not yet in the journal
        self._done: dict[int, tuple[int, int]] = {}  # offset: (length, crc)
        self._owner = FileLock(self.path.with_name(self.path.name + ".lock"))
        self._handle = -1

    def open(self) -> None:
        """Take the file over, keeping the pieces of an earlier run with the same fingerprint.

        Raises:
            AppError: Another process is writing it.
            NotEnoughSpace: The disk cannot take what is missing.
        """
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if not self._owner.acquire(_LOCK_SECONDS):
            raise AppError(
                f"Another job is writing {self.target.name} right now.",
                "Wait until it is done, or choose another place.",
            )
        try:
            self._done = self._read_journal()
            check_space([self])
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._handle = os.open(self.path, flags, 0o644)
            os.ftruncate(self._handle, self._size)
            self._start_journal()
        except BaseException:
            self.close()
            raise

    @property
    def missing(self) -> int:
        """Bytes that are still to be written."""
        done = self._done or self._read_journal()
        return self._size - sum(length for length, _ in done.values())

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier run has left pieces of it."""
        return bool(self._done)

    def has(self, offset: int, length: int) -> bool:
        """Whether this piece was finished before and its bytes are still the ones written."""
        if offset not in self._done:
            return False
        wanted, crc = self._done[offset]
        if wanted != length or self._crc(offset, length) != crc:
            del self._done[offset]
            return False
        return True

    def write(self, offset: int, content: Buffer) -> None:
        """Put `content` at `offset`; it counts as finished after the next `checkpoint`.

        Raises:
            NotEnoughSpace: The disk is full; what was written stays for another try.
        """
        view = memoryview(content)
        with self._full_disk_in_words():
            written = 0
            while written < len(view):
                written += self._write_at(offset + written, view[written:])
        with self._lock:
            self._waiting[offset] = (len(view), zlib.crc32(view))

    def checkpoint(self) -> None:
        """Make everything written so far survive a crash."""
        with self._lock:
            ready, self._waiting = self._waiting, {}
        if not ready:
            return
        with self._full_disk_in_words():
            os.fsync(self._handle)  # the bytes first, then the claim that they are there
            with self._journal_path.open("ab") as journal:
                for offset, (length, crc) in ready.items():
                    journal.write(f"{_line(offset, length, crc)}\n".encode())
                journal.flush()
                os.fsync(journal.fileno())

    def commit(self) -> None:
        """Give the complete file its name."""
        with self._full_disk_in_words():
            os.fsync(self._handle)
        self._close_handle()  # Windows does not rename open files
        if self.path != self.target:
            move_into_place(self.path, self.target)
        self._journal_path.unlink(missing_ok=True)
        self._release()

    def close(self) -> None:
        """Let go of the file; its pieces stay for a later run."""
        self._close_handle()
        self._release()

    def discard(self) -> None:
        """Delete the unfinished file."""
        self._close_handle()
        discard_partial(self.target)
        self._release()

    def _release(self) -> None:
        self._owner.release()
        if not (self.path.exists() and self._journal_path.exists()):
            self.path.with_name(self.path.name + ".lock").unlink(missing_ok=True)

    def _close_handle(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    @contextlib.contextmanager
    def _full_disk_in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            free = free_bytes(self.target.parent)
            raise NotEnoughSpace(
                f"{self.target.name} could not be written; its disk has {size_words(free)} free.",
                "Free some space or check the disk, then start the job again: it goes on where "
                "it stood.",
                repr(error),
            ) from error

    def _start_journal(self) -> None:
        """Write the header and what is known to be finished; drops a line cut by a crash."""
        header = {"fingerprint": self._fingerprint, "size": self._size}
        lines = [json.dumps(header), *(_line(at, *piece) for at, piece in self._done.items())]
        write_atomic(self._journal_path, "".join(f"{line}\n" for line in lines).encode())

    def _read_journal(self) -> dict[int, tuple[int, int]]:
        """Pieces by offset; empty unless journal and file are those of the wanted result."""
        try:
            content = self._journal_path.read_bytes()
            lines = content[: content.rfind(b"\n") + 1].splitlines()
            header = json.loads(lines[0])
            same = header == {"fingerprint": self._fingerprint, "size": self._size}
            if not same or self.path.stat().st_size != self._size:
                return {}
            pieces = [json.loads(line) for line in lines[1:]]
            return {piece["at"]: (piece["length"], piece["crc"]) for piece in pieces}
        except (OSError, ValueError, LookupError, TypeError):
            return {}

    def _crc(self, offset: int, length: int) -> int:
        crc, end = 0, offset + length
        while offset < end:
            piece = self._read_at(offset, min(_READ_BYTES, end - offset))
            if not piece:
                break
            crc = zlib.crc32(piece, crc)
            offset += len(piece)
        return crc

    def _write_at(self, offset: int, content: memoryview) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._handle, content, offset)
        with self._lock:
            os.lseek(self._handle, offset, os.SEEK_SET)
            return os.write(self._handle, content)

    def _read_at(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._handle, length, offset)
        with self._lock:
            os.lseek(self._handle, offset, os.SEEK_SET)
            return os.read(self._handle, length)


@contextlib.contextmanager
def opened(files: Sequence[PartialFile]) -> Iterator[None]:
    """Have several files open inside this block; their disks must take all of them.

    Raises:
        AppError: Another process is writing one of them.
        NotEnoughSpace: A disk cannot take what is missing.
    """
    check_space(files)
    with contextlib.ExitStack() as stack:
        for file in files:
            file.open()
            stack.callback(file.close)
        yield


def check_space(files: Sequence[PartialFile]) -> None:
    """Make sure that what is missing of `files` has room.

    Raises:
        NotEnoughSpace: A disk cannot take what is missing.
    """
    by_disk: dict[int, list[PartialFile]] = {}
    for file in files:
        by_disk.setdefault(disk_of(file.target.parent), []).append(file)
    for together in by_disk.values():
        place = together[0].target.parent
        need, free = sum(file.missing for file in together), free_bytes(place)
        if need > free:
            raise NotEnoughSpace(
                f"The disk of {place} is too full: {size_words(need)} are needed and "
                f"{size_words(free)} are free.",
                f"Free {size_words(need - free)} more, or choose another place.",
            )


def discard_partial(target: Path) -> None:
    """Delete what an unfinished job left beside `target`."""
    for suffix in ("", ".journal", ".lock", ".layers", ".new"):
        with contextlib.suppress(OSError):
            target.with_name(f"{target.name}.partial{suffix}").unlink(missing_ok=True)


def _line(offset: int, length: int, crc: int) -> str:
    return json.dumps({"at": offset, "length": length, "crc": crc})

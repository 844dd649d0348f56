"""One file from the hub to the disk: resumed where it was cut off, checked before it counts.

Until it is complete, `model.safetensors` is `model.safetensors.part`, beside it a small JSON
file that says what it is going to be and how many of its bytes are safe on disk. After a crash
or a power cut no byte beyond those is believed. The file gets its name only when its content is
what the hub says it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from app.core.errors import NotEnoughSpace
from app.core.files import free_bytes, move_into_place, write_atomic
from app.core.hub import HubFile
from app.core.words import size
from app.hub import errors
from app.hub.client import Answer, Client
from app.hub.digest import Digest

PART = ".part"
SIDECAR = ".part.json"
_SYNC_BYTES = 32_000_000
_SYNC_SECONDS = 2.0
_TRIES_AT_CONTENT = 3
_PIECE = 1 << 22
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Throttle:
    """Lets a number of bytes a second through, for all files together; 0 means all."""

    def __init__(self, bytes_a_second: float = 0.0) -> None:
        self._rate = bytes_a_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait_for(self, nbytes: int) -> float:
        """Seconds to wait before the next `nbytes`."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            now = time.monotonic()
            wait = max(0.0, self._free_at - now)
            self._free_at = max(now, self._free_at) + nbytes / self._rate
            return wait


@dataclass(frozen=True, slots=True)
class Origin:
    """Where files come from."""

    client: Client
    repo: str
    commit: str


class FileDownload:
    """Brings one file to its place. To stop it, stop its client: what is safe stays."""

    def __init__(
        self,
        origin: Origin,
        file: HubFile,
        place: Path,
        throttle: Throttle,
        tell: Callable[[int], None],
    ) -> None:
        """Prepare.

        Args:
            origin: Where it comes from.
            file: What it is.
            place: Its path on this computer.
            throttle: Shared by all downloads.
            tell: Called with the number of bytes that were added (or, negative, thrown away).
        """
        self._origin = origin
        self._client = origin.client
        self._file = file
        self._place = place
        self._throttle = throttle
        self._tell = tell
        self._url = self._client.file_url(origin.repo, origin.commit, file.name)
        self._part = place.with_name(place.name + PART)
        self._sidecar = place.with_name(place.name + SIDECAR)
        self._held = 0  # bytes in the file and in the digest
        self._safe = 0  # of these, on disk for sure
        self._safe_since = time.monotonic()
        self._etag = ""
        self._digest = Digest(file)

    def run(self) -> None:
        """Download what is missing, check all of it, and give it its name.

        Raises:
            AppError: It cannot be had; what is safe stays for another try.
        """
        self._place.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES_AT_CONTENT):
            with self._opened() as out:
                self._resume(out)
                self._complete(out)
                with self._full_disk_in_words():
                    out.flush()
                    os.fsync(out.fileno())
            if self._digest.agrees():
                move_into_place(self._part, self._place)
                self._sidecar.unlink(missing_ok=True)
                return
            self._tell(-self._held)
            self._sidecar.unlink(missing_ok=True)
            self._part.unlink()
            self._held = 0
        raise errors.damaged(self._file.name)

    def _opened(self) -> BinaryIO:
        return self._part.open("r+b" if self._part.exists() else "w+b")

    def _resume(self, out: BinaryIO) -> None:
        """Take over what an earlier run has made safe."""
        self._digest = Digest(self._file)
        self._held = self._safe = 0
        note = self._read_sidecar()
        safe = note.get("safe", 0)
        length = os.fstat(out.fileno()).st_size
        trusted = type(safe) is int and 0 < safe <= min(length, self._file.nbytes)
        if not trusted or note != self._note(safe, note.get("etag", "")):
            self._start_over(out)
            return
        out.truncate(safe)
        while piece := out.read(_PIECE):
            self._client.pause(0)  # stops where it was asked to
            self._digest.add(piece)
            self._held += len(piece)
            self._tell(len(piece))
        self._safe, self._etag = self._held, str(note["etag"])

    def _complete(self, out: BinaryIO) -> None:
        """Receive until all is there, over as many connections as it takes."""
        failures = 0
        while self._held < self._file.nbytes:
            before = self._held
            try:
                self._receive(out)
            except errors.HubError as error:
                self._make_safe(out)
                failures = 1 if self._held > before else failures + 1
                # A connection that is gone for a minute is no reason to end a night's work.
                error.passing |= isinstance(error, errors.Offline)
                wait = self._client.wait_after(error, failures)
                if wait is None or failures >= self._client.patience.tries_at_file:
                    raise
                self._client.pause(wait)

    def _receive(self, out: BinaryIO) -> None:
        """What one connection gives.

        Raises:
            HubError: It was cut off, or gave something else.
        """
        headers = {}
        if self._held:
            headers["Range"] = f"bytes={self._held}-"
            if self._etag.startswith('"'):  # a weak one may not be asked about
                headers["If-Range"] = self._etag
        with self._client.open(self._url, headers, self._origin.repo) as answer:
            self._agree(answer, out)
            for piece in answer.pieces():
                self._take(piece, out)
        if self._held < self._file.nbytes:
            raise self._try_again("the connection ended early")

    def _agree(self, answer: Answer, out: BinaryIO) -> None:
        """Make sure that the answer goes on where we stand, or start over."""
        etag = answer.headers.get("ETag", "")
        if answer.status == 206:
            said = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            fits = said is not None and (int(said[1]), int(said[3])) == (
                self._held,
                self._file.nbytes,
            )
            if not self._held or not fits or (self._etag and etag and etag != self._etag):
                self._start_over(out)
                raise self._try_again("the answer is another part, or of another file")
        elif answer.status == 416:
            self._start_over(out)
            raise self._try_again("the hub has less of this file than we do")
        elif self._held:
            self._start_over(out)
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) != self._file.nbytes - self._held:
            self._start_over(out)
            raise self._try_again(f"the answer is {length} bytes long")
        self._etag = etag

    def _take(self, piece: bytes, out: BinaryIO) -> None:
        if self._held + len(piece) > self._file.nbytes:
            self._start_over(out)
            raise self._try_again("the answer is longer than the file")
        wait = self._throttle.wait_for(len(piece))
        if wait:
            self._client.pause(wait)
        with self._full_disk_in_words():
            out.write(piece)
        self._digest.add(piece)
        self._held += len(piece)
        self._tell(len(piece))
        late = time.monotonic() - self._safe_since > _SYNC_SECONDS
        if late or self._held - self._safe > _SYNC_BYTES:
            self._make_safe(out)

    def _make_safe(self, out: BinaryIO) -> None:
        """Sync the bytes, and only then say that they are there."""
        if self._held > self._safe:
            with self._full_disk_in_words():
                out.flush()
                os.fsync(out.fileno())
                note = self._note(self._held, self._etag)
                write_atomic(self._sidecar, json.dumps(note).encode())
            self._safe = self._held
        self._safe_since = time.monotonic()

    def _start_over(self, out: BinaryIO) -> None:
        self._sidecar.unlink(missing_ok=True)
        out.seek(0)
        out.truncate()
        self._tell(-self._held)
        self._digest = Digest(self._file)
        self._held = self._safe = 0
        self._etag = ""

    def _note(self, safe: int, etag: object) -> dict[str, Any]:
        return {
            "repo": self._origin.repo,
            "commit": self._origin.commit,
            **asdict(self._file),
            "etag": etag,
            "safe": safe,
        }

    def _read_sidecar(self) -> dict[str, Any]:
        try:
            note = json.loads(self._sidecar.read_bytes())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def _try_again(self, details: str) -> errors.HubError:
        found = errors.strange_answer(self._client.endpoint, f"{self._file.name}: {details}")
        found.passing = True
        return found

    @contextlib.contextmanager
    def _full_disk_in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NotEnoughSpace(
                f"{self._file.name} could not be written; its disk has "
                f"{size(free_bytes(self._place.parent))} free.",
                "Free some space or check the disk, then start again: it goes on where it stood.",
                repr(error),
            ) from error

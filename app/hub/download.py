"""A whole model from the hub into a folder: a generator of events, like a conversion.

To stop it, close it: what is safe stays, and the next run goes on there. What Hugging Face's
own programs have downloaded already is taken from their cache (which is only read) after its
content was checked.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from app.core.errors import AppError, NotEnoughSpace, Unsupported
from app.core.events import Note, Progress
from app.core.files import free_bytes, move_into_place, write_atomic
from app.core.hub import HubFile, HubModelDetails
from app.core.lock import FileLock
from app.core.words import size
from app.hub.client import Client
from app.hub.digest import holds
from app.hub.file_download import PART, SIDECAR, FileDownload, Origin, Throttle
from app.hub.names import place_in, shared_home
from app.hub.selection import Selection

MANIFEST = ".nibble.json"
_LOCK = ".nibble.lock"
_LOCK_SECONDS = 15.0
_AT_ONCE = 4
_BEAT_SECONDS = 0.2
_SPEED_SECONDS = 5.0
_MARGIN = 0.05  # of what is needed; a disk that is full to the last byte fails other programs


@dataclass(frozen=True, slots=True)
class Wish:
    """What to download, and how."""

    details: HubModelDetails
    selection: Selection
    folder: Path
    bytes_a_second: float = 0.0
    """At most; 0: as fast as it goes."""
    bytes_after: int = 0
    """Space on the same disk that is needed once the model is there."""


def download(client: Client, wish: Wish) -> Generator[Progress | Note]:
    """Bring every file to its place under `wish.folder`; the client is used up by it.

    Raises:
        AppError: It cannot be done; what is there stays for another try.
    """
    wish.folder.mkdir(parents=True, exist_ok=True)
    owner = FileLock(wish.folder / _LOCK)
    if not owner.acquire(_LOCK_SECONDS):
        raise AppError(
            f"Another program is downloading {wish.details.model.id} right now.",
            "Wait until it is done.",
        )
    try:
        _sweep(wish)
        run = _Run(client, wish)
        yield from run.bring(wish.selection.small)
        wanted = wish.selection.narrowed(wish.folder)
        run.expect(wanted.nbytes)
        yield from run.bring(wanted.weights)
    finally:
        client.stop()
        owner.release()


class _Run:
    """One download: what is there, and how far the rest is."""

    def __init__(self, client: Client, wish: Wish) -> None:
        self._origin = Origin(client, wish.details.model.id, wish.details.commit)
        self._client = client
        self._wish = wish
        self._throttle = Throttle(wish.bytes_a_second)
        self._manifest = _Manifest(wish.folder)
        self._lock = threading.Lock()
        self._got = 0
        self._total = wish.selection.nbytes
        self._recent: deque[tuple[float, int]] = deque()
        self._current = ""

    def expect(self, nbytes: int) -> None:
        """Correct the size of the whole."""
        self._total = nbytes

    def bring(self, files: Sequence[HubFile]) -> Generator[Progress | Note]:
        """Several files at a time; those that are there are checked only."""
        missing = []
        for file in files:
            place = place_in(self._wish.folder, file.name)
            if self._manifest.knows(file, place):
                self._add(file.nbytes)
            else:
                missing.append((file, place))
        self._check_space(missing)
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="download")
        waiting = {pool.submit(self._bring, file, place): (file, place) for file, place in missing}
        try:
            with closing(self._watch(waiting)) as events:
                yield from events
        except BaseException:
            self._client.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _watch(
        self, waiting: dict[Future[str], tuple[HubFile, Path]]
    ) -> Generator[Progress | Note]:
        while waiting:
            done, _ = wait(waiting, _BEAT_SECONDS, FIRST_COMPLETED)
            for future in done:
                file, place = waiting.pop(future)
                note = future.result()
                self._manifest.add(file, place)
                if note:
                    yield Note(note)
            yield self._progress()

    def _bring(self, file: HubFile, place: Path) -> str:
        """One file, from the nearest place that has it; a sentence if that is worth saying."""
        self._current = file.name
        if self._is_good(place, file):
            return ""
        if place.exists() and not self._manifest.made(file):
            raise Unsupported(
                f"There is another file called {file.name} in {self._wish.folder}.",
                "Choose another folder, or move that file away.",
            )
        for copy in _cached(self._origin.repo, self._origin.commit, file):
            if self._is_good(copy, file):
                _take_over(copy, place)
                return f"{file.name} was on this computer already."
        FileDownload(self._origin, file, place, self._throttle, self._add).run()
        return ""

    def _is_good(self, path: Path, file: HubFile) -> bool:
        """Whether `path` has the content of `file`; counts it then."""
        read = 0

        def tell(nbytes: int) -> None:
            nonlocal read
            self._client.pause(0)  # raises once we are stopped
            read += nbytes
            self._add(nbytes)

        good = path.is_file() and holds(path, file, tell)
        if not good:
            self._add(-read)
        return good

    def _add(self, nbytes: int) -> None:
        with self._lock:
            self._got += nbytes

    def _progress(self) -> Progress:
        now, got = time.monotonic(), min(self._got, self._total)
        self._recent.append((now, got))
        while self._recent[-1][0] - self._recent[0][0] > _SPEED_SECONDS:
            self._recent.popleft()
        (start, before), (stop, after) = self._recent[0], self._recent[-1]
        speed = max(0.0, (after - before) / (stop - start)) if stop > start else 0.0
        share = got / self._total if self._total else 1.0
        return Progress("download", got, self._total, self._current, share, speed)

    def _check_space(self, missing: list[tuple[HubFile, Path]]) -> None:
        need = 0
        for file, place in missing:
            part = place.with_name(place.name + PART)
            have = part.stat().st_size if part.exists() else 0
            need += max(0, file.nbytes - have)
        if not need:
            return
        need = round((need + self._wish.bytes_after) * (1 + _MARGIN))
        free = free_bytes(self._wish.folder)
        if need > free:
            raise NotEnoughSpace(
                f"The disk of {self._wish.folder} is too full: {size(need)} are needed and "
                f"{size(free)} are free.",
                f"Free {size(need - free)} more, or choose another place.",
            )


class _Manifest:
    """Remembers which files were complete and checked, by their size and time since then."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / MANIFEST
        try:
            saved = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            saved = {}
        self._files: dict[str, object] = saved if isinstance(saved, dict) else {}

    def knows(self, file: HubFile, place: Path) -> bool:
        return place.exists() and self._files.get(file.name) == _facts(file, place)

    def made(self, file: HubFile) -> bool:
        """Whether a file of that name came from here."""
        return file.name in self._files

    def add(self, file: HubFile, place: Path) -> None:
        self._files[file.name] = _facts(file, place)
        write_atomic(self._path, json.dumps(self._files).encode())


def _sweep(wish: Wish) -> None:
    """Remove the notes that an earlier run was killed over while it wrote them."""
    places = [place_in(wish.folder, file.name) for file in wish.selection.files]
    for name, folder in {(MANIFEST, wish.folder), *((p.name + SIDECAR, p.parent) for p in places)}:
        for left in folder.glob(f".{glob.escape(name)}.*.tmp"):
            left.unlink(missing_ok=True)


def _facts(file: HubFile, place: Path) -> dict[str, object]:
    status = place.stat()
    return {**asdict(file), "on_disk": status.st_size, "modified": status.st_mtime_ns}


def _cached(repo: str, commit: str, file: HubFile) -> Iterator[Path]:
    """Where the cache of huggingface_hub would have this file."""
    cache = Path(os.environ.get("HF_HUB_CACHE") or shared_home() / "hub").expanduser()
    folder = cache / f"models--{repo.replace('/', '--')}"
    yield folder / "blobs" / (file.sha256 or file.git_sha1)
    yield folder / "snapshots" / commit / file.name  # where the system has no links


def _take_over(copy: Path, place: Path) -> None:
    """The same file under a second name where the disk allows that; else a copy of it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unnamed = place.with_name(place.name + ".copy")
    with contextlib.suppress(OSError):
        unnamed.unlink()
    try:
        os.link(copy.resolve(), unnamed)
    except OSError:
        shutil.copyfile(copy, unnamed)
        with unnamed.open("rb+") as file:
            os.fsync(file.fileno())
    move_into_place(unnamed, place)


def remaining_bytes(wish: Wish) -> int:
    """Bytes that `download` would have to fetch, as far as can be told without a network."""
    manifest = _Manifest(wish.folder)
    places = ((file, wish.folder / file.name) for file in wish.selection.files)
    return sum(file.nbytes for file, place in places if not manifest.knows(file, place))

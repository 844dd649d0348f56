"""The files of a result that is a folder: they get their place all at once.

Until then they lie in a folder beside it, `model.partial` for `model`, under the names that they
will have. An existing folder is replaced only where everything in it belongs to a model; whatever
else lies there is nobody's to delete.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from app.core.errors import Unsupported
from app.core.files import sync_folder, write_atomic
from app.core.partial import PartialFile, discard_partial
from app.core.plan import Plan
from app.core.report import Report
from app.evaluation.card import with_results
from app.formats.safetensors.companions import foreign_files, is_of_model
from app.worker.files import ResultFiles, state

_TRIES = 10  # on Windows a virus scanner may hold a new file open for a moment


class FolderFiles(ResultFiles):
    """Where a folder of results is, and what it takes to give it its name."""

    def __init__(self, target: Path, plan: Plan, fingerprint: str, mark: Path) -> None:
        self._target, self._plan = target, plan
        self._unfinished = _beside(target, ".partial")
        super().__init__(self._unfinished, plan, fingerprint, mark)
        found = zip(plan.files, self._final(), self._marked(), strict=True)
        self._in_place = all(
            path.is_file() if file.grows else state(path) == known for file, path, known in found
        )

    @property
    @override
    def is_placed(self) -> bool:
        return self._in_place

    @property
    @override
    def is_whole(self) -> bool:
        return self._in_place or all(self._whole)

    @property
    @override
    def states(self) -> Path:
        return _beside(self._target, ".partial.layers")

    @override
    def to_open(self) -> Sequence[PartialFile]:
        return () if self.is_whole else self._files

    @override
    def paths(self) -> list[Path]:
        return self._final() if self._in_place else [file.path for file in self._files]

    @override
    def refuse_existing(self) -> None:
        if not self._in_place:
            refuse_folder(self._target, overwrite=False)

    @override
    def place(self) -> None:
        """Give the complete folder its name.

        Raises:
            Unsupported: Somebody has put other files there.
        """
        refuse_folder(self._target, overwrite=True)
        opened = self.to_open()
        self._write([state(path) for path in self.paths()])
        for file in opened:
            file.commit()
        _remove_files(self._unfinished, keep={file.target.name for file in self._files})
        old = _beside(self._target, ".replaced")
        if self._target.exists():
            _remove_folder(old)
            _rename(self._target, old)
        _rename(self._unfinished, self._target)
        _remove_folder(old)
        self._in_place = True

    @override
    def complete(self, report: Report) -> None:
        """Add to the card what the job has found; a card that somebody has changed stays."""
        card = next(file for file in self._plan.files if file.grows)
        place = self._target / card.name
        found = place.read_bytes()
        if found.startswith(card.header):
            told = with_results(card.header.decode(), report).encode()
            if told != found:
                write_atomic(place, told)

    def _final(self) -> list[Path]:
        return [self._target / file.target.name for file in self._files]


def refuse_folder(target: Path, *, overwrite: bool) -> None:
    """Make sure that a folder may get this name.

    Args:
        target: Where it goes.
        overwrite: Whether a model that is there may be replaced.

    Raises:
        Unsupported: Something is there that may not.
    """
    if target.is_file():
        raise Unsupported(
            f"There is a file called {target.name}.", "Choose another name for the folder."
        )
    if not target.exists():
        return
    foreign = foreign_files(target)
    if foreign:
        raise Unsupported(
            f"The folder {target.name} holds files that belong to no model: {foreign[0]}"
            f"{' and others' if len(foreign) > 1 else ''}.",
            "Choose another name, or move them away first.",
            "\n".join(foreign),
        )
    if any(target.iterdir()) and not overwrite:
        raise Unsupported(
            f"There is a folder called {target.name} already.",
            "Choose another name, or allow it to be replaced.",
        )


def discard_folder(target: Path) -> None:
    """Delete what an unfinished result has left beside `target`."""
    discard_partial(target)
    _remove_folder(_beside(target, ".partial"))


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)


def _remove_folder(folder: Path) -> None:
    """Delete a folder of a model; other files stay, and with them the folder."""
    if folder.is_dir():
        _remove_files(folder)
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def _remove_files(folder: Path, keep: frozenset[str] | set[str] = frozenset()) -> None:
    for path in folder.iterdir():
        if path.is_file() and is_of_model(path.name) and path.name not in keep:
            path.unlink(missing_ok=True)


def _rename(source: Path, target: Path) -> None:
    """Rename a folder, and make that durable."""
    for _ in range(_TRIES):
        try:
            source.rename(target)
            break
        except PermissionError:
            time.sleep(0.1)
    else:
        source.rename(target)
    sync_folder(target.parent)

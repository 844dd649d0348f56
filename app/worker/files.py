"""The files of one result: unfinished, complete, or in place.

What is complete is remembered by size and time in the job's folder, just before the files get
their names: renaming changes neither. So a job that was cut off between two names, or while it
measured, knows what is left to do, and a file that somebody else put there is not taken for its
own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.core.errors import Unsupported
from app.core.files import write_atomic
from app.core.job import Output
from app.core.partial import PartialFile, discard_partial
from app.core.plan import Plan
from app.core.report import Report


class ResultFiles:
    """Where a result is, and what it takes to give it its names."""

    def __init__(self, target: Path, plan: Plan, fingerprint: str, mark: Path) -> None:
        """`mark` is the file that remembers what is complete."""
        self._fingerprint = fingerprint
        self._mark = mark
        self._files = tuple(
            PartialFile(file.path(target), file.nbytes, fingerprint, in_place=plan.is_folder)
            for file in plan.files
        )
        pairs = list(zip(self._files, self._marked(), strict=True))
        self._placed = [state(file.target) == known for file, known in pairs]
        self._whole = [state(file.path) == known for file, known in pairs]

    @property
    def is_placed(self) -> bool:
        """Whether all files are complete and have their names."""
        return all(self._placed)

    @property
    def is_whole(self) -> bool:
        """Whether all files are complete; some may still want their names."""
        pairs = zip(self._placed, self._whole, strict=True)
        return all(placed or whole for placed, whole in pairs)

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier run has left pieces."""
        return any(file.is_resumed for file in self._files)

    def to_open(self) -> Sequence[PartialFile]:
        """The files that have to be open for what is left to do."""
        pairs = zip(self._files, self._placed, strict=True)
        return [file for file, placed in pairs if not (placed and self.is_whole)]

    @property
    def states(self) -> Path:
        """Where a run may keep what the next one needs to go on, until the files are complete."""
        path = self._files[0].path
        return path.with_name(f"{path.name}.layers")

    def paths(self) -> list[Path]:
        """Where the files are now."""
        pairs = zip(self._files, self._placed, strict=True)
        return [file.target if placed and self.is_whole else file.path for file, placed in pairs]

    def refuse_existing(self) -> None:
        """Make sure that no file of somebody else would be replaced.

        Raises:
            Unsupported: There is one.
        """
        pairs = zip(self._files, self._placed, strict=True)
        refuse_existing(file.target for file, placed in pairs if not placed)

    def place(self) -> None:
        """Give the complete files their names.

        The first is the one that programs open: it is there only once all are.
        """
        facts = [state(path) for path in self.paths()]
        self._write(facts)
        pending = self.to_open()
        if len(self._files) > 1 and self._files[0] in pending:
            self._files[0].target.unlink(missing_ok=True)
        for file in reversed(pending):
            file.commit()
        self._placed = [True] * len(self._files)

    def complete(self, report: Report) -> None:
        """Say in the result itself what `report` tells of it, where there is a place for that."""

    def _write(self, facts: Sequence[list[int]]) -> None:
        content = {"fingerprint": self._fingerprint, "files": facts}
        write_atomic(self._mark, json.dumps(content).encode())

    def _marked(self) -> list[list[int] | None]:
        """Size and time of every file when it was complete; None where it was not."""
        unknown: list[list[int] | None] = [None] * len(self._files)
        try:
            content = json.loads(self._mark.read_bytes())
            same = content["fingerprint"] == self._fingerprint
            return content["files"] if same and len(content["files"]) == len(unknown) else unknown
        except (OSError, ValueError, LookupError, TypeError):
            return unknown


def refuse_existing(paths: Iterable[Path]) -> None:
    """Make sure that none of these files is there.

    Raises:
        Unsupported: One is.
    """
    present = next((path for path in paths if path.exists()), None)
    if present:
        raise Unsupported(
            f"There is a file called {present.name} already.",
            "Choose another name, or allow it to be replaced.",
        )


def state(path: Path) -> list[int]:
    """Size and time; empty where there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def discard_results(outputs: Sequence[Output]) -> None:
    """Delete what unfinished results have left beside their targets, where these are files."""
    for output in outputs:
        target = Path(output.target)
        discard_partial(target)
        for kind in ("partial", "partial.journal"):
            for left in target.parent.glob(f"*-of-*{target.suffix}.{kind}"):
                part = left.with_name(left.name.removesuffix(f".{kind}"))
                if part.name.startswith(f"{target.stem}-"):
                    discard_partial(part)

"""Where a result will be written, and whether that can work. No Qt, no widgets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from app.core import words
from app.core.files import free_bytes
from app.core.model import Problem


@dataclass(frozen=True, slots=True)
class Target:
    """A wanted result, or several in one folder."""

    path: str
    """Of the file or folder that is the result; of the folder for several."""
    extension: str
    """".gguf", or "" for a folder."""
    nbytes: int
    source: str
    taken: frozenset[str] = frozenset()
    """Targets of jobs that still wait or run."""
    is_suggestion: bool = False
    """Whether the name is ours to change."""
    names: tuple[str, ...] = ()
    """Of the results in the folder, where there are several; these are always ours to change."""

    @property
    def is_folder(self) -> bool:
        """Whether a result is a folder of files."""
        return not self.extension


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about a `Target`."""

    target: Target
    path: str
    """The target's path; numbered, where a suggestion was not free."""
    paths: tuple[str, ...] = ()
    """Of all results."""
    free: int = 0
    """Bytes free on its disk."""
    exists: bool = False
    """Whether there is a result with this name, which may be replaced."""
    makes_folder: bool = False
    """Whether its folder is still to be made."""
    problem: Problem | None = None


def free_name(path: str, extension: str, taken: frozenset[str]) -> str:
    """`path`, or the first numbered name beside it that nothing has."""
    wanted, number = Path(path), 1
    stem = _without(wanted.name, extension)
    candidate = wanted
    while candidate.exists() or str(candidate) in taken:
        number += 1
        candidate = wanted.with_name(f"{stem}-{number}{extension}")
    return str(candidate)


def renamed(path: str, before: str, after: str) -> str:
    """A path that was chosen for one kind of result, for another kind, by their extensions."""
    return _without(path, before) + after


def _without(name: str, extension: str) -> str:
    """A folder's name may have dots, and no extension."""
    has = bool(extension) and name.lower().endswith(extension)
    return name[: -len(extension)] if has else name


def check(target: Target) -> Check:
    """Look at the disk; may take long on one that sleeps or is far away."""
    try:
        return _check(target)
    except OSError as error:
        return Check(target, target.path, problem=Problem("This place cannot be read.", str(error)))


def _check(target: Target) -> Check:
    problem = _name_problem(target)
    if problem is not None:
        return Check(target, target.path, problem=problem)
    if target.names:
        return _check_folder(target)
    path = target.path
    if target.is_suggestion:
        path = free_name(path, target.extension, target.taken)
    place = Path(path)
    free = free_bytes(place)
    return Check(
        target=target,
        path=path,
        paths=(path,),
        free=free,
        exists=any(place.iterdir()) if place.is_dir() else place.exists(),
        makes_folder=not place.parent.exists(),
        problem=_place_problem(target, place, free),
    )


def _check_folder(target: Target) -> Check:
    folder = Path(target.path)
    wanted = (str(folder / name) for name in target.names)
    paths = tuple(free_name(path, target.extension, target.taken) for path in wanted)
    free = free_bytes(folder)
    problem = _folder_problem(folder) or _room_problem(target, free)
    if folder.exists() and not folder.is_dir():
        problem = Problem("This is a file, not a folder.", "Choose another folder.")
    return Check(
        target,
        target.path,
        paths=paths,
        free=free,
        makes_folder=not folder.exists(),
        problem=problem,
    )


def _name_problem(target: Target) -> Problem | None:
    path = Path(target.path)
    if not target.path.strip():
        return Problem("Choose where to save the result.")
    if not path.is_absolute():
        return Problem("This is not a full path.", "Choose a folder with the button beside it.")
    if not target.names and not path.name.lower().endswith(target.extension):
        return Problem(f"The name has to end in {target.extension}.")
    return None


def _place_problem(target: Target, place: Path, free: int) -> Problem | None:
    if place.is_dir() != target.is_folder and place.exists():
        kind = "folder" if place.is_dir() else "file"
        return Problem(f"There is a {kind} with this name.", "Choose another name.")
    if _same(place, Path(target.source)):
        return Problem("This is the model itself.", "Choose another name.")
    if str(place) in target.taken:
        return Problem("Another job is going to write to this place.", "Choose another name.")
    return _foreign_problem(place) or _folder_problem(place.parent) or _room_problem(target, free)


def _foreign_problem(place: Path) -> Problem | None:
    """A folder is only replaced where all that is in it belongs to a model."""
    if not place.is_dir():
        return None
    from app.formats.safetensors.companions import foreign_files  # slow, and rarely needed

    foreign = foreign_files(place)
    if foreign:
        return Problem(
            f"This folder has files that belong to no model: {foreign[0]}.", "Choose another name."
        )
    return None


def _folder_problem(folder: Path) -> Problem | None:
    """`folder` itself may still be made."""
    nearest = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        return Problem("Nothing can be saved in this folder.", "Choose another folder.")
    return None


def _room_problem(target: Target, free: int) -> Problem | None:
    if free < target.nbytes:
        missing = words.size(target.nbytes - free)
        return Problem(
            f"{missing} more room is needed on this disk.", "Make room or choose another disk."
        )
    return None


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)

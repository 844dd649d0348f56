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
    """Of the file; of the folder where there are several."""
    extension: str
    """".gguf", or "" for a folder."""
    nbytes: int
    source: str
    taken: frozenset[str] = frozenset()
    """Targets of jobs that still wait or run."""
    is_suggestion: bool = False
    """Whether the name is ours to change."""
    names: tuple[str, ...] = ()
    """Of the files in the folder, where there are several; these are always ours to change."""


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
    makes_folder: bool = False
    """Whether its folder is still to be made."""
    problem: Problem | None = None


def free_name(path: str, taken: frozenset[str]) -> str:
    """`path`, or the first numbered name beside it that nothing has."""
    wanted, number = Path(path), 1
    candidate = wanted
    while candidate.exists() or str(candidate) in taken:
        number += 1
        candidate = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return str(candidate)


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
    path = free_name(target.path, target.taken) if target.is_suggestion else target.path
    place = Path(path)
    free = free_bytes(place)
    return Check(
        target=target,
        path=path,
        paths=(path,),
        free=free,
        exists=place.exists(),
        makes_folder=not place.parent.exists(),
        problem=_place_problem(target, place, free),
    )


def _check_folder(target: Target) -> Check:
    folder = Path(target.path)
    paths = tuple(free_name(str(folder / name), target.taken) for name in target.names)
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
    if not target.names and path.suffix.lower() != target.extension:
        return Problem(f"The name has to end in {target.extension}.")
    return None


def _place_problem(target: Target, place: Path, free: int) -> Problem | None:
    if place.is_dir():
        return Problem("There is a folder with this name.", "Choose another name.")
    if _same(place, Path(target.source)):
        return Problem("This is the model itself.", "Choose another name.")
    if str(place) in target.taken:
        return Problem("Another job is going to write this file.", "Choose another name.")
    return _folder_problem(place.parent) or _room_problem(target, free)


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

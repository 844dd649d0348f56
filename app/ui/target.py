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
    """A wanted result."""

    path: str
    extension: str
    """".gguf", or "" for a folder."""
    nbytes: int
    source: str
    taken: frozenset[str] = frozenset()
    """Targets of jobs that still wait or run."""
    is_suggestion: bool = False
    """Whether the name is ours to change."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about a `Target`."""

    target: Target
    path: str
    """The target's path; numbered, where a suggestion was not free."""
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
    path = free_name(target.path, target.taken) if target.is_suggestion else target.path
    place = Path(path)
    free = free_bytes(place)
    return Check(
        target=target,
        path=path,
        free=free,
        exists=place.exists(),
        makes_folder=not place.parent.exists(),
        problem=_place_problem(target, place, free),
    )


def _name_problem(target: Target) -> Problem | None:
    path = Path(target.path)
    if not target.path.strip():
        return Problem("Choose where to save the result.")
    if not path.is_absolute():
        return Problem("This is not a full path.", "Choose a folder with the button beside it.")
    if path.suffix.lower() != target.extension:
        return Problem(f"The name has to end in {target.extension}.")
    return None


def _place_problem(target: Target, place: Path, free: int) -> Problem | None:
    parent = next((folder for folder in place.parents if folder.exists()), place.parent)
    if place.is_dir():
        return Problem("There is a folder with this name.", "Choose another name.")
    if _same(place, Path(target.source)):
        return Problem("This is the model itself.", "Choose another name.")
    if str(place) in target.taken:
        return Problem("Another job is going to write this file.", "Choose another name.")
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        return Problem("Nothing can be saved in this folder.", "Choose another folder.")
    if free < target.nbytes:
        missing = words.size(target.nbytes - free)
        return Problem(
            f"{missing} more room is needed on this disk.", "Make room or choose another disk."
        )
    return None


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)

"""Names of files that come from outside, and the only places they can lead to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from unicodedata import normalize

from app.core.errors import BadModelFile
from app.core.names import safe_name
from app.core.places import user_data
from app.models.source_file import shown

_DEEPEST = 6
_LONGEST = 400


def is_plain(name: str) -> bool:
    """Whether `name` is a path below a folder, in names that mean the same on every system.

    No "..", no drive, device, server or hidden name, nothing that a system strips or folds.
    """
    parts = name.split("/")
    return (
        len(name) <= _LONGEST
        and len(parts) <= _DEEPEST
        and all(safe_name(normalize("NFKC", part)) == part for part in parts)
    )


def place_in(folder: Path, name: str) -> Path:
    """Where the file called `name` belongs.

    Raises:
        BadModelFile: The name leads out of the folder, be it through a link that is there.
    """
    path = folder / name
    if not is_plain(name) or path.parent.resolve() != folder.resolve().joinpath(name).parent:
        raise BadModelFile(
            f"{shown(name)!r} leads out of the model's folder.",
            "Do not use this model: its files have names that no honest model has.",
        )
    return path


def check_distinct(names: Iterable[str]) -> None:
    """Make sure that no two names are one file on systems that do not tell cases apart.

    Raises:
        BadModelFile: Two are.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise BadModelFile(
                f"{shown(other)} and {shown(name)} would be the same file on some computers.",
                "Do not use this model, or tell its author.",
            )


def shared_home() -> Path:
    """The folder of Hugging Face's own programs: their token, and their cache of models."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HF_HOME") or Path(base, "huggingface")).expanduser()


def headers_folder(repo: str, commit: str) -> Path:
    """Where the small files and the headers of a model are kept."""
    return _folder("hub", repo, commit)


def model_folder(repo: str, commit: str) -> Path:
    """Where a model is downloaded to, unless the user says otherwise."""
    return _folder("models", repo, commit)


def _folder(kind: str, repo: str, commit: str) -> Path:
    owner, _, name = repo.partition("/")
    return user_data() / kind / f"{owner}--{name}" / commit / name

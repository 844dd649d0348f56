"""Models that are on this computer already. No Qt; runs beside the window."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.core.places import user_data

_MOST = 500
_DEEPEST = 3
_WEIGHTS = (".safetensors", ".gguf")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A folder with safetensors files, or a .gguf file."""

    path: str
    name: str
    nbytes: int


def local_models(folders: Iterable[str]) -> tuple[LocalModel, ...]:
    """What is in these folders, in the cache of Hugging Face's programs, and in our own."""
    found: dict[str, LocalModel] = {}
    places = [*(Path(folder) for folder in folders), user_data() / "models", _shared_cache()]
    for place in places:
        for model in _models_below(place, _DEEPEST):
            found.setdefault(str(Path(model.path).resolve()), model)
            if len(found) >= _MOST:
                break
    return tuple(sorted(found.values(), key=lambda model: model.name.casefold()))


def _shared_cache() -> Path:
    """Where huggingface_hub keeps models, by its own rules."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = os.environ.get("HF_HOME") or str(Path(cache, "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()


def _models_below(folder: Path, depth: int) -> Iterator[LocalModel]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # not there, or not ours to read
        return
    weights = {path: _size(path) for path in entries if path.suffix in _WEIGHTS}
    sizes = {path: nbytes for path, nbytes in weights.items() if nbytes}
    for path, nbytes in sizes.items():
        if path.suffix == ".gguf":
            yield LocalModel(str(path), path.stem, nbytes)
    parts = [nbytes for path, nbytes in sizes.items() if path.suffix == ".safetensors"]
    if parts and (folder / "config.json").exists():
        yield LocalModel(str(folder), _name(folder), sum(parts))
        return
    if depth:
        for path in entries:
            if path.is_dir() and not path.name.startswith("."):
                yield from _models_below(path, depth - 1)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # a link to nowhere
        return 0


def _name(folder: Path) -> str:
    """The name of a checkpoint; in caches its folder is called after a commit."""
    for place in (folder, *folder.parents):
        if "--" in place.name:
            return place.name.rpartition("--")[2]
    return folder.name

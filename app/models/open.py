"""Opening a model, whatever kind it is."""

from __future__ import annotations

from pathlib import Path

from app.core.errors import BadModelFile, Unsupported
from app.core.places import sample_model
from app.models.base import Checkpoint
from app.models.gguf_file import PART, GgufFile
from app.models.quantized import seen_plain
from app.models.safetensors_folder import CONFIG, SafetensorsFolder, pickle_refused
from app.models.source_file import SourceFile, shown, unreadable

SAMPLE = "sample"
"""The name that stands for the model that is shipped."""


def open_model(path: str | Path) -> Checkpoint:
    """Open a model folder, one of its files, a GGUF file, or the "sample".

    A folder that was published quantized is seen as the plain model, where that is possible.

    Raises:
        BadModelFile: There is no model, or it is damaged.
        Unsupported: It is a model of a kind that this application does not read.
    """
    if str(path) == SAMPLE:
        return SafetensorsFolder(sample_model())
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            return _open_folder(place)
        if not place.exists():
            raise BadModelFile(
                f"There is nothing at {shown(str(place))}.",
                "Check the spelling, or choose the model again.",
            )
        return _open_file(place)
    except OSError as error:
        raise unreadable(place, error) from error


def _open_folder(folder: Path) -> Checkpoint:
    if any(folder.glob("*.safetensors")) or any(folder.glob("*.safetensors.index.json")):
        return seen_plain(SafetensorsFolder(folder))
    names = sorted(file.name for file in folder.glob("*.gguf") if not _is_later_part(file.name))
    if len(names) == 1:
        return GgufFile(folder / names[0])
    if names:
        raise Unsupported(
            f"{folder.name} holds {len(names)} GGUF models.",
            f"Choose one of its files, for example {names[0]}.",
        )
    if not any(folder.iterdir()):
        raise BadModelFile(f"{folder.name} is empty.", "Choose the folder of a model.")
    return SafetensorsFolder(folder)


def _is_later_part(name: str) -> bool:
    match = PART.fullmatch(name)
    return match is not None and int(match[2]) != 1


def _open_file(path: Path) -> Checkpoint:
    """Open a file by its first bytes; its name decides only where they say nothing."""
    if path.name == CONFIG or path.name.endswith(".safetensors.index.json"):
        return _open_folder(path.parent)
    source = SourceFile.look(path)
    with source.open() as file:
        start = file.read(32)
    if start.startswith(b"GGUF"):
        return GgufFile(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= source.size - 8:
        return seen_plain(SafetensorsFolder(path.parent))
    if start.startswith((b"PK\x03\x04", b"\x80\x02")):
        raise pickle_refused(path.name)
    source.check_start(start)
    if path.suffix.lower() in {".gguf", ".safetensors"}:
        raise source.damaged("it does not start as such a file does")
    raise Unsupported(
        f"{path.name} is not a model that this application knows.",
        "Choose a folder with .safetensors files and a config.json, or a .gguf file.",
    )

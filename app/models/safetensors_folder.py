"""A Hugging Face model folder: config.json and one or more safetensors files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile, Unsupported
from app.core.tensor import TensorInfo
from app.models.base import Checkpoint
from app.models.config import read_json, section
from app.models.safetensors_header import read_safetensors_header
from app.models.source_file import SourceFile, shown, sound_name, unreadable
from app.models.stored_rows import plain_rows

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
#: The other files that are read, where they exist.
SMALL = (
    CONFIG,
    INDEX,
    "README.md",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
_MAX_CONFIG = 8_000_000
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")
_AGAIN = "Download the model again; all its files belong in one folder."


class SafetensorsFolder(Checkpoint):
    """A model folder. Shards are found by the index, or else by their names."""

    kind: ClassVar[str] = "safetensors"

    def __init__(self, folder: Path) -> None:
        """Read the config and the headers.

        Raises:
            BadModelFile: A file is missing or damaged.
            Unsupported: The folder holds a model of another kind.
        """
        self.path = folder
        mapped = weight_map(folder)
        shards = _shards(folder, set(mapped.values()))
        self.config: Mapping[str, Any] = _config(folder)
        self.files = [folder / name for name in (*shards, *SMALL) if (folder / name).exists()]
        self._places: dict[str, tuple[SourceFile, int]] = {}
        self.tensors: dict[str, TensorInfo] = {}
        for name in shards:
            self._add(name)
        for tensor, name in mapped.items():
            if tensor not in self.tensors or self._places[tensor][0].path.name != name:
                raise BadModelFile(
                    f"{name} does not hold {shown(tensor)}, but {INDEX} says so.", _AGAIN
                )
        if not self.tensors:
            raise BadModelFile(f"{folder.name} holds no weights.", _AGAIN)

    def look(self, path: Path) -> SourceFile:
        """A file of weights as it is now; one that is somewhere else says so."""
        return SourceFile.look(path)

    def _add(self, name: str) -> None:
        source = self.look(inside(self.path, name))
        for tensor in read_safetensors_header(source).tensors.values():
            key = tensor.info.name
            if key in self.tensors:
                other = self._places[key][0].path.name
                raise BadModelFile(
                    f"{key} is both in {other} and in {name}.",
                    "Keep the files of one model only in this folder.",
                )
            self.tensors[key] = tensor.info
            self._places[key] = source, tensor.offset

    @override
    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        source, offset = self._places[name]
        return plain_rows(source, offset, self.tensors[name], start, stop)


def inside(folder: Path, name: str) -> Path:
    """The file called `name` in `folder`, wherever the name comes from.

    A link may point to another file of the folder, or, in the cache of huggingface_hub, to the
    "blobs" beside the folder's parent "snapshots".

    Raises:
        BadModelFile: The name leads out of the folder.
    """
    path = folder / name
    plain = sound_name(name, 255) and not set(name) & set('/\\:*?"<>|') and name.strip(". ") == name
    home = folder.resolve()
    homes = {home}
    if home.parent.name == "snapshots":
        homes.add(home.parent.parent / "blobs")
    try:
        leads_out = not plain or path.resolve().parent not in homes
    except (OSError, RuntimeError) as error:  # a link to itself, in Python's words of 3.11
        raise unreadable(path, error) from error
    if leads_out:
        raise BadModelFile(f"{name[:80]!r} leads out of the model's folder.", _AGAIN)
    return path


def _config(folder: Path) -> dict[str, Any]:
    if (folder / CONFIG).exists():
        return read_json(inside(folder, CONFIG), limit=_MAX_CONFIG)
    if (folder / "adapter_config.json").exists():
        raise Unsupported(
            f"{folder.name} is an adapter (LoRA), not a whole model.",
            "Choose the model that it was made from. `nibble quantize --lora` merges the two, "
            "`nibble lora` converts the adapter alone.",
        )
    raise BadModelFile(
        f"{folder.name} has no {CONFIG}.", "Download the model's small files into the folder, too."
    )


def weight_map(folder: Path) -> Mapping[str, str]:
    """The index's file by tensor name; empty where there is no index in use."""
    if (folder / SINGLE).exists() or not (folder / INDEX).exists():
        return {}
    index = read_json(inside(folder, INDEX), unique=True)
    found = section(index, "weight_map", file=INDEX)
    for tensor, name in found.items():
        if not isinstance(name, str) or not name.endswith(".safetensors"):
            raise BadModelFile(f"{INDEX} names no safetensors file for {tensor[:80]!r}.", _AGAIN)
    if not found:
        raise BadModelFile(f"{INDEX} lists no weights.", _AGAIN)
    return found


def _shards(folder: Path, mapped: set[str]) -> list[str]:
    """Names of the files that make up the model; `mapped` are those that an index lists."""
    if (folder / SINGLE).exists():
        return [SINGLE]
    found = sorted(mapped or {path.name for path in folder.glob("*.safetensors")})
    if not found:
        raise _no_weights(folder)
    if not mapped:
        _check_numbers(folder, found)
    for name in found:
        if not inside(folder, name).exists():
            raise BadModelFile(f"{name} is missing from {folder.name}.", _AGAIN)
    return found


def _check_numbers(folder: Path, names: list[str]) -> None:
    """Make sure that numbered shards are complete, where no index says so."""
    for name in names:
        match = _SHARD.fullmatch(name)
        if match is None:
            continue
        count = int(match[3])
        for number in (count, *range(1, count)):  # the last one first: the count may be a lie
            part = f"{match[1]}-{number:05}-of-{match[3]}.safetensors"
            if part not in names:
                raise BadModelFile(f"{part} is missing from {folder.name}.", _AGAIN)


def _no_weights(folder: Path) -> Unsupported | BadModelFile:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLES)
    if pickles:
        return pickle_refused(pickles[0])
    return BadModelFile(
        f"{folder.name} holds no safetensors or GGUF file.",
        "Choose the folder that has the model's config.json and .safetensors files.",
    )


def pickle_refused(name: str) -> Unsupported:
    """An error to raise for a file in PyTorch's old format."""
    return Unsupported(
        f"{name} is in PyTorch's old format, which can run hidden programs when it is opened.",
        "Look for a safetensors version of the model, or have it converted on "
        "huggingface.co/spaces/safetensors/convert.",
    )

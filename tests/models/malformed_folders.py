"""Folders and files that are no model, or only a part of one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.models.case import Case, write_files
from tests.models.malformed_gguf import gguf, tensor
from tests.models.malformed_safetensors import CONFIG, entry, safetensors

_CONFIG = json.dumps(CONFIG).encode()
_A, _B = safetensors(entry()), safetensors({"b": entry()["a"]})

_FOLDERS: dict[str, dict[str, bytes]] = {
    "empty": {},
    "config only": {"config.json": _CONFIG},
    "no config": {"model.safetensors": _A},
    "text only": {"README.md": b"# A model"},
    "an adapter": {"adapter_config.json": b"{}", "adapter_model.safetensors": _A},
    "pickle": {"config.json": _CONFIG, "pytorch_model.bin": b"PK\x03\x04"},
    "pickle without config": {"model.pt": b"\x80\x02"},
    "old checkpoint": {"config.json": _CONFIG, "model.ckpt": b"\x80\x02"},
    "two GGUF models": {"a.gguf": gguf(tensor()), "b.gguf": gguf(tensor())},
    "last part missing": {"config.json": _CONFIG, "m-00001-of-00002.safetensors": _A},
    "first part missing": {"config.json": _CONFIG, "m-00002-of-00002.safetensors": _B},
    "part of 99999": {"config.json": _CONFIG, "m-00001-of-99999.safetensors": _A},
    "tensor in two files": {"config.json": _CONFIG, "a.safetensors": _A, "b.safetensors": _A},
    "half of a download": {"config.json": _CONFIG, "model.safetensors": _A[:-5]},
}

_FILES: dict[str, tuple[str, bytes]] = {
    "text": ("notes.txt", b"hello"),
    "empty": ("model.bin", b""),
    "pickle": ("model.bin", b"\x80\x02}q\x00."),
    "zip": ("model.pt", b"PK\x03\x04" + bytes(100)),
    "HDF5": ("model.h5", b"\x89HDF\r\n\x1a\n"),
    "empty GGUF": ("model.gguf", b""),
    "text called GGUF": ("model.gguf", b"hello"),
    "text called safetensors": ("model.safetensors", b"hello, hello, hello"),
    "config alone": ("config.json", _CONFIG),
}


def malformed_folders() -> Iterator[Case]:
    """Everything a person might choose by mistake."""
    for name, files in _FOLDERS.items():
        yield Case(f"folder: {name}", partial(write_files, files))
    for name, (file, content) in _FILES.items():
        yield Case(f"file: {name}", partial(write_files, {file: content}, choose=file))
    for name, path in (
        ("missing", "nothing"),
        ("missing file", "nothing.gguf"),
        ("a very long name", "n" * 300),
        ("too long to ask for", "n/" * 5000),
        ("a name with NUL", "a\0b"),
        ("below a file", "file/model"),
    ):
        yield Case(f"path: {name}", partial(_named, path))
    if os.name == "posix":
        yield Case("link: weights elsewhere", _linked)
        yield Case("link: to itself", _loop)
        yield Case("pipe: weights", partial(_pipe, "model.safetensors", ""))
        yield Case("pipe: chosen", partial(_pipe, "model.gguf", "model.gguf"))
        yield Case("folder: called config.json", partial(_directory, "config.json"))
        yield Case("folder: called model.safetensors", partial(_directory, "model.safetensors"))


def _named(path: str, folder: Path) -> Path:
    write_files({"file": b"hello"}, folder)
    return folder / path


def _linked(folder: Path) -> Path:
    inside = folder / "inside"
    inside.mkdir()
    write_files({"config.json": _CONFIG}, inside)
    write_files({"secret.safetensors": _A}, folder)
    (inside / "model.safetensors").symlink_to(folder / "secret.safetensors")
    return inside


def _loop(folder: Path) -> Path:
    write_files({"config.json": _CONFIG}, folder)
    (folder / "model.safetensors").symlink_to(folder / "model.safetensors")
    return folder


def _pipe(name: str, choose: str, folder: Path) -> Path:
    write_files({"config.json": _CONFIG}, folder)
    os.mkfifo(folder / name)
    return folder / choose if choose else folder


def _directory(name: str, folder: Path) -> Path:
    write_files({"config.json": _CONFIG, "model.safetensors": _A}, folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    return folder

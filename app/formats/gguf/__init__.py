"""GGUF: one file with weights, config and tokenizer, for llama.cpp and what is built on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.encodings.base import Block, Encoding
from app.formats.base import Conversion, Format
from app.formats.gguf.from_folder import FolderConversion
from app.formats.gguf.from_gguf import RequantizeConversion
from app.formats.gguf.recipes import RECIPES
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile


class Gguf(Format):
    """A GGUF file."""

    name: ClassVar[str] = "gguf"
    runs_in: ClassVar[str] = "llama.cpp, Ollama, LM Studio"
    extension: ClassVar[str] = ".gguf"
    presets = tuple(recipe.preset for recipe in RECIPES)

    @override
    def holds(self, encoding: Encoding) -> bool:
        return isinstance(encoding, Block)

    @override
    def prepare(self, checkpoint: Checkpoint) -> Conversion:
        if isinstance(checkpoint, GgufFile):
            return RequantizeConversion(checkpoint)
        return FolderConversion(checkpoint)

    @override
    def open(self, path: Path, parts: Sequence[Path] = ()) -> Checkpoint:
        return GgufFile(path, parts)

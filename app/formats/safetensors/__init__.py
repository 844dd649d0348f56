"""Folders of safetensors: what transformers, vLLM, SGLang and MLX load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.core.plan import Plan
from app.encodings.base import Encoding
from app.encodings.folder import FolderEncoding
from app.formats.base import Conversion, Format
from app.formats.safetensors.conversion import FolderConversion
from app.formats.safetensors.schemes import SCHEMES
from app.formats.safetensors.unfinished import Unfinished
from app.formats.size_classes import SIZE_CLASSES
from app.models.base import Checkpoint
from app.models.quantized import plain
from app.models.safetensors_folder import SafetensorsFolder

_FLOATS = {"F32", "BF16", "F16"}


class Safetensors(Format):
    """A model folder."""

    name: ClassVar[str] = "safetensors"
    runs_in: ClassVar[str] = "transformers, vLLM, SGLang, MLX"
    extension: ClassVar[str] = ""
    presets = tuple(
        sorted(
            (scheme.preset for scheme in SCHEMES.values()),
            key=lambda preset: SIZE_CLASSES.index(preset.group),
        )
    )

    @override
    def holds(self, encoding: Encoding) -> bool:
        return isinstance(encoding, FolderEncoding) or encoding.name in _FLOATS

    @override
    def prepare(self, checkpoint: Checkpoint) -> Conversion:
        return FolderConversion(checkpoint)

    @override
    def open(self, path: Path, parts: Sequence[Path] = ()) -> Checkpoint:
        return plain(SafetensorsFolder(path if path.is_dir() else path.parent))

    @override
    def open_unfinished(self, plan: Plan, paths: Sequence[Path], source: Checkpoint) -> Checkpoint:
        return Unfinished(paths[0].parent, plan, source.config)

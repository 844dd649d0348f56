"""Weights as they are trained: 16 bits each, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.scheme import EVERYWHERE, MAC, Modules, Scheme
from app.formats.safetensors.targets import Role
from app.formats.size_classes import NEAR

_WORDS = {
    "BF16": ("As most models are published; also for a model with an adapter merged.", "BF16"),
    "F16": ("For graphics cards that are too old for BF16.", "F16"),
}


@dataclass(frozen=True, slots=True)
class Plain(Scheme):
    """Every float becomes one of 16 bits."""

    dtype: str

    roles: ClassVar[frozenset[Role]] = frozenset()

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        yield cls("BF16")
        yield cls("F16")

    @property
    @override
    def preset(self) -> Preset:
        return Preset(
            f"{self.dtype.lower()}-folder",
            self.dtype,
            _WORDS[self.dtype][0],
            "the original" if self.dtype == "BF16" else "practically the original",
            group=NEAR,
            runs_in=f"{EVERYWHERE}, {MAC}",
        )

    @override
    def floats(self, main: str) -> str:
        return self.dtype

    @override
    def encoding(self, dtype: str) -> str:
        return self.dtype

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        return {}

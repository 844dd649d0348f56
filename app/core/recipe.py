"""What a person chose: a serialisable description of the wanted result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """Gives every tensor its method and encoding, and names the format."""

    preset: str
    """Name of a preset, unique over all formats: "Q4_K_M"."""
    method: str = "nearest"
    """Name of the method that chooses the stored numbers."""
    pure: bool = False
    """Whether every weight matrix gets the preset's base encoding, without exceptions."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a request line."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Recipe:
        """Inverse of `to_json`."""
        return cls(**fields)

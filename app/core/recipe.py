"""What a person chose: a serialisable description of the wanted result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

AUTOMATIC = "auto"
"""Value of `Recipe.importance`: compute the matrix before quantizing."""
ALL_VALUES = 100.0
"""Value of `Recipe.percentile`: nothing is cut off."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Gives every tensor its method and encoding, and names the format.

    What a tensor gets is decided by the first of these that has something to say: `embedding`
    and `output`, `overrides`, the preset.
    """

    preset: str
    """Name of a preset, unique over all formats: "Q4_K_M"."""
    method: str = "nearest"
    """Name of the method that chooses the stored numbers, or two joined with "+"."""
    options: tuple[tuple[str, str], ...] = ()
    """Options of the method that are not as usual, each as ("damping", "0.05")."""
    pure: bool = False
    """Whether every weight matrix gets the preset's base encoding, without exceptions."""
    overrides: tuple[tuple[str, str], ...] = ()
    """Regular expressions, searched in the names of the result's tensors, each with the name of
    an encoding. The first that is found counts."""
    output: str = ""
    """Encoding of the output layer; "" leaves it to the preset."""
    embedding: str = ""
    """Encoding of the token embedding; "" leaves it to the preset."""
    leave_output: bool = False
    """Whether the output layer stays as it is in the source."""
    importance: str = ""
    """Where the importance of the weights' columns comes from: the path of a file, `AUTOMATIC`,
    or "" for none."""
    percentile: float = ALL_VALUES
    """How many per cent of the inputs' values a range holds, where the result stores ranges; those
    beyond are cut off, and all others are rounded more finely."""
    requantize: bool = False
    """Whether a source may be quantized already."""
    split_bytes: int = 0
    """Largest size of a file of the result; 0: all in one file."""
    metadata: tuple[tuple[str, str], ...] = ()
    """Entries to write into the result, each as ("general.name", "str:My model")."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a request line."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Recipe:
        """Inverse of `to_json`."""
        return cls(**{name: _with_tuples(value) for name, value in fields.items()})


def _with_tuples(value: Any) -> Any:
    """JSON has lists where a recipe has tuples."""
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value

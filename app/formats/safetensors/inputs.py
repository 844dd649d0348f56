"""Scales of what weights are multiplied with, for runtimes that round it with one scale for all.

    X.input_scale         F16 or BF16 (1)  what 1 of an 8-bit float or integer stands for
    X.input_global_scale  F32 (1)          divides the scales of groups of 4-bit floats

They are found while the model reads a text: the largest magnitude then seen becomes the largest
number that can be stored.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

from app.core.errors import AppError
from app.formats.base import Ranges
from app.formats.safetensors.scheme import module
from app.formats.safetensors.targets import Target

_LEAST = 2.0**-24
"""A range is at least this, so that inputs that were always 0 have one."""
_EXPERT = re.compile(r"\.experts\.\d+\.")


@dataclass(frozen=True, slots=True)
class InputScale:
    """What tells a runtime how to round the inputs of a matrix."""

    kind: str
    """The last part of its name."""
    top: float
    """The number that the largest input becomes."""
    divides: bool = False
    """Whether it is what inputs are multiplied with to get there; else what they are divided by."""
    dtype: str = ""
    """"": that of weights that are not quantized."""

    def name(self, weight: str) -> str:
        """What it is called beside a weight."""
        return f"{module(weight)}.{self.kind}"

    def of(self, largest: float) -> float:
        """Its value, where inputs get so large."""
        largest = max(largest, _LEAST)
        return self.top / largest if self.divides else largest / self.top


OF_INTEGERS = InputScale("input_scale", 127.0)
"""The library divides by 127.5, which a scale of 16 bits may take half a step beyond the end."""
OF_FLOATS = InputScale("input_scale", 448.0)
OF_GROUPS = InputScale("input_global_scale", 6.0 * 448.0, divides=True, dtype="F32")
"""So that the scale of the group of the largest input is the largest 8-bit float."""


@dataclass(slots=True)
class Inputs:
    """What is known of the inputs of matrices."""

    ranges: Ranges = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Differs where a number does; "" where nothing is known."""
        if not self.ranges:
            return ""
        return hashlib.sha256(json.dumps(self.ranges, sort_keys=True).encode()).hexdigest()

    def largest(self, target: Target) -> float:
        """How large the inputs of a target get.

        Raises:
            AppError: Nothing was seen of them.
        """
        (source,) = target.sources
        matrix = target.first // target.shape[0] if target.stack else 0
        found = self.ranges.get(source, {}).get(matrix)
        if found is not None:
            return found
        # No token went to this expert: it gets what all experts of its layer were given.
        kind = _EXPERT.sub(".experts.*.", source)
        others = [
            value
            for name, values in self.ranges.items()
            if _EXPERT.sub(".experts.*.", name) == kind
            for value in values.values()
        ]
        if not others:
            raise AppError(
                f"The text never reached {module(target.name)}, so that its range is not known.",
                "Give a longer text to calibrate with, or choose a format that needs none.",
            )
        return max(others)

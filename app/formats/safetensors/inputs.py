"""Scales of what weights are multiplied with, for runtimes that round it with one scale for all.

    X.input_scale         F16 or BF16 (1)  what one 8-bit float stands for
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

ONE_SCALE, OF_GROUPS = "input_scale", "input_global_scale"
_TOP4, _TOP8 = 6.0, 448.0
_LEAST = 2.0**-24
"""A range is at least this, so that inputs that were always 0 have one."""
_EXPERT = re.compile(r"\.experts\.\d+\.")


def scale_name(weight: str, kind: str) -> str:
    """What the scale beside a weight is called."""
    return f"{module(weight)}.{kind}"


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

    def scale(self, name: str, target: Target) -> float:
        """The scale called `name` beside a target.

        Raises:
            AppError: Nothing was seen of its inputs.
        """
        largest = max(self._largest(target), _LEAST)
        return largest / _TOP8 if name.endswith(f".{ONE_SCALE}") else _TOP4 * _TOP8 / largest

    def _largest(self, target: Target) -> float:
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

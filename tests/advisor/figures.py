"""The estimate beside what llama.cpp lays out, for one model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp_memory
import synthetic

from app.advisor import demand_of_checkpoint
from app.advisor.memory import Span, cache_bytes, compute_bytes, output_bytes
from app.core.fit import FitOptions
from app.models.cache import geometry_of_config
from app.models.gguf_file import GgufFile

RUNS = ((2048, "f16"), (8192, "q8_0"), (32768, "f16"))
"""Context and type of the cache."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Bytes, estimated and real."""

    context: int
    cache_type: str
    weights: int
    real_weights: int
    cache: int
    real_cache: float
    computing: Span
    real_computing: float
    output: int
    real_output: float

    @property
    def total(self) -> float:
        """What is expected."""
        return self.weights + self.cache + self.computing.middle + self.output

    @property
    def real_total(self) -> float:
        """What llama.cpp takes."""
        return self.real_weights + self.real_cache + self.real_computing + self.real_output


def figures(folder: Path, name: str, config: dict[str, Any]) -> Iterator[Figures]:
    """Write a file of the model's dimensions and compare, for each of `RUNS`."""
    path = synthetic.write(folder, name.replace(" ", "-"), config)
    demand = demand_of_checkpoint(GgufFile(path))
    geometry = geometry_of_config(config)
    assert geometry == demand.geometry, "config.json and the GGUF file say the same"
    for (context, cache_type), real in zip(RUNS, llama_cpp_memory.buffers(path, RUNS), strict=True):
        options = FitOptions(context, cache_type)
        yield Figures(
            context,
            cache_type,
            demand.weights,
            real.weights,
            sum(cache_bytes(layer, options) for layer in geometry.layers),
            real.cache,
            compute_bytes(geometry, options),
            real.compute,
            output_bytes(geometry),
            real.output,
        )

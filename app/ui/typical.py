"""What usually runs on a computer: models as they commonly are, before one is chosen.

The shapes are those of published models; what they take is worked out by the advisor. A model of
which only the number of weights is known is taken for one of the same kind. No Qt, no tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from app.core.fit import Fit, FitOptions, FitWord
from app.core.machine import Machine

if TYPE_CHECKING:  # the advisor knows every format; the window opens without
    from app.advisor import Demand
    from app.models.cache import Geometry

FORMATS = (("Q4_K_M", 4.9), ("Q8_0", 8.5), ("F16", 16.0))
"""Formats in which models are usually run, and their bits a weight."""
USUAL = FORMATS[0][0]


@dataclass(frozen=True, slots=True)
class Shape:
    """A dense model with grouped heads, as its config.json describes it."""

    title: str
    example: str
    weights: float
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int

    @property
    def geometry(self) -> Geometry:
        """What its cache and its computation take."""
        return _geometry(self)


SHAPES = (
    Shape("1.5 B", "Qwen2.5-1.5B", 1.54e9, 28, 1536, 12, 2, 8960, 151_936),
    Shape("3 to 4 B", "Llama-3.2-3B", 3.21e9, 28, 3072, 24, 8, 8192, 128_256),
    Shape("8 B", "Llama-3.1-8B", 8.03e9, 32, 4096, 32, 8, 14_336, 128_256),
    Shape("14 B", "Qwen3-14B", 14.77e9, 40, 5120, 40, 8, 17_408, 151_936),
    Shape("32 B", "Qwen3-32B", 32.76e9, 64, 5120, 64, 8, 25_600, 151_936),
    Shape("70 B", "Llama-3.3-70B", 70.55e9, 80, 8192, 64, 8, 28_672, 128_256),
)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a computer can be expected to do."""

    fits: dict[tuple[str, str], Fit]
    """By title of the shape and format."""

    def largest(self, name: str) -> Shape | None:
        """The largest kind of model that fits well in a format."""
        fitting = [shape for shape in SHAPES if self.fits[shape.title, name].word is FitWord.FITS]
        return fitting[-1] if fitting else None

    def runs(self, name: str) -> Shape | None:
        """The largest kind of model that runs at all in a format, however slowly."""
        cannot = {FitWord.NOT, FitWord.UNKNOWN}
        running = [shape for shape in SHAPES if self.fits[shape.title, name].word not in cannot]
        return running[-1] if running else None


def outlook(machine: Machine, options: FitOptions) -> Outlook:
    """Judge every usual kind of model in every usual format."""
    from app.advisor import assess

    return Outlook(
        {
            (shape.title, name): assess(_demand(shape, shape.weights, bits), machine, options)
            for shape in SHAPES
            for name, bits in FORMATS
        }
    )


def fits_by_weights(counts: Iterable[int], machine: Machine, options: FitOptions) -> dict[int, Fit]:
    """Estimates for models of which only the number of weights is known, in the usual format."""
    from app.advisor import assess

    return {
        count: assess(_demand(_nearest(count), count, FORMATS[0][1]), machine, options)
        for count in set(counts)
        if count > 0
    }


def _nearest(weights: float) -> Shape:
    return min(SHAPES, key=lambda shape: abs(shape.weights - weights) / min(shape.weights, weights))


def _demand(shape: Shape, weights: float, bits: float) -> Demand:
    from app.advisor import Demand, Layer

    total = round(weights * bits / 8)
    embedding = min(round(shape.vocabulary * shape.hidden * bits / 8), total // 3)
    layer = (total - 2 * embedding) // shape.layers
    return Demand(
        name=shape.title,
        layers=(Layer(layer),) * shape.layers,
        embedding=embedding,
        output=embedding,
        tied=False,
        geometry=shape.geometry,
    )


@cache
def _geometry(shape: Shape) -> Geometry:
    from app.models.cache import geometry_of_config

    return geometry_of_config(
        {
            "model_type": "llama",
            "num_hidden_layers": shape.layers,
            "hidden_size": shape.hidden,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": 128,
            "intermediate_size": shape.inner,
            "vocab_size": shape.vocabulary,
            "max_position_embeddings": 131_072,
        }
    )

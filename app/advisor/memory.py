"""Memory that a model takes beside its weights, as llama.cpp takes it.

The cache is exact. Computing is the largest of the graph's phases, measured on thirty
families with the real program (docs/fit.md); what a program and its driver take for
themselves is a range from measurements by others.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.core.errors import Unsupported
from app.core.fit import FitOptions
from app.models.cache import Geometry, LayerCache
from app.models.gguf_types import TENSOR_TYPES

MIB = 1 << 20
_CELLS = 256  # the cache grows in steps of so many tokens
_CACHE_TYPES = {
    kind.name.lower(): kind
    for kind in TENSOR_TYPES.values()
    if kind.name in {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"}
}
CACHE_TYPES = tuple(_CACHE_TYPES)
"""What keys and values can be kept as."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes, from and to."""

    low: int
    high: int

    @property
    def middle(self) -> int:
        """What is expected."""
        return (self.low + self.high) // 2

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __or__(self, other: Span) -> Span:
        """What both take that are never there at once."""
        return Span(max(self.low, other.low), max(self.high, other.high))


RUNTIME = {
    "cuda": Span(250 * MIB, 550 * MIB),
    "rocm": Span(250 * MIB, 650 * MIB),
    "vulkan": Span(150 * MIB, 700 * MIB),
    "metal": Span(32 * MIB, 160 * MIB),
    "cpu": Span(4 * MIB, 24 * MIB),
}
"""What a program or a device's driver takes, whatever the model."""
_BOOKS = Span(20_000, 200_000)  # a tensor: room for graphs, most of which is never touched
_LEAST_TENSORS = 128  # for which that room is made

BACKENDS = {"nvidia": "cuda", "amd": "rocm", "intel": "vulkan", "apple": "metal"}
"""How llama.cpp reaches a vendor's cards."""


def check_cache_type(geometry: Geometry, cache_type: str) -> None:
    """Make sure that heads divide into the blocks of the cache's type.

    Raises:
        Unsupported: They do not, or there is no such type.
    """
    kind = _CACHE_TYPES.get(cache_type)
    if kind is None:
        raise Unsupported(
            f"Keys and values cannot be kept as {cache_type!r}.",
            f"Choose one of: {', '.join(CACHE_TYPES)}.",
        )
    if geometry.head_block % kind.block:
        raise Unsupported(
            f"The keys and values of this model cannot be kept as {cache_type}.",
            "Choose f16.",
        )


def cells(context: int) -> int:
    """Tokens that the cache has room for."""
    return -(-context // _CELLS) * _CELLS


def layer_cells(layer: LayerCache, options: FitOptions) -> int:
    """Tokens that one layer keeps: with a window, that and one batch."""
    everything = cells(options.context)
    if not layer.window:
        return everything
    batch = min(options.batch, everything)
    return cells(min(everything, layer.window + batch))


def cache_bytes(layer: LayerCache, options: FitOptions) -> int:
    """Bytes of one layer's keys, values and state for one text."""
    kind = _CACHE_TYPES[options.cache_type]
    room = layer_cells(layer, options)
    stored = sum(
        numbers // kind.block * kind.block_bytes * room for numbers in (layer.keys, layer.values)
    )
    return stored + 4 * layer.state


def compute_bytes(geometry: Geometry, options: FitOptions) -> Span:
    """Bytes of intermediate results, at the peak of one batch.

    Five vectors of the hidden size live through a layer; beside them the largest of: scores of
    all words, what the feed-forward part, the experts in use and attention work with, and the
    input and output of the recurrence. What attention may see is kept as F16 once for each kind
    of window. The allocator sometimes needs one hidden vector more.
    """
    batch = min(options.batch, cells(options.context))
    phases = (
        geometry.vocabulary,
        geometry.feed_forward,
        geometry.experts_used * max(3 * geometry.expert_inner, 2 * geometry.hidden),
        geometry.attention,
        geometry.state_inner * 8 // 3,
    )
    alive = 5 * geometry.hidden + geometry.beside
    base = 4 * batch * (alive + max(phases)) + _masks(geometry, options, batch)
    return Span(base * 9 // 10, base + 4 * batch * geometry.hidden + base // 20)


def _masks(geometry: Geometry, options: FitOptions, batch: int) -> int:
    rows = {layer.window: layer_cells(layer, options) for layer in geometry.layers if layer.keys}
    return 2 * batch * sum(rows.values())


def work_bytes(geometry: Geometry, options: FitOptions) -> int:
    """What the processor takes beside that: a batch of the widest input as 8 bits."""
    widest = max(geometry.inner, geometry.hidden, geometry.experts_used * geometry.expert_inner)
    return min(options.batch, cells(options.context)) * widest * 34 // 32


def host_compute_bytes(geometry: Geometry, options: FitOptions) -> int:
    """What the computer's memory holds while a graphics card computes: inputs and masks."""
    batch = min(options.batch, cells(options.context))
    return _masks(geometry, options, batch) + 8 * batch * geometry.hidden


def books_bytes(tensors: int) -> Span:
    """What llama.cpp sets aside to plan the computation of a model with so many tensors."""
    count = max(_LEAST_TENSORS, tensors)
    return Span(count * _BOOKS.low, count * _BOOKS.high)


def output_bytes(geometry: Geometry) -> int:
    """The scores of one token, in the computer's memory."""
    return 4 * geometry.vocabulary

"""A report's tensors, sorted by what they do and where: the figures behind its pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.core.report import TensorResult

_IN_LAYER = re.compile(r"(?:^|\.)(\d+)\.(.+?)(?:\.weight)?$")

_EXPERT = re.compile(r"experts\.\d+")

#: Part by a piece of the tensor's name, in GGUF's or Hugging Face's words; the first hit counts.
_PARTS = (
    ("norm", "Norms and others"),
    ("embd", "Embeddings"),
    ("embed", "Embeddings"),
    ("attn", "Attention"),
    ("ffn", "Feed-forward"),
    ("mlp", "Feed-forward"),
    ("output", "Output"),
    ("lm_head", "Output"),
)
PARTS = ("Embeddings", "Attention", "Feed-forward", "Output", "Norms and others")


@dataclass(frozen=True, slots=True)
class PartSize:
    """One part of a model."""

    part: str
    before: int
    """Bytes in the source."""
    after: int
    """Bytes in the result."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Errors of the quantized matrices by layer and kind."""

    kinds: tuple[str, ...]
    """Columns: "attn_q"; in the order of the file."""
    rows: tuple[tuple[TensorResult | None, ...], ...]
    """By layer; None where a layer has no such matrix."""

    @property
    def largest(self) -> float:
        """The error that gets the strongest colour."""
        return max((cell.error for row in self.rows for cell in row if cell), default=0.0)


def part_of(name: str) -> str:
    """What a tensor is for: one of `PARTS`."""
    return next((part for piece, part in _PARTS if piece in name), PARTS[-1])


def by_part(tensors: Sequence[TensorResult]) -> tuple[PartSize, ...]:
    """Bytes of the parts that there are, in the order of `PARTS`."""
    sizes = []
    for part in PARTS:
        members = [tensor for tensor in tensors if part_of(tensor.name) == part]
        if members:
            before = sum(tensor.before for tensor in members)
            sizes.append(PartSize(part, before, sum(tensor.after for tensor in members)))
    return tuple(sizes)


def heat_map(tensors: Sequence[TensorResult]) -> HeatMap:
    """The matrices inside the layers; vectors are hardly ever quantized and left out.

    Of experts that are stored one by one, the worst one counts.
    """
    cells: dict[tuple[int, str], TensorResult] = {}
    for tensor in tensors:
        match = _IN_LAYER.search(tensor.name)
        if match and len(tensor.shape) > 1:
            place = int(match[1]), _EXPERT.sub("experts", match[2])
            known = cells.get(place)
            if known is None or known.error < tensor.error:
                cells[place] = tensor
    kinds = tuple(dict.fromkeys(kind for _, kind in cells))
    layers = sorted({layer for layer, _ in cells})
    return HeatMap(kinds, tuple(tuple(cells.get((i, kind)) for kind in kinds) for i in layers))

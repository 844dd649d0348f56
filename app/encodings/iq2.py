"""IQ2: points of eight weights on grids of three magnitudes."""

from __future__ import annotations

from typing import ClassVar

from app.encodings import grids
from app.encodings.lattice_block import LatticeBlock


class IQ2XXS(LatticeBlock):
    """2 bits a weight: for models that fit no other way."""

    name: ClassVar[str] = "IQ2_XXS"
    ggml_id: ClassVar[int] = 16
    block_bytes: ClassVar[int] = 66
    largest: ClassVar[float] = 65504.0 * 31 / 8 * 43
    grid = grids.IQ2_XXS


class IQ2XS(LatticeBlock):
    """2.3 bits a weight: twice the points of IQ2_XXS, and twice the scales."""

    name: ClassVar[str] = "IQ2_XS"
    ggml_id: ClassVar[int] = 17
    block_bytes: ClassVar[int] = 74
    largest: ClassVar[float] = 65504.0 * 31 / 8 * 43
    grid = grids.IQ2_XS


class IQ2S(LatticeBlock):
    """2.6 bits a weight: four times the points of IQ2_XXS, and all signs free."""

    name: ClassVar[str] = "IQ2_S"
    ggml_id: ClassVar[int] = 22
    block_bytes: ClassVar[int] = 82
    largest: ClassVar[float] = 65504.0 * 31 / 8 * 43
    grid = grids.IQ2_S

"""IQ3: as IQ2, with points of four weights and eight magnitudes."""

from __future__ import annotations

from typing import ClassVar

from app.encodings import grids
from app.encodings.lattice_block import LatticeBlock


class IQ3XXS(LatticeBlock):
    """3 bits a weight: about half the error of IQ2_XXS for half as much memory again."""

    name: ClassVar[str] = "IQ3_XXS"
    ggml_id: ClassVar[int] = 18
    block_bytes: ClassVar[int] = 98
    largest: ClassVar[float] = 65504.0 * 31 / 4 * 62
    grid = grids.IQ3_XXS


class IQ3S(LatticeBlock):
    """3.4 bits a weight: twice the points of IQ3_XXS, and all signs free."""

    name: ClassVar[str] = "IQ3_S"
    ggml_id: ClassVar[int] = 21
    block_bytes: ClassVar[int] = 110
    largest: ClassVar[float] = 65504.0 * 31 * 15
    grid = grids.IQ3_S

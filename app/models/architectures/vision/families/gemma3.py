"""Gemma 3: SigLIP, averages of squares of patches, and one matrix.

Gemma Team, "Gemma 3 Technical Report", 2025, arXiv:2503.19786.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Weight, text_part
from app.models.architectures.changes import Shifted
from app.models.architectures.vision.base import Tower
from app.models.architectures.vision.siglip import Siglip
from app.models.config import whole_number


class Gemma3Vision(Siglip):
    """Gemma 3 from 4B up."""

    title: ClassVar[str] = "Gemma 3"
    model_types: ClassVar[tuple[str, ...]] = ("gemma3",)
    projector: ClassVar[str] = "gemma3"

    @override
    def projection(self, config: Config, tower: Tower) -> Iterator[Weight]:
        hf, width = "multi_modal_projector.mm_", whole_number(text_part(config), "hidden_size")
        shape = tower.hidden, width  # multiplied from the other side
        yield Weight.of("mm.input_projection.weight", hf + "input_projection_weight", *shape)
        soft = hf + "soft_emb_norm.weight"
        yield Weight.of("mm.soft_emb_norm.weight", soft, tower.hidden, change=Shifted())

    @override
    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        tower = self.tower(config)
        tokens = whole_number(config, "mm_tokens_per_image", 256)
        grid, kept = tower.image // tower.patch, isqrt(tokens)
        if kept**2 != tokens or grid % kept:
            raise Unsupported(
                f"This model makes {tokens} tokens of {grid} x {grid} patches, which llama.cpp "
                "cannot.",
                "Choose another model of the family.",
            )
        return {"vision.projector.scale_factor": grid // kept}

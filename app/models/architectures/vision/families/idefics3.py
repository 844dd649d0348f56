"""Idefics 3 and SmolVLM: SigLIP, neighbouring patches side by side, and one matrix.

Laurencon et al., "Building and better understanding vision-language models", 2024,
arXiv:2408.12637; Marafioti et al., "SmolVLM", 2025, arXiv:2504.05299.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Weight, text_part
from app.models.architectures.vision.base import Tower
from app.models.architectures.vision.siglip import Siglip
from app.models.config import section, whole_number


class Idefics3Vision(Siglip):
    """SmolVLM, SmolVLM 2 and Idefics 3."""

    title: ClassVar[str] = "SmolVLM"
    model_types: ClassVar[tuple[str, ...]] = ("smolvlm", "idefics3")
    projector: ClassVar[str] = "idefics3"
    root: ClassVar[str] = "vision_model."
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ((r"^model\.", ""),)
    roots: ClassVar[tuple[str, ...]] = ("vision_model.", "connector.")
    skipped: ClassVar[str] = ""
    defaults: ClassVar[dict[str, Any]] = {
        **Siglip.defaults,
        "hidden_size": 1152,
        "num_attention_heads": 16,
        "patch_size": 32,
    }

    @override
    def projection(self, config: Config, tower: Tower) -> Iterator[Weight]:
        width = whole_number(text_part(config), "hidden_size")
        merged = tower.hidden * whole_number(config, "scale_factor", 2) ** 2
        hf = "connector.modality_projection.proj.weight"
        yield Weight.of("mm.model.fc.weight", hf, width, merged)

    @override
    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        size = section(preprocessor, "size", {}, file="preprocessor_config.json")
        image = self.tower(config).image
        return {
            "vision.projector.scale_factor": whole_number(config, "scale_factor", 2),
            "vision.preproc_image_size": whole_number(size, "longest_edge", image),
        }

"""LFM2-VL: SigLIP 2 for pictures of any shape, neighbouring patches side by side, two matrices.

Liquid AI, "LFM2 Technical Report", 2025, arXiv:2511.23404.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Weight, text_part
from app.models.architectures.vision.base import Tower, linear, norm
from app.models.architectures.vision.changes import AsConvolution
from app.models.architectures.vision.siglip import Siglip
from app.models.config import flag, whole_number

_RESIZING = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers for ways to resize, with llama.cpp's names."""


class Lfm2Vision(Siglip):
    """LFM2-VL and LFM2.5-VL."""

    title: ClassVar[str] = "LFM2-VL"
    model_types: ClassVar[tuple[str, ...]] = ("lfm2_vl",)
    projector: ClassVar[str] = "lfm2"

    @override
    def part(self, config: Config) -> Config:
        part = super().part(config)
        side = isqrt(whole_number(part, "num_patches", 256)) * whole_number(part, "patch_size")
        return {**part, "image_size": side}

    @override
    def patches(self, tower: Tower, hf: str) -> Weight:
        shape = tower.hidden, 3 * tower.patch**2
        return Weight.of("v.patch_embd.weight", hf, *shape, change=AsConvolution(tower.patch))

    @override
    def projection(self, config: Config, tower: Tower) -> Iterator[Weight]:
        hf, width = "multi_modal_projector.", whole_number(text_part(config), "hidden_size")
        merged = tower.hidden * whole_number(config, "downsample_factor", 2) ** 2
        inner = whole_number(config, "projector_hidden_size", 2560)
        if flag(config, "projector_use_layernorm", True):
            yield from norm("mm.input_norm", hf + "layer_norm", merged)
        yield from linear("mm.1", hf + "linear_1", inner, merged)
        yield from linear("mm.2", hf + "linear_2", width, inner)

    @override
    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        if config.get("vision_feature_layer", -1) != -1:
            raise Unsupported(
                "This model looks with layers before the last one, which is not supported.",
                "Choose another model of the family.",
            )
        resizing = preprocessor.get("resample", 2)
        if resizing not in _RESIZING:
            raise Unsupported(
                "This model's pictures are resized in a way that llama.cpp does not have.",
                "Choose another model of the family.",
            )
        return {
            "vision.image_size": 256,  # any: pictures keep their shape
            "vision.projector.scale_factor": whole_number(config, "downsample_factor", 2),
            "vision.image_resize_algo": _RESIZING[resizing],
        }

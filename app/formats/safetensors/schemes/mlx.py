"""What mlx-lm loads on Macs: integers with a scale and a bias for each group.

mlx-lm quantizes the embedding and the output layer as well; a module is quantized where its file
has scales for it. The experts of a layer lie in one tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.older_fields import with_older_fields
from app.formats.safetensors.scheme import MAC, Modules, Scheme, scaled
from app.formats.safetensors.targets import Role, Target
from app.formats.size_classes import size_class
from app.models.quantized.methods.mlx import stacked_name

_QUALITY = {
    2: "unusable for most models", 3: "visible loss", 4: "small loss", 5: "very small loss",
    6: "practically the original", 8: "practically the original",
}  # fmt: skip
#: Kinds of models whose experts mlx-lm calls as `stacked_name` does.
_KNOWN = {
    "deepseek_v2", "deepseek_v3", "deepseek_v32", "ernie4_5_moe", "glm4_moe", "glm4_moe_lite",
    "hunyuan", "hunyuan_v1_moe", "kimi_k2", "mixtral", "olmoe", "phimoe", "qwen2_moe",
    "qwen3_moe", "qwen3_next",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mlx(Scheme):
    """2 to 8 bits in groups."""

    bits: int
    group: int = 64

    roles: ClassVar[frozenset[Role]] = frozenset(
        {Role.LINEAR, Role.EXPERT, Role.EMBEDDING, Role.OUTPUT}
    )
    library: ClassVar[str] = "mlx"
    made_for: ClassVar[str] = "mlx"

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for bits in (8, 6, 5, 4, 3, 2):
            yield cls(bits)

    @property
    @override
    def preset(self) -> Preset:
        return Preset(
            f"mlx-{self.bits}bit",
            self.encoding("BF16"),
            f"{self.bits}-bit integers for Macs with Apple's own processors.",
            _QUALITY[self.bits],
            group=size_class(self.bits),
            featured=self.bits == 4,
            runs_in=MAC,
        )

    @override
    def encoding(self, dtype: str) -> str:
        return scaled(f"mlx-{self.bits}bit-g{self.group}", dtype)

    @override
    def knows_experts(self, model_type: str) -> bool:
        return model_type in _KNOWN

    @override
    def stack(self, target: Target) -> str:
        return stacked_name(target.name)

    @override
    def known(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return with_older_fields(config)

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        return {"quantization": {"group_size": self.group, "bits": self.bits, "mode": "affine"}}

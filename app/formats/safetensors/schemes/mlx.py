"""What mlx-lm loads on Macs: integers with a scale and a bias for each group.

mlx-lm quantizes the embedding and the output layer as well; a module is quantized where its file
has scales for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from typing_extensions import override

from app.formats.base import Preset
from app.formats.safetensors.older_fields import with_older_fields
from app.formats.safetensors.scheme import MAC, Modules, Scheme, scaled
from app.formats.safetensors.targets import Role
from app.formats.size_classes import size_class

_QUALITY = {
    2: "unusable for most models", 3: "visible loss", 4: "small loss", 5: "very small loss",
    6: "practically the original", 8: "practically the original",
}  # fmt: skip
#: mlx-lm stacks experts as it loads them. For these it stacks scales and biases, too.
_STACKED = {
    "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe", "glm4_moe_lite", "hunyuan",
    "kimi_k2", "mixtral", "olmoe", "phimoe", "qwen2_moe",
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
        return model_type in _STACKED

    @override
    def known(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return with_older_fields(config)

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        return {"quantization": {"group_size": self.group, "bits": self.bits, "mode": "affine"}}

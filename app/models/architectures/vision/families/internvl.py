"""InternVL 2.5 and 3: a class token, scaled residuals, four patches to a token.

Zhu et al., "InternVL3", 2025, arXiv:2504.10479.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Weight, text_part
from app.models.architectures.changes import Flattened, Part
from app.models.architectures.vision.base import IMAGENET_COLOURS, Tower, Vision, linear, norm
from app.models.architectures.vision.changes import FirstToLast
from app.models.config import number, text, whole_number

_LARGE = 3200, 45
"""Width and layers of the one encoder whose norms do not subtract the mean, in llama.cpp."""
_MAKERS = (
    (r"^vision_model\.", "vision_tower."),
    (r"\.class_embedding$", ".cls_token"),
    (r"\.position_embedding$", ".position_embeddings"),
    (r"\.patch_embedding\.", ".patch_embeddings.projection."),
    (r"\.encoder\.layers\.", ".encoder.layer."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.projection_layer."),
    (r"\.attn\.", ".attention."),
    (r"\.ls([12])$", r".lambda_\1"),
    (r"^mlp1\.0\.", "multi_modal_projector.layer_norm."),
    (r"^mlp1\.1\.", "multi_modal_projector.linear_1."),
    (r"^mlp1\.3\.", "multi_modal_projector.linear_2."),
)
"""The names that the makers give, and those of transformers."""


class InternVision(Vision):
    """InternVL as its makers publish it, and as transformers stores it (folders called ...-hf)."""

    title: ClassVar[str] = "InternVL"
    model_types: ClassVar[tuple[str, ...]] = ("internvl", "internvl_chat")
    projector: ClassVar[str] = "internvl"
    skipped: ClassVar[str] = ""
    renamed: ClassVar[tuple[tuple[str, str], ...]] = (*Vision.renamed, *_MAKERS)
    colours = IMAGENET_COLOURS
    defaults: ClassVar[dict[str, Any]] = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 448,
        "patch_size": 14,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
    }

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        tower, width = self.tower(config), whole_number(text_part(config), "hidden_size")
        hf, hidden = "vision_tower.embeddings.", tower.hidden
        patches = hf + "patch_embeddings.projection"
        yield Weight.of("v.patch_embd.weight", patches + ".weight", hidden, 3, *(tower.patch,) * 2)
        yield Weight.of("v.patch_embd.bias", patches + ".bias", hidden)
        yield Weight.of("v.class_embd", hf + "cls_token", 1, 1, hidden, change=Flattened())
        positions = hf + "position_embeddings"
        shape = 1, tower.patches + 1, hidden
        # llama.cpp puts the class token behind the patches, the checkpoint in front of them.
        yield Weight.of("v.position_embd.weight", positions, *shape, change=FirstToLast())
        for layer in range(tower.layers):
            yield from _layer(layer, tower, self._has_means(config), stored)
        merged = hidden * self._shuffled(config) ** 2
        projector = "multi_modal_projector."
        yield from norm("mm.model.mlp.0", projector + "layer_norm", merged)
        yield from linear("mm.model.mlp.1", projector + "linear_1", width, merged)
        yield from linear("mm.model.mlp.3", projector + "linear_2", width, width)

    @override
    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        tower = self.tower(config)
        if self._has_means(config) == ((tower.hidden, tower.layers) == _LARGE):
            raise Unsupported(
                "This model's norms are not those that llama.cpp computes for its size.",
                "Choose another model of the family.",
            )
        for key in ("select_layer", "vision_feature_layer"):
            if config.get(key, -1) != -1:
                raise Unsupported(
                    "This model looks with layers before the last one, which is not supported.",
                    "Choose another model of the family.",
                )
        tiles = {
            f"vision.preproc_{bound}_tiles": whole_number(fields, key)
            for bound in ("min", "max")
            for fields, key in (
                (config, f"{bound}_dynamic_patch"),
                (preprocessor, f"{bound}_patches"),
            )
            if fields.get(key)
        }
        return {"vision.projector.scale_factor": self._shuffled(config), **tiles}

    def _has_means(self, config: Config) -> bool:
        """Whether norms subtract the mean."""
        return text(self.part(config), "norm_type", "layer_norm") == "layer_norm"

    def _shuffled(self, config: Config) -> int:
        """Patches of a side that become one token.

        Raises:
            Unsupported: It is no whole number.
        """
        ratio = number(config, "downsample_ratio", 0.5)
        if ratio <= 0 or not (1 / ratio).is_integer():
            raise Unsupported(
                f"This model shrinks pictures by {ratio}, which llama.cpp cannot.",
                "Choose another model of the family.",
            )
        return int(1 / ratio)


def _layer(layer: int, tower: Tower, means: bool, stored: Collection[str]) -> Iterator[Weight]:
    gguf, hf = f"v.blk.{layer}.", f"vision_tower.encoder.layer.{layer}."
    hidden = tower.hidden
    yield from norm(gguf + "ln1", hf + "layernorm_before", hidden, bias=means)
    fused = hf + "attention.qkv"
    for index, kind in enumerate("qkv"):
        name, ours = f"{hf}attention.{kind}_proj", f"{gguf}attn_{kind}"
        if f"{fused}.weight" in stored:
            part = Part(index * hidden, (index + 1) * hidden)
            yield from linear(ours, fused, 3 * hidden, hidden, change=part, bias=None)
        else:
            yield from linear(ours, name, hidden, hidden, bias=None)
    for kind in "qk":
        name = f"{hf}attention.{kind}_norm.weight"
        yield Weight.of(f"{gguf}attn_{kind}_norm.weight", name, hidden, optional=True)
    yield from linear(gguf + "attn_out", hf + "attention.projection_layer", hidden, hidden)
    yield Weight.of(gguf + "ls1.weight", hf + "lambda_1", hidden)
    yield from norm(gguf + "ln2", hf + "layernorm_after", hidden, bias=means)
    yield from linear(gguf + "ffn_up", hf + "mlp.fc1", tower.inner, hidden)
    yield from linear(gguf + "ffn_down", hf + "mlp.fc2", hidden, tower.inner)
    yield Weight.of(gguf + "ls2.weight", hf + "lambda_2", hidden)

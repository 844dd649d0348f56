"""SigLIP's encoder, which several families look with.

Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, arXiv:2303.15343.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.models.architectures.base import Config, Weight
from app.models.architectures.vision.base import EVEN_COLOURS, Tower, Vision, linear, norm


class Siglip(Vision):
    """Learned positions, norms in front of attention and feed-forward, a norm at the end."""

    root: ClassVar[str] = "vision_tower."
    colours = EVEN_COLOURS
    defaults: ClassVar[dict[str, Any]] = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 16,
        "hidden_act": "gelu_pytorch_tanh",
    }

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        tower = self.tower(config)
        hf = f"{self.root}embeddings."
        yield self.patches(tower, hf + "patch_embedding.weight")
        yield Weight.of("v.patch_embd.bias", hf + "patch_embedding.bias", tower.hidden)
        positions = hf + "position_embedding.weight"
        yield Weight.of("v.position_embd.weight", positions, tower.patches, tower.hidden)
        for layer in range(tower.layers):
            yield from self.layer(layer, tower)
        yield from norm("v.post_ln", f"{self.root}post_layernorm", tower.hidden)
        yield from self.projection(config, tower)

    def patches(self, tower: Tower, hf: str) -> Weight:
        """The convolution that makes vectors of patches."""
        shape = tower.hidden, 3, tower.patch, tower.patch
        return Weight.of("v.patch_embd.weight", hf, *shape)

    def layer(self, layer: int, tower: Tower) -> Iterator[Weight]:
        """All tensors of a layer."""
        gguf, hf = f"v.blk.{layer}.", f"{self.root}encoder.layers.{layer}."
        hidden = tower.hidden
        yield from norm(gguf + "ln1", hf + "layer_norm1", hidden)
        for ours, theirs in (
            ("q", "q_proj"),
            ("k", "k_proj"),
            ("v", "v_proj"),
            ("out", "out_proj"),
        ):
            yield from linear(f"{gguf}attn_{ours}", f"{hf}self_attn.{theirs}", hidden, hidden)
        yield from norm(gguf + "ln2", hf + "layer_norm2", hidden)
        yield from linear(gguf + "ffn_up", hf + "mlp.fc1", tower.inner, hidden)
        yield from linear(gguf + "ffn_down", hf + "mlp.fc2", hidden, tower.inner)

    @abstractmethod
    def projection(self, config: Config, tower: Tower) -> Iterator[Weight]:
        """The tensors between the encoder and the language model."""

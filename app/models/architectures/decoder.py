"""A decoder like Llama's, which most families share and change in places."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile
from app.core.tensor import TensorInfo
from app.models.architectures.base import (
    LONG_FACTORS,
    OUTPUT,
    ROPE_FACTORS,
    SHORT_FACTORS,
    Architecture,
    Config,
    Dimensions,
    Weight,
)
from app.models.architectures.changes import AS_IS, Change, Neighbours
from app.models.architectures.hyperparameters import (
    attention_metadata,
    check_activation,
    decoder_config,
    dimensions_of_config,
    epsilon,
    size_metadata,
)
from app.models.architectures.rope import Rope, rotated_share

QKV = frozenset({"attn_q", "attn_k", "attn_v"})
ALL = QKV | {"attn_output", "ffn_gate", "ffn_up", "ffn_down"}


SURROUNDING_NORMS = (
    ("attn_norm", "input_layernorm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
)
"""Norms in front of and behind both halves of a layer."""
BEHIND_NORMS = (
    ("post_attention_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
)
"""Norms behind both halves of a layer."""


class Decoder(Architecture):
    """Norm, attention, norm, gated feed-forward; the parts are methods to replace."""

    pairs_neighbours: ClassVar[bool] = False
    """Whether llama.cpp's rotary embedding turns elements 2j and 2j + 1 of a head together.

    Then rows of queries and keys change places: Hugging Face turns j and j + head / 2, as llama.cpp
    does for the other families.
    """
    biased: ClassVar[frozenset[str]] = frozenset()
    """GGUF names of the matrices that have a bias."""
    maybe_biased: ClassVar[frozenset[str]] = frozenset()
    """Those that may have one."""
    head_norms: ClassVar[bool] = False
    """Whether there are norms over each head of queries and keys."""
    activations: ClassVar[frozenset[str]] = frozenset({"silu", "swish"})
    """What llama.cpp computes between the matrices of the feed-forward part."""
    norm_change: ClassVar[Change] = AS_IS
    """How weights of norms are stored."""
    norm_biased: ClassVar[bool] = False
    """Whether norms have a bias."""
    layer_norm: ClassVar[str] = ""
    """Name of the epsilon in config.json, where norms subtract the mean; "": they do not."""
    attention_output: ClassVar[str] = "o_proj"
    """Name of attention's last matrix in the checkpoint."""
    layer_norms: ClassVar[tuple[tuple[str, str], ...]] = (
        ("attn_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
    )
    """Norms of a layer over its width: names in GGUF and in the checkpoint."""
    partial: ClassVar[bool] = False
    """Whether rotary embedding may turn a share of a head only."""
    rotated_share: ClassVar[float] = 1.0
    """The share where config.json is silent."""

    @override
    def dimensions(self, config: Config) -> Dimensions:
        return dimensions_of_config(config, self.defaults)

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        size = self.dimensions(config)
        yield from self.around(size, config)
        for layer in range(size.layers):
            yield from self.layer(layer, size, config, stored)

    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        """Embedding, last norm and output layer."""
        embedding = (size.vocabulary, size.hidden)
        yield Weight.of("token_embd.weight", "model.embed_tokens.weight", *embedding)
        yield from self.norm("output_norm", "model.norm", size.hidden)
        if not self.is_tied(config):
            yield Weight.of(OUTPUT, "lm_head.weight", *embedding)

    def layer(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        """All tensors of a layer. `config` and `stored` are for families with several kinds."""
        yield from self.norms(layer, size)
        yield from self.attention(layer, size, config)
        yield from self.feed_forward(layer, size, config, stored)

    def norms(self, layer: int, size: Dimensions) -> Iterator[Weight]:
        """The norms in front of attention and feed-forward, or behind."""
        for gguf, hf in self.layer_norms:
            yield from self.norm(f"blk.{layer}.{gguf}", f"model.layers.{layer}.{hf}", size.hidden)

    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        """Projections of attention, and norms within it."""
        del config
        hf, gguf = f"model.layers.{layer}.self_attn.", f"blk.{layer}."
        turned = Neighbours(size.head) if self.pairs_neighbours else AS_IS
        hidden = size.hidden
        yield from self.matrix(layer, "attn_q", hf + "q_proj", size.queries, hidden, change=turned)
        yield from self.matrix(layer, "attn_k", hf + "k_proj", size.keys, hidden, change=turned)
        yield from self.matrix(layer, "attn_v", hf + "v_proj", size.keys, hidden)
        output = hf + self.attention_output
        yield from self.matrix(layer, "attn_output", output, hidden, size.queries)
        if self.head_norms:
            yield from self.norm(gguf + "attn_q_norm", hf + "q_norm", size.head)
            yield from self.norm(gguf + "attn_k_norm", hf + "k_norm", size.head)

    def feed_forward(
        self, layer: int, size: Dimensions, config: Config, stored: Collection[str]
    ) -> Iterator[Weight]:
        """The gated feed-forward part."""
        del config, stored
        hf = f"model.layers.{layer}.mlp."
        yield from self.matrix(layer, "ffn_gate", hf + "gate_proj", size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_up", hf + "up_proj", size.inner, size.hidden)
        yield from self.matrix(layer, "ffn_down", hf + "down_proj", size.hidden, size.inner)

    def norm(self, gguf: str, hf: str, *shape: int) -> Iterator[Weight]:
        """A norm's weight, and its bias if norms have one."""
        yield Weight.of(f"{gguf}.weight", f"{hf}.weight", *shape, change=self.norm_change)
        if self.norm_biased:
            yield Weight.of(f"{gguf}.bias", f"{hf}.bias", *shape)

    def matrix(
        self, layer: int, gguf: str, hf: str, rows: int, row: int, *, change: Change = AS_IS
    ) -> Iterator[Weight]:
        """A matrix of a layer with its bias, if it has one."""
        name = f"blk.{layer}.{gguf}"
        yield Weight.of(f"{name}.weight", f"{hf}.weight", rows, row, change=change)
        if gguf in self.biased | self.maybe_biased:
            optional = gguf in self.maybe_biased
            yield Weight.of(f"{name}.bias", f"{hf}.bias", rows, change=change, optional=optional)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        check_activation(config, self.activations, self.title)
        size = self.dimensions(config)
        return {
            **size_metadata(size, config, self.defaults),
            **attention_metadata(size),
            **self.norm_metadata(config),
            **self.rope(config).metadata(),
            "rope.dimension_count": self.rotated(config),
        }

    def norm_metadata(self, config: Config) -> dict[str, Any]:
        """What keeps norms from dividing by zero."""
        key = self.layer_norm or "rms_norm_eps"
        kind = "layer_norm" if self.layer_norm else "layer_norm_rms"
        return {f"attention.{kind}_epsilon": epsilon(config, key, self.defaults[key])}

    def rotated(self, config: Config) -> int:
        """Elements of a head that rotary embedding turns."""
        return int(self.dimensions(config).head * rotated_share(config, self.rotated_share))

    def rope(self, config: Config) -> Rope:
        """The position embedding."""
        partial = self.partial or self.rotated_share != 1
        return Rope.from_config(config, self.defaults["rope_theta"], partial=partial)

    @override
    def computed(self, config: Config) -> dict[str, tuple[float, ...]]:
        rope, pairs = self.rope(config), self.rotated(config) // 2
        if rope.kind == "longrope":
            if not len(rope.short) == len(rope.long) == pairs:
                raise BadModelFile(
                    f"The position embedding has {len(rope.short)} factors for {pairs} pairs.",
                    "The model's description (config.json) is damaged. Download it again.",
                )
            return {LONG_FACTORS: rope.long, SHORT_FACTORS: rope.short}
        divisors = rope.divisors(2 * pairs)
        return {ROPE_FACTORS: tuple(divisors)} if divisors else {}

    @override
    def config(
        self,
        metadata: Mapping[str, Any],
        tensors: Mapping[str, TensorInfo],
        divisors: Sequence[float] | None,
    ) -> Config:
        config = decoder_config(self.gguf, metadata, tensors, divisors)
        return {
            "architectures": [self.classes[0]],
            "model_type": self.model_types[0],
            **config,
            **self.more_config(config["num_hidden_layers"]),
        }

    def more_config(self, layers: int) -> dict[str, Any]:  # noqa: ARG002 - most have none
        """Entries of config.json that a GGUF file does not hold, for so many layers."""
        return {}

"""The numbers that describe a model, read from config.json or from a GGUF file's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures.base import Architecture, Config, Dimensions
from app.models.architectures.rope import Rope

_MOST = {"num_hidden_layers": 4096, "vocab_size": 1 << 24}
_MOST_OTHERS = 1 << 26


def dimensions_of_config(architecture: Architecture, config: Config) -> Dimensions:
    """The dimensions that config.json gives.

    Raises:
        BadModelFile: One is missing or out of bounds, or they contradict each other.
    """
    known = {**architecture.defaults, **config}
    heads = _whole(known, "num_attention_heads")
    hidden = _whole(known, "hidden_size")
    head = known.get("head_dim")
    kv_heads = known.get("num_key_value_heads")
    dimensions = Dimensions(
        layers=_whole(known, "num_hidden_layers"),
        hidden=hidden,
        inner=_whole(known, "intermediate_size"),
        heads=heads,
        kv_heads=heads if kv_heads is None else _whole(known, "num_key_value_heads"),
        head=hidden // heads if head is None else _whole(known, "head_dim"),
        vocabulary=_whole(known, "vocab_size"),
    )
    if dimensions.heads % dimensions.kv_heads or dimensions.head % 2:
        raise BadModelFile(
            f"config.json: {dimensions.heads} attention heads of {dimensions.head} numbers do not "
            f"share {dimensions.kv_heads} key heads.",
            "The file is damaged. Download it again.",
        )
    return dimensions


def rope_of_config(architecture: Architecture, config: Config) -> Rope:
    """The position embedding that config.json gives; see `Rope.from_config`."""
    return Rope.from_config(config, architecture.defaults["rope_theta"])


def is_tied(architecture: Architecture, config: Config) -> bool:
    """Whether the output layer is the embedding, used a second time."""
    tied = config.get("tie_word_embeddings")
    return bool(architecture.defaults["tie_word_embeddings"] if tied is None else tied)


def gguf_metadata(architecture: Architecture, config: Config) -> dict[str, Any]:
    """The entries of a GGUF file that describe the model, with the architecture's prefix.

    Raises:
        BadModelFile: A number is missing or out of bounds.
        Unsupported: llama.cpp cannot run a model like this.
    """
    if config.get("hidden_act", "silu") not in {"silu", "swish"}:
        raise Unsupported(
            f"This {architecture.title} model uses the activation {config['hidden_act']!r}, "
            "llama.cpp has SiLU only.",
            "It cannot be stored as a GGUF file. Choose another model.",
        )
    known = {**architecture.defaults, **config}
    dimensions = dimensions_of_config(architecture, config)
    entries: dict[str, Any] = {
        "block_count": dimensions.layers,
        "context_length": _whole(known, "max_position_embeddings"),
        "embedding_length": dimensions.hidden,
        "feed_forward_length": dimensions.inner,
        "attention.head_count": dimensions.heads,
        "attention.head_count_kv": dimensions.kv_heads,
        "attention.key_length": dimensions.head,
        "attention.value_length": dimensions.head,
        "attention.layer_norm_rms_epsilon": _epsilon(known),
        "rope.dimension_count": dimensions.head,
        "vocab_size": dimensions.vocabulary,
        **rope_of_config(architecture, config).metadata(),
    }
    return {f"{architecture.gguf}.{key}": value for key, value in entries.items()}


def dimensions_of_gguf(
    architecture: Architecture, metadata: Mapping[str, Any], vocabulary: int
) -> Dimensions:
    """The dimensions that a GGUF file's metadata gives.

    Args:
        architecture: The file's.
        metadata: Plain values by their full keys.
        vocabulary: Rows of its embedding.

    Raises:
        BadModelFile: One is missing or out of bounds.
        Unsupported: The file has experts or layers of several shapes.
    """
    prefix = f"{architecture.gguf}."
    known = {key.removeprefix(prefix): value for key, value in metadata.items()}
    if known.get("expert_count"):
        raise Unsupported(
            "This file holds a mixture of experts, which cannot be handled yet.",
            "Choose a model without experts.",
        )
    for key in ("attention.head_count", "attention.head_count_kv", "feed_forward_length"):
        if isinstance(known.get(key), list | tuple):
            raise Unsupported(
                "This file has layers of different shapes, which cannot be handled yet.",
                "Choose another model.",
                f"{prefix}{key}",
            )
    heads, hidden = _whole(known, "attention.head_count"), _whole(known, "embedding_length")
    return Dimensions(
        layers=_whole(known, "block_count"),
        hidden=hidden,
        inner=_whole(known, "feed_forward_length"),
        heads=heads,
        kv_heads=_whole({"attention.head_count_kv": heads, **known}, "attention.head_count_kv"),
        head=_whole({"attention.key_length": hidden // heads, **known}, "attention.key_length"),
        vocabulary=vocabulary,
    )


def config_of_gguf(
    architecture: Architecture,
    metadata: Mapping[str, Any],
    names: Mapping[str, Any],
    dimensions: Dimensions,
    divisors: Sequence[float] | None,
) -> dict[str, Any]:
    """A config.json for transformers that describes the model in a GGUF file.

    Args:
        architecture: The file's.
        metadata: Plain values by their full keys.
        names: Has the names of the file's tensors.
        dimensions: See `dimensions_of_gguf`.
        divisors: Content of `rope_freqs.weight`, if there is one.
    """
    prefix = f"{architecture.gguf}."
    known = {
        key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)
    }
    config: dict[str, Any] = {
        "architectures": [architecture.classes[0]],
        "model_type": architecture.model_type,
        "num_hidden_layers": dimensions.layers,
        "hidden_size": dimensions.hidden,
        "intermediate_size": dimensions.inner,
        "num_attention_heads": dimensions.heads,
        "num_key_value_heads": dimensions.kv_heads,
        "head_dim": dimensions.head,
        "vocab_size": dimensions.vocabulary,
        "hidden_act": "silu",
        "max_position_embeddings": _whole(known, "context_length"),
        "rms_norm_eps": float(known.get("attention.layer_norm_rms_epsilon", 1e-6)),
        "tie_word_embeddings": "output.weight" not in names,
        "attention_bias": "blk.0.attn_output.bias" in names,
        "mlp_bias": "blk.0.ffn_up.bias" in names,
        "sliding_window": None,
        **Rope.from_metadata(known, divisors, dimensions.head).to_config(),
        **architecture.more_config(dimensions),
    }
    for kind in ("bos", "eos", "pad"):
        token = metadata.get(f"tokenizer.ggml.{'padding' if kind == 'pad' else kind}_token_id")
        config[f"{kind}_token_id"] = token
    return config


def _whole(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    most = _MOST.get(key, _MOST_OTHERS)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        said = "is missing" if value is None else f"is {str(value)[:40]!r}"
        raise BadModelFile(
            f"{key} {said}; it must be a positive whole number.",
            "The model's description (config.json) is damaged. Download it again.",
        )
    return value


def _epsilon(values: Mapping[str, Any]) -> float:
    value = values.get("rms_norm_eps")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise BadModelFile(
            f"rms_norm_eps is {str(value)[:40]!r}; it must be a small positive number.",
            "The model's description (config.json) is damaged. Download it again.",
        )
    return float(value)

"""The numbers that describe a model, read from config.json or from a GGUF file's metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures.base import Architecture, Config, Dimensions
from app.models.architectures.rope import Rope
from app.models.config import flag, number, text, whole_number
from app.models.source_file import shown

_MOST = 1 << 24
_MOST_LAYERS = 4096
_AGAIN = "The model's description is damaged. Download it again."
_NOTES = "its metadata"
_BIASES = {"blk.0.attn_q.bias", "blk.0.attn_output.bias"}  # in transformers' Llama both or none


def dimensions_of_config(architecture: Architecture, config: Config) -> Dimensions:
    """The dimensions that config.json gives.

    Raises:
        BadModelFile: One is missing or out of bounds, or they contradict each other.
    """
    defaults = architecture.defaults
    heads = _bounded(config, "num_attention_heads")
    hidden = _bounded(config, "hidden_size")
    dimensions = Dimensions(
        layers=_bounded(config, "num_hidden_layers"),
        hidden=hidden,
        inner=_bounded(config, "intermediate_size"),
        heads=heads,
        kv_heads=_bounded(config, "num_key_value_heads", defaults["num_key_value_heads"] or heads),
        head=_bounded(config, "head_dim", defaults.get("head_dim", max(1, hidden // heads))),
        vocabulary=_bounded(config, "vocab_size"),
    )
    return _checked(dimensions, "config.json")


def _checked(dimensions: Dimensions, file: str) -> Dimensions:
    if dimensions.heads % dimensions.kv_heads or dimensions.head % 2:
        raise BadModelFile(
            f"{file}: {dimensions.heads} attention heads of {dimensions.head} numbers cannot share "
            f"{dimensions.kv_heads} key heads.",
            _AGAIN,
        )
    if dimensions.layers > _MOST_LAYERS:
        raise BadModelFile(f"{file}: {dimensions.layers} layers are too many.", _AGAIN)
    return dimensions


def rope_of_config(architecture: Architecture, config: Config) -> Rope:
    """The position embedding that config.json gives; see `Rope.from_config`."""
    return Rope.from_config(config, architecture.defaults["rope_theta"])


def is_tied(architecture: Architecture, config: Config) -> bool:
    """Whether the output layer is the embedding, used a second time."""
    return flag(config, "tie_word_embeddings", architecture.defaults["tie_word_embeddings"])


def gguf_metadata(architecture: Architecture, config: Config) -> dict[str, Any]:
    """The entries of a GGUF file that describe the model, with the architecture's prefix.

    Raises:
        BadModelFile: A number is missing or out of bounds.
        Unsupported: llama.cpp cannot run a model like this.
    """
    activation = text(config, "hidden_act", "silu")
    if activation not in {"silu", "swish"}:
        raise Unsupported(
            f"This {architecture.title} model uses the activation {shown(activation)!r}, "
            "llama.cpp has SiLU only.",
            "It cannot be stored as a GGUF file. Choose another model.",
        )
    defaults = architecture.defaults
    dimensions = dimensions_of_config(architecture, config)
    context = defaults["max_position_embeddings"]
    entries: dict[str, Any] = {
        "block_count": dimensions.layers,
        "context_length": _bounded(config, "max_position_embeddings", context),
        "embedding_length": dimensions.hidden,
        "feed_forward_length": dimensions.inner,
        "attention.head_count": dimensions.heads,
        "attention.head_count_kv": dimensions.kv_heads,
        "attention.key_length": dimensions.head,
        "attention.value_length": dimensions.head,
        "attention.layer_norm_rms_epsilon": _epsilon(
            config, "rms_norm_eps", defaults["rms_norm_eps"]
        ),
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

    def count(key: str, default: int | None = None) -> int:
        return _bounded(known, key, default, _NOTES)

    heads, hidden = count("attention.head_count"), count("embedding_length")
    dimensions = Dimensions(
        layers=count("block_count"),
        hidden=hidden,
        inner=count("feed_forward_length"),
        heads=heads,
        kv_heads=count("attention.head_count_kv", heads),
        head=count("attention.key_length", max(1, hidden // heads)),
        vocabulary=vocabulary,
    )
    return _checked(dimensions, _NOTES)


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

    Raises:
        BadModelFile: A number is missing or out of bounds.
        Unsupported: transformers has no such model.
    """
    prefix = f"{architecture.gguf}."
    known = {
        key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)
    }
    if architecture.model_type == "llama" and len(_BIASES & set(names)) == 1:
        raise Unsupported(
            "This file has biases in some parts of its attention only.",
            "Its quality cannot be measured, but programs that load GGUF files can run it.",
        )
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
        "max_position_embeddings": _bounded(known, "context_length", file=_NOTES),
        "rms_norm_eps": _epsilon(known, "attention.layer_norm_rms_epsilon", file=_NOTES),
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


def _bounded(
    config: Config, key: str, default: int | None = None, file: str = "config.json"
) -> int:
    """A count that is small enough to make lists of that length."""
    value = whole_number(config, key, default, file=file)
    if value > _MOST:
        raise BadModelFile(f"{file}: {key} is {value}, which is too much.", _AGAIN)
    return value


def _epsilon(
    config: Config, key: str, default: float | None = None, file: str = "config.json"
) -> float:
    value = number(config, key, default, file=file)
    if not 0 < value < 1:
        raise BadModelFile(f"{file}: {key} must be a small positive number.", _AGAIN)
    return value

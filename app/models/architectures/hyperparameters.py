"""The numbers that describe a model, read from config.json or from a GGUF file's metadata."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.core.errors import BadModelFile, Unsupported
from app.core.tensor import TensorInfo
from app.models.architectures.base import OUTPUT, Config, Dimensions
from app.models.architectures.rope import Rope
from app.models.config import number, text, whole_number
from app.models.source_file import shown

_MOST = 1 << 24
_MOST_LAYERS = 4096
_AGAIN = "The model's description is damaged. Download it again."
_NOTES = "its metadata"
_BIASES = {"blk.0.attn_q.bias", "blk.0.attn_output.bias"}  # in transformers' Llama both or none


def dimensions_of_config(config: Config, defaults: Config) -> Dimensions:
    """The dimensions that config.json gives by the usual names, without experts.

    Args:
        config: Content of config.json.
        defaults: What holds where it is silent: "num_key_value_heads" (None: as many as heads)
            and "head_dim" (absent: hidden / heads).

    Raises:
        BadModelFile: One is missing or out of bounds, or they contradict each other.
    """
    heads = count(config, "num_attention_heads")
    hidden = count(config, "hidden_size")
    dimensions = Dimensions(
        layers=count(config, "num_hidden_layers"),
        hidden=hidden,
        inner=count(config, "intermediate_size"),
        heads=heads,
        kv_heads=count(config, "num_key_value_heads", defaults["num_key_value_heads"] or heads),
        head=count(config, "head_dim", defaults.get("head_dim", max(1, hidden // heads))),
        vocabulary=count(config, "vocab_size"),
    )
    return checked(dimensions)


def checked(dimensions: Dimensions, file: str = "config.json") -> Dimensions:
    """Dimensions that do not contradict each other.

    Raises:
        BadModelFile: They do.
    """
    if dimensions.heads % dimensions.kv_heads or dimensions.head % 2:
        raise BadModelFile(
            f"{file}: {dimensions.heads} attention heads of {dimensions.head} numbers cannot share "
            f"{dimensions.kv_heads} key heads.",
            _AGAIN,
        )
    if dimensions.layers > _MOST_LAYERS:
        raise BadModelFile(f"{file}: {dimensions.layers} layers are too many.", _AGAIN)
    return dimensions


def check_activation(
    config: Config, allowed: Collection[str], title: str, *, key: str = "hidden_act"
) -> None:
    """Refuse a model with another activation than llama.cpp computes for its family.

    Raises:
        Unsupported: It has another one. Where the config is silent, it has the family's.
    """
    activation = text(config, key, next(iter(allowed)))
    if activation not in allowed:
        raise Unsupported(
            f"This {title} model uses the activation {shown(activation)!r}, "
            f"llama.cpp has {' and '.join(sorted(allowed))} only.",
            "It cannot be stored as a GGUF file. Choose another model.",
        )


def size_metadata(size: Dimensions, config: Config, defaults: Config) -> dict[str, Any]:
    """Depth, widths and context."""
    context = defaults["max_position_embeddings"]
    return {
        "block_count": size.layers,
        "context_length": count(config, "max_position_embeddings", context),
        "embedding_length": size.hidden,
        "feed_forward_length": size.inner,
        "vocab_size": size.vocabulary,
    }


def attention_metadata(size: Dimensions) -> dict[str, Any]:
    """Numbers and sizes of heads."""
    return {
        "attention.head_count": size.heads,
        "attention.head_count_kv": size.kv_heads,
        "attention.key_length": size.head,
        "attention.value_length": size.head,
    }


def decoder_config(
    gguf: str,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, TensorInfo],
    divisors: Sequence[float] | None,
) -> dict[str, Any]:
    """Entries of config.json for a decoder like Llama's, from a GGUF file.

    Args:
        gguf: llama.cpp's name of the family.
        metadata: Plain values by their full keys.
        tensors: The file's.
        divisors: Content of `rope_freqs.weight`, if there is one.

    Raises:
        BadModelFile: A number is missing or out of bounds.
        Unsupported: The file has experts or layers of several shapes, or transformers has no such
            model.
    """
    prefix = f"{gguf}."
    known = {
        key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)
    }
    _refuse_uneven(known)
    if gguf == "llama" and len(_BIASES & set(tensors)) == 1:
        raise Unsupported(
            "This file has biases in some parts of its attention only.",
            "Its quality cannot be measured, but programs that load GGUF files can run it.",
        )

    size = _dimensions_of_metadata(known, tensors)
    config: dict[str, Any] = {
        "num_hidden_layers": size.layers,
        "hidden_size": size.hidden,
        "intermediate_size": size.inner,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head,
        "vocab_size": size.vocabulary,
        "hidden_act": "silu",
        "max_position_embeddings": count(known, "context_length", file=_NOTES),
        "rms_norm_eps": epsilon(known, "attention.layer_norm_rms_epsilon", file=_NOTES),
        "tie_word_embeddings": OUTPUT not in tensors,
        "attention_bias": "blk.0.attn_output.bias" in tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in tensors,
        "sliding_window": None,
        **Rope.from_metadata(known, divisors, size.head).to_config(),
    }
    for kind in ("bos", "eos", "pad"):
        token = metadata.get(f"tokenizer.ggml.{'padding' if kind == 'pad' else kind}_token_id")
        config[f"{kind}_token_id"] = token
    return config


def _dimensions_of_metadata(
    known: Mapping[str, Any], tensors: Mapping[str, TensorInfo]
) -> Dimensions:
    def at(key: str, default: int | None = None) -> int:
        return count(known, key, default, _NOTES)

    heads, hidden = at("attention.head_count"), at("embedding_length")
    embedding = tensors.get("token_embd.weight")
    size = Dimensions(
        layers=at("block_count"),
        hidden=hidden,
        inner=at("feed_forward_length"),
        heads=heads,
        kv_heads=at("attention.head_count_kv", heads),
        head=at("attention.key_length", max(1, hidden // heads)),
        vocabulary=embedding.shape[0] if embedding else 0,
    )
    return checked(size, _NOTES)


def _refuse_uneven(known: Mapping[str, Any]) -> None:
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
                key,
            )


def count(
    config: Config,
    key: str,
    default: int | None = None,
    file: str = "config.json",
    *,
    least: int = 1,
) -> int:
    """A count of at least `least` that is small enough to make lists of that length.

    Raises:
        BadModelFile: It is missing or out of bounds.
    """
    value = whole_number(config, key, default, file=file, least=least)
    if value > _MOST:
        raise BadModelFile(f"{file}: {key} is {value}, which is too much.", _AGAIN)
    return value


def spelled(config: Config, *keys: str) -> str:
    """The first of several names of one field that is there, or the first of all."""
    return next((key for key in keys if config.get(key) is not None), keys[0])


def epsilon(
    config: Config, key: str, default: float | None = None, file: str = "config.json"
) -> float:
    """What keeps a norm from dividing by zero.

    Raises:
        BadModelFile: It is missing or no small positive number.
    """
    value = number(config, key, default, file=file)
    if not 0 < value < 1:
        raise BadModelFile(f"{file}: {key} must be a small positive number.", _AGAIN)
    return value


def is_near(found: float, wanted: float) -> bool:
    """Whether two numbers are the same but for rounding."""
    return math.isclose(found, wanted, rel_tol=1e-5)

"""A config.json in the words of a GGUF file, as far as memory is concerned.

So there is one set of rules, whatever kind of model it is. The keys are those that
llama.cpp's converter writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.core.errors import BadModelFile
from app.models.cache.families import BY_MODEL_TYPE, Family, State
from app.models.cache.geometry import CannotSize
from app.models.config import items, section, whole_number
from app.models.source_file import shown

Config = Mapping[str, Any]


def hyperparameters(config: Config) -> dict[str, Any]:
    """The notes, by their full keys.

    Raises:
        CannotSize: The family is not known, or the config lacks a number.
    """
    kind = config.get("model_type")
    try:
        text = section(config, "text_config", {}) or config
        kinds = [str(part.get("model_type")) for part in (text, config)]
        family = next((BY_MODEL_TYPE[each] for each in kinds if each in BY_MODEL_TYPE), None)
        if family is None:
            raise CannotSize(
                f"How much memory models of the kind {shown(str(kind))} take is not known here."
            )
        said = {key: value for key, value in text.items() if value is not None}
        inner = {**_DEFAULTS.get(family.gguf, {}), **said} if text is not config else said
        notes = {
            **_common(inner),
            **_experts(inner),
            **_windows(family, inner),
            **_states(family, inner),
            **(_OWN[family.gguf](inner) if family.gguf in _OWN else {}),
        }
    except BadModelFile as error:
        raise CannotSize(error.title, error.hint) from error
    named = {f"{family.gguf}.{key}": value for key, value in notes.items() if value is not None}
    return {"general.architecture": family.gguf, **named}


def _number(config: Config, *keys: str, default: int | None = None) -> int:
    """A count under the first of its names that is there."""
    found = next((key for key in keys if config.get(key) is not None), keys[0])
    return whole_number(config, found, default, least=0)


#: What transformers assumes where the text part of a larger model is silent; such configs hold
#: only what differs from it.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma3": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    "gemma3n": {
        "hidden_size": 2048,
        "intermediate_size": 16384,
        "num_hidden_layers": 35,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "vocab_size": 262400,
        "max_position_embeddings": 32768,
        "sliding_window": 512,
        "hidden_size_per_layer_input": 256,
        "altup_num_inputs": 4,
        "num_kv_shared_layers": 15,
    },
    "llama": {  # of mistral3
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
        "max_position_embeddings": 131072,
    },
}


def _count(config: Config) -> int:
    """Layers; some families list their kinds and do not count them."""
    if config.get("num_hidden_layers") is None and _LISTS & config.keys():
        return len(_layer_kinds(config))
    return _number(config, "num_hidden_layers", "n_layer")


_LISTS = {"layer_types", "layers_block_type", "hybrid_override_pattern"}


def _common(config: Config) -> dict[str, Any]:
    heads = _number(config, "num_attention_heads", default=0)
    hidden = _number(config, "hidden_size", "d_model")
    head = _number(config, "head_dim", default=hidden // heads) if heads else 0
    spare = _number(config, "num_nextn_predict_layers", default=0)
    layers = _count(config) + spare
    kv_heads = _number(config, "num_key_value_heads", default=heads)
    return {
        "block_count": layers,
        "nextn_predict_layers": spare or None,
        "context_length": _number(config, "max_position_embeddings", default=0) or None,
        "embedding_length": hidden,
        "feed_forward_length": _inner(config, layers),
        "vocab_size": _number(config, "vocab_size"),
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": head or None,
        "attention.value_length": head or None,
        "attention.shared_kv_layers": _number(config, "num_kv_shared_layers", default=0) or None,
        "embedding_length_per_layer_input": _number(
            config, "hidden_size_per_layer_input", default=0
        )
        or None,
        "altup.num_inputs": _number(config, "altup_num_inputs", default=0) or None,
    }


def _inner(config: Config, layers: int) -> int | list[int]:
    """Width of the feed-forward part; Gemma 3n has one number a layer."""
    value = config.get("intermediate_size")
    if isinstance(value, list):
        widths = [item for item in value if isinstance(item, int)]
        return [*widths, *widths[-1:] * layers][:layers]
    return _number(config, "intermediate_size", "shared_intermediate_size", default=0)


_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_USED = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "top_k_experts",
    "moe_k",
    "moe_topk",
)
_EXPERT_WIDTH = ("moe_intermediate_size", "expert_intermediate_size")


def _experts(config: Config) -> dict[str, Any]:
    experts = _number(config, *_EXPERTS, default=0)
    if experts < 2:
        return {}
    width = _number(config, *_EXPERT_WIDTH, default=_number(config, "intermediate_size", default=0))
    return {
        "expert_count": experts,
        "expert_used_count": _number(config, *_EXPERTS_USED),
        "expert_feed_forward_length": width,
    }


def _windows(family: Family, config: Config) -> dict[str, Any]:
    window = _number(config, "sliding_window", default=0)
    if family.window is None or not window:
        return {}
    kinds = config.get("layer_types")
    period = _number(config, "sliding_window_pattern", "_sliding_window_pattern", default=0)
    pattern: list[bool] | int | None = period or None
    if isinstance(kinds, list):
        pattern = [kind == "sliding_attention" for kind in kinds]
    return {"attention.sliding_window": window, "attention.sliding_window_pattern": pattern}


def _latent(config: Config) -> dict[str, Any]:
    """DeepSeek-V2, arXiv:2405.04434, section 2.1: kept are the compressed keys and one rotated."""
    rank = _number(config, "kv_lora_rank")
    rotated = _number(config, "qk_rope_head_dim")
    return {
        "attention.head_count_kv": 1,
        "attention.key_length": rank + rotated,
        "attention.value_length": rank,
        "attention.kv_lora_rank": rank,
        "attention.q_lora_rank": _number(config, "q_lora_rank", default=0) or None,
        "attention.key_length_mla": _number(config, "qk_nope_head_dim") + rotated,
        "attention.value_length_mla": _number(config, "v_head_dim"),
        "rope.dimension_count": rotated,
    }


def _global_heads(config: Config) -> dict[str, Any]:
    """Gemma 4: layers that see everything have wider and fewer heads."""
    kinds = items(config, "layer_types")
    own, wide = _number(config, "head_dim"), _number(config, "global_head_dim")
    heads = _number(config, "num_key_value_heads")
    few = _number(config, "num_global_key_value_heads", default=heads)
    return {
        "attention.key_length": wide,
        "attention.value_length": wide,
        "attention.key_length_swa": own,
        "attention.value_length_swa": own,
        "attention.head_count_kv": [
            heads if kind == "sliding_attention" else few for kind in kinds
        ],
    }


_OWN = {"deepseek2": _latent, "gemma4": _global_heads}


def _states(family: Family, config: Config) -> dict[str, Any]:
    if family.state is State.NONE:
        return {}
    notes = _STATES[family.gguf](config)
    if family.state in {State.HEADLESS, State.HEADLESS_NARROW}:
        notes |= _headless(family, config)
    return notes


def _headless(family: Family, config: Config) -> dict[str, Any]:
    """Which layers have attention, said by the number of their key heads."""
    kinds = _layer_kinds(config)
    heads = _number(config, "num_key_value_heads", default=_number(config, "num_attention_heads"))
    notes: dict[str, Any] = {
        "attention.head_count_kv": [heads if kind in _ATTENTION else 0 for kind in kinds]
    }
    if family.state is State.HEADLESS_NARROW:
        inner = _number(config, "intermediate_size", default=0)
        experts = _number(config, *_EXPERT_WIDTH, default=0)
        widths = {"-": inner, "mlp": inner, "E": experts, "moe": experts}
        notes["feed_forward_length"] = [widths.get(kind, 0) for kind in kinds]
    return notes


_ATTENTION = {"attention", "full_attention", "*"}


def _layer_kinds(config: Config) -> list[str]:
    kinds = config.get("layer_types") or config.get("layers_block_type")
    if isinstance(kinds, list):
        return [str(kind) for kind in kinds]
    pattern = config.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        return list(pattern)
    count = _number(config, "num_hidden_layers")
    if config.get("full_attn_idxs") is not None:
        with_attention = set(items(config, "full_attn_idxs"))
        return ["attention" if index in with_attention else "conv" for index in range(count)]
    if config.get("attn_layer_period") is None:
        raise CannotSize("config.json does not say which layers have attention.")
    period = whole_number(config, "attn_layer_period")  # Jamba
    offset = _number(config, "attn_layer_offset", default=0)
    return ["attention" if index % period == offset else "mamba" for index in range(count)]


def _delta(config: Config) -> dict[str, Any]:
    """Gated delta net, Qwen3-Next."""
    heads = _number(config, "linear_num_value_heads")
    return {
        "ssm.conv_kernel": _number(config, "linear_conv_kernel_dim"),
        "ssm.inner_size": heads * _number(config, "linear_value_head_dim"),
        "ssm.state_size": _number(config, "linear_key_head_dim"),
        "ssm.time_step_rank": heads,
        "ssm.group_count": _number(config, "linear_num_key_heads"),
        "full_attention_interval": _number(config, "full_attention_interval", default=4),
        "expert_shared_feed_forward_length": _number(
            config, "shared_expert_intermediate_size", default=0
        )
        or None,
    }


def _mamba2(config: Config) -> dict[str, Any]:
    """Names of `mamba2`, and of Nemotron-H."""
    heads = _number(config, "mamba_num_heads", "num_heads")
    return {
        "ssm.conv_kernel": _number(config, "conv_kernel"),
        "ssm.inner_size": heads * _number(config, "mamba_head_dim", "head_dim"),
        "ssm.state_size": _number(config, "ssm_state_size", "state_size"),
        "ssm.time_step_rank": heads,
        "ssm.group_count": _number(config, "n_groups"),
    }


def _mamba_part(config: Config) -> dict[str, Any]:
    """Names with the prefix "mamba_": Granite 4, Falcon-H1, Jamba."""
    expanded = _number(config, "mamba_expand", default=2) * _number(config, "hidden_size")
    return {
        "ssm.conv_kernel": _number(config, "mamba_d_conv"),
        "ssm.inner_size": _number(config, "mamba_d_ssm", default=expanded),
        "ssm.state_size": _number(config, "mamba_d_state"),
        "ssm.time_step_rank": _number(config, "mamba_n_heads", "mamba_dt_rank", default=0) or None,
        "ssm.group_count": _number(config, "mamba_n_groups", default=0),
    }


def _mamba(config: Config) -> dict[str, Any]:
    hidden = _number(config, "hidden_size")
    return {
        "ssm.conv_kernel": _number(config, "conv_kernel"),
        "ssm.inner_size": _number(config, "intermediate_size", default=2 * hidden),
        "ssm.state_size": _number(config, "state_size"),
        "ssm.time_step_rank": _number(config, "time_step_rank", default=-(-hidden // 16)),
        "feed_forward_length": 0,
    }


def _short(config: Config) -> dict[str, Any]:
    return {"shortconv.l_cache": _number(config, "conv_L_cache")}


_STATES: dict[str, Callable[[Config], dict[str, Any]]] = {
    "qwen3next": _delta,
    "qwen35": _delta,
    "qwen35moe": _delta,
    "granitehybrid": _mamba_part,
    "jamba": _mamba_part,
    "falcon-h1": _mamba_part,
    "lfm2": _short,
    "lfm2moe": _short,
    "nemotron_h": _mamba2,
    "mamba2": _mamba2,
    "mamba": _mamba,
}

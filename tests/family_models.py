"""Every family of models that is converted, small: what config.json says besides the sizes.

The sizes divide by 256, so that every encoding can be used.
"""

from __future__ import annotations

from typing import Any

MIXTURE = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 256,
}

FAMILY_MODELS: dict[str, dict[str, Any]] = {
    "mixtral": {"model_type": "mixtral", "num_local_experts": 4, "sliding_window": None},
    "qwen2 moe": {
        "model_type": "qwen2_moe",
        **MIXTURE,
        "shared_expert_intermediate_size": 256,
    },
    "qwen3 moe": {
        "model_type": "qwen3_moe",
        **MIXTURE,
        "head_dim": 64,
        "norm_topk_prob": True,
    },
    "gemma": {"model_type": "gemma", "head_dim": 64},
    "gemma 2": {
        "model_type": "gemma2",
        "head_dim": 64,
        "query_pre_attn_scalar": 64,
        "sliding_window": 32,
    },
    "gemma 3": {
        "model_type": "gemma3_text",
        "head_dim": 64,
        "query_pre_attn_scalar": 64,
        "sliding_window": 32,
        "num_hidden_layers": 7,
    },
}

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

LATENT = {
    **MIXTURE,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 8,
    "q_lora_rank": 256,
    "kv_lora_rank": 256,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "v_head_dim": 32,
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
    "seed-oss": {"model_type": "seed_oss", "head_dim": 64},
    "olmo": {"model_type": "olmo", "clip_qkv": 8.0},
    "olmo 2": {"model_type": "olmo2"},
    "olmo 3": {"model_type": "olmo3", "sliding_window": 32},
    "exaone 4": {
        "model_type": "exaone4",
        "sliding_window": None,
        "layer_types": ["full_attention"] * 4,
    },
    "granite": {
        "model_type": "granite",
        "attention_multiplier": 0.2,
        "embedding_multiplier": 3.0,
        "residual_multiplier": 0.5,
        "logits_scaling": 2.0,
    },
    "command r": {"model_type": "cohere"},
    "command a": {"model_type": "cohere2", "sliding_window": 32},
    "stablelm": {"model_type": "stablelm"},
    "stablelm 2": {"model_type": "stablelm", "use_qkv_bias": True},
    "starcoder 2": {"model_type": "starcoder2", "sliding_window": None},
    "phi 2": {"model_type": "phi", "num_key_value_heads": 8},
    "phi 3": {"model_type": "phi3"},
    "phi 3, long": {
        "model_type": "phi3",
        "original_max_position_embeddings": 256,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0 + 0.1 * i for i in range(16)],
            "long_factor": [2.0 + 0.2 * i for i in range(16)],
        },
    },
    "phi 4 mini": {
        "model_type": "phi3",
        "rope_parameters": {"rope_theta": 10000.0, "partial_rotary_factor": 0.75},
        "tie_word_embeddings": True,
    },
    "glm 4": {"model_type": "glm4", "head_dim": 32, "attention_bias": True},
    "ernie 4.5": {"model_type": "ernie4_5", "head_dim": 64},
    "hunyuan": {"model_type": "hunyuan_v1_dense", "head_dim": 32},
    "gpt-2": {
        "model_type": "gpt2",
        "n_embd": 256,
        "n_head": 8,
        "n_layer": 4,
        "n_positions": 512,
        "tie_word_embeddings": True,
    },
    "gpt-neox": {"model_type": "gpt_neox", "rotary_pct": 0.25},
    "pythia": {"model_type": "gpt_neox", "rotary_pct": 0.25, "use_parallel_residual": False},
    "bloom": {"model_type": "bloom", "n_head": 8, "n_layer": 4},
    "mpt": {"model_type": "mpt", "d_model": 256, "n_heads": 8, "n_layers": 4, "max_seq_len": 512},
    "falcon 7b": {"model_type": "falcon", "multi_query": True, "parallel_attn": True},
    "falcon 40b": {
        "model_type": "falcon",
        "new_decoder_architecture": True,
        "num_kv_heads": 2,
    },
    "olmoe": {"model_type": "olmoe", **MIXTURE, "num_key_value_heads": 8},
    "deepseek v2": {"model_type": "deepseek_v2", **LATENT, "norm_topk_prob": False},
    "deepseek v3": {
        "model_type": "deepseek_v3",
        **LATENT,
        "n_group": 2,
        "topk_group": 1,
        "routed_scaling_factor": 2.5,
    },
    "glm 4.5": {
        "model_type": "glm4_moe",
        **MIXTURE,
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "head_dim": 32,
        "use_qk_norm": True,
        "attention_bias": True,
    },
    "ernie 4.5 moe": {
        "model_type": "ernie4_5_moe",
        "moe_num_experts": 4,
        "moe_k": 2,
        "moe_intermediate_size": 256,
        "moe_num_shared_experts": 1,
        "moe_layer_start_index": 1,
    },
    "llama 4": {
        "model_type": "llama4_text",
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
        "intermediate_size": 256,
        "intermediate_size_mlp": 512,
        "interleave_moe_layer_step": 2,
        "head_dim": 32,
    },
    "ministral 3": {
        "model_type": "ministral3",
        "head_dim": 32,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 128,
            "llama_4_scaling_beta": 0.1,
        },
    },
    "gpt-oss": {
        "model_type": "gpt_oss",
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "head_dim": 64,
        "sliding_window": 32,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "original_max_position_embeddings": 128,
        },
    },
}

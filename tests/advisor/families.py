"""Configs of real models with fewer layers, and what a GGUF file of them needs besides.

The dimensions are those of the models that are named; only the numbers of layers and, in the
largest mixtures, of experts are smaller, so that llama.cpp can lay them out on any machine.
"""

from __future__ import annotations

from typing import Any

_LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}


def _like(**changes: Any) -> dict[str, Any]:
    return {**_LLAMA, **changes}


CONFIGS: dict[str, dict[str, Any]] = {
    "Llama 3.1 8B": _LLAMA,
    "Mistral 7B": _like(model_type="mistral", vocab_size=32000, sliding_window=4096),
    "Mixtral 8x7B": _like(
        model_type="mixtral", vocab_size=32000, num_local_experts=8, num_experts_per_tok=2,
        num_hidden_layers=4,
    ),
    "Qwen2.5 7B": _like(
        model_type="qwen2", hidden_size=3584, intermediate_size=18944, num_attention_heads=28,
        num_key_value_heads=4, vocab_size=152064,
    ),
    "Qwen2 57B-A14B": _like(
        model_type="qwen2_moe", hidden_size=3584, intermediate_size=18944, num_attention_heads=28,
        num_key_value_heads=4, vocab_size=151936, num_experts=64, num_experts_per_tok=8,
        moe_intermediate_size=2560, shared_expert_intermediate_size=20480, num_hidden_layers=4,
    ),
    "Qwen3 8B": _like(
        model_type="qwen3", intermediate_size=12288, head_dim=128, vocab_size=151936
    ),
    "Qwen3 30B-A3B": _like(
        model_type="qwen3_moe", hidden_size=2048, intermediate_size=6144, num_key_value_heads=4,
        head_dim=128, vocab_size=151936, num_experts=128, num_experts_per_tok=8,
        moe_intermediate_size=768, num_hidden_layers=4,
    ),
    "Qwen3-Next 80B-A3B": _like(
        model_type="qwen3_next", hidden_size=2048, intermediate_size=5120, num_attention_heads=16,
        num_key_value_heads=2, head_dim=256, vocab_size=151936, num_experts=64,
        num_experts_per_tok=10, moe_intermediate_size=512, shared_expert_intermediate_size=512,
        linear_num_value_heads=32, linear_num_key_heads=16, linear_key_head_dim=128,
        linear_value_head_dim=128, linear_conv_kernel_dim=4,
    ),
    "Gemma 2 9B": _like(
        model_type="gemma2", hidden_size=3584, num_attention_heads=16, head_dim=256,
        vocab_size=256000, sliding_window=4096,
    ),
    "Gemma 3 12B": {
        "model_type": "gemma3",
        "text_config": _like(
            model_type="gemma3_text", hidden_size=3840, intermediate_size=15360,
            num_attention_heads=16, head_dim=256, vocab_size=262208, sliding_window=1024,
            sliding_window_pattern=6, num_hidden_layers=12,
        ),
    },
    "Gemma 3n E4B": {
        "model_type": "gemma3n",
        "text_config": _like(
            model_type="gemma3n_text", hidden_size=2048, intermediate_size=16384,
            num_attention_heads=8, num_key_value_heads=2, head_dim=256, vocab_size=262400,
            sliding_window=512, num_kv_shared_layers=15, altup_num_inputs=4,
            hidden_size_per_layer_input=256, num_hidden_layers=35,
            layer_types=(["sliding_attention"] * 4 + ["full_attention"]) * 7,
        ),
    },
    "Gemma 4 E4B": {
        "model_type": "gemma4",
        "text_config": _like(
            model_type="gemma4_text", hidden_size=2560, intermediate_size=10240,
            num_attention_heads=8, num_key_value_heads=2, head_dim=256, global_head_dim=512,
            vocab_size=262144, sliding_window=512, num_hidden_layers=12, num_kv_shared_layers=6,
            hidden_size_per_layer_input=256,
            layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 2,
        ),
    },
    "Phi-4-mini": _like(
        model_type="phi3", hidden_size=3072, intermediate_size=8192, num_attention_heads=24,
        vocab_size=200064, sliding_window=262144,
    ),
    "DeepSeek-V2-Lite": _like(
        model_type="deepseek_v2", hidden_size=2048, intermediate_size=10944,
        num_attention_heads=16, num_key_value_heads=16, vocab_size=102400, kv_lora_rank=512,
        qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, n_routed_experts=16,
        num_experts_per_tok=6, moe_intermediate_size=1408, num_hidden_layers=27,
        n_shared_experts=2, first_k_dense_replace=1,
    ),
    "DeepSeek-V3": _like(
        model_type="deepseek_v3", hidden_size=7168, intermediate_size=18432,
        num_attention_heads=128, num_key_value_heads=128, vocab_size=129280, kv_lora_rank=512,
        q_lora_rank=1536, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128,
        n_routed_experts=16, num_experts_per_tok=8, moe_intermediate_size=2048,
        num_hidden_layers=5, n_shared_experts=1, first_k_dense_replace=1,
    ),
    "Granite 3.3 8B": _like(
        model_type="granite", intermediate_size=12800, vocab_size=49159
    ),
    "Granite 4.0 H Tiny": _like(
        model_type="granitemoehybrid", hidden_size=1536, intermediate_size=512,
        shared_intermediate_size=1024, num_attention_heads=12, num_key_value_heads=4,
        vocab_size=100352, num_local_experts=64, num_experts_per_tok=6, mamba_n_heads=48,
        mamba_d_head=64, mamba_n_groups=1, mamba_d_state=128, mamba_d_conv=4, mamba_expand=2,
        layer_types=(["mamba"] * 5 + ["attention"] + ["mamba"] * 4), num_hidden_layers=10,
    ),
    "Falcon-H1 7B": _like(
        model_type="falcon_h1", hidden_size=3072, intermediate_size=12288, num_attention_heads=12,
        num_key_value_heads=2, head_dim=128, vocab_size=130049, mamba_d_ssm=3072,
        mamba_n_heads=24, mamba_d_head=128, mamba_n_groups=1, mamba_d_state=256, mamba_d_conv=4,
    ),
    "LFM2 1.2B": _like(
        model_type="lfm2", hidden_size=2048, intermediate_size=8192, vocab_size=65536,
        conv_L_cache=3,
        layer_types=["conv", "conv", "full_attention", "conv"] * 4, num_hidden_layers=16,
    ),
    "GLM-4 9B": _like(
        model_type="glm4", intermediate_size=13696, num_key_value_heads=2, head_dim=128,
        vocab_size=151552,
    ),
    "GLM-4.5-Air": _like(
        model_type="glm4_moe", intermediate_size=10944, num_attention_heads=96, head_dim=128,
        vocab_size=151552, n_routed_experts=32, num_experts_per_tok=8, moe_intermediate_size=1408,
        num_hidden_layers=5,
    ),
    "gpt-oss 20B": _like(
        model_type="gpt_oss", hidden_size=2880, intermediate_size=2880, num_attention_heads=64,
        head_dim=64, vocab_size=201088, sliding_window=128, num_local_experts=32,
        num_experts_per_tok=4, layer_types=["sliding_attention", "full_attention"] * 4,
    ),
    "OLMo 3 7B": _like(
        model_type="olmo3", intermediate_size=11008, num_key_value_heads=32, vocab_size=100278,
        sliding_window=4096, layer_types=(["sliding_attention"] * 3 + ["full_attention"]) * 2,
    ),
    "SmolLM3 3B": _like(
        model_type="smollm3", hidden_size=2048, intermediate_size=11008, num_attention_heads=16,
        num_key_value_heads=4,
    ),
    "Command R7B": _like(
        model_type="cohere2", vocab_size=256000, sliding_window=4096,
        layer_types=(["sliding_attention"] * 3 + ["full_attention"]) * 2,
    ),
    "Command-R 35B": _like(
        model_type="cohere", hidden_size=8192, intermediate_size=22528, num_attention_heads=64,
        num_key_value_heads=64, vocab_size=256000, num_hidden_layers=4,
    ),
    "EXAONE 4.0 32B": _like(  # narrower: only the one with 64 layers has windows
        model_type="exaone4", hidden_size=2048, intermediate_size=8192, num_attention_heads=16,
        head_dim=128, vocab_size=102400, sliding_window=4096,
        layer_types=(["sliding_attention"] * 3 + ["full_attention"]) * 16, num_hidden_layers=64,
    ),
    "Nemotron Nano 9B v2": _like(
        model_type="nemotron_h", hidden_size=4480, intermediate_size=15680, num_attention_heads=40,
        head_dim=128, vocab_size=131072, hybrid_override_pattern="M-M-M-MM-M*-M-M*",
        mamba_num_heads=128, mamba_head_dim=80, n_groups=8, ssm_state_size=128, conv_kernel=4,
        num_hidden_layers=16,
    ),
    "StarCoder2 7B": _like(
        model_type="starcoder2", hidden_size=4608, intermediate_size=18432, num_attention_heads=36,
        num_key_value_heads=4, vocab_size=49152, sliding_window=4096,
    ),
    "StableLM 2 12B": _like(
        model_type="stablelm", hidden_size=5120, intermediate_size=13824, vocab_size=100352
    ),
    "Mamba2 2.7B": {
        "model_type": "mamba2", "hidden_size": 2560, "num_hidden_layers": 8, "vocab_size": 50288,
        "state_size": 128, "conv_kernel": 4, "num_heads": 80, "head_dim": 64, "n_groups": 1,
        "max_position_embeddings": 4096,
    },
}  # fmt: skip
"""Config by the model's name."""

MORE: dict[str, dict[str, Any]] = {
    "qwen2moe": {"expert_shared_feed_forward_length": 20480},
    "qwen3next": {"rope.dimension_count": 64},
    "gemma2": {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma3n": {
        "altup.active_idx": 0,
        "activation_sparsity_scale": [0.0] * 35,
    },
    "deepseek2": {
        "expert_shared_count": 2,
        "leading_dense_block_count": 1,
        "expert_weights_scale": 1.0,
        "rope.scaling.yarn_log_multiplier": 0.07,
    },
    "granite": {"logit_scale": 16.0},
    "granitehybrid": {"logit_scale": 6.0, "expert_shared_feed_forward_length": 1024},
    "glm4moe": {
        "expert_shared_count": 1,
        "leading_dense_block_count": 1,
        "expert_weights_scale": 1.0,
        "expert_weights_norm": True,
        "rope.dimension_count": 64,
    },
    "cohere2": {"logit_scale": 0.25},
    "command-r": {"logit_scale": 0.0625},
    "glm4": {"rope.dimension_count": 64},
    "stablelm": {"rope.dimension_count": 40, "use_parallel_residual": False},
    "smollm3": {},
    "nemotron_h": {"rope.dimension_count": 128},
}
"""Notes that llama.cpp asks for and that take no memory of their own, by architecture."""

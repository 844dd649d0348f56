"""Random models of nearly every family, and their weights under the names that files give them."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import revert_weight_conversion
from transformers.utils import logging

SHAPE = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,  # more than a share of hidden_size
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,  # far from uniform predictions
}
_WINDOW = {"sliding_window": 8}
_UNDIVIDED = {"head_dim": 16}  # heads cannot have a size of their own
_GPT = {"n_layer": 2, "n_head": 4, "n_embd": 64}
_MIXTURE = {
    "moe_intermediate_size": 32,
    "num_experts": 6,
    "num_local_experts": 6,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
}
_GROUPED = {**_MIXTURE, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
_SHARED = {**_MIXTURE, "shared_expert_intermediate_size": 32}
_LATENT = {
    "q_lora_rank": 32,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "head_dim": 8,
    "num_key_value_heads": 4,
}
_DELTA = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
_STATES = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 8}

DENSE = {
    "apertus": {},
    "arcee": {},
    "bitnet": _UNDIVIDED,
    "bloom": {"n_layer": 2, "n_head": 4},
    "codegen": {**_GPT, "rotary_dim": 8},
    "cohere": {},
    "cohere2": _WINDOW,
    "ernie4_5": {},
    "exaone4": _WINDOW,
    "falcon": {"alibi": True, "head_dim": None, "num_key_value_heads": None},
    "gemma": {},
    "gemma2": {**_WINDOW, "query_pre_attn_scalar": 16},
    "gemma3_text": _WINDOW,
    "gemma4_text": {
        **_WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
        "global_head_dim": 64,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
        "hidden_size_per_layer_input": 0,
        "num_kv_shared_layers": 0,
    },
    "glm": {},
    "glm4": {},
    "gpt2": {**_GPT, "n_positions": 64},
    "gpt_bigcode": _GPT,
    "gpt_neo": {
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
    "gpt_neox": {},
    "gptj": {**_GPT, "rotary_dim": 8},
    "granite": {},
    "helium": _UNDIVIDED,
    "hunyuan_v1_dense": {},
    "jais2": {},
    "llama": {},
    "minicpm3": _LATENT,
    "ministral": _WINDOW,
    "mistral": _WINDOW,
    "mpt": {"d_model": 64, "n_heads": 4, "n_layers": 2, "max_seq_len": 64},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": _WINDOW,
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 64},
    "phi": {},
    "phi3": {},
    "qwen2": {},
    "qwen3": {},
    "seed_oss": {},
    "smollm3": {},
    "stablelm": _UNDIVIDED,
    "starcoder2": {},
    "vaultgemma": {},
    "youtu": _LATENT,
}
HYBRID = {
    "bamba": {**_STATES, "attn_layer_indices": [1]},
    "falcon_h1": {**_STATES, "mamba_d_ssm": 64, "mamba_n_heads": 4},
    "falcon_mamba": {"state_size": 8, "intermediate_size": 128},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "mamba": {"state_size": 8, "intermediate_size": 128},
    "mamba2": {"num_heads": 8, "head_dim": 16, "state_size": 8, "n_groups": 1},
    "nemotron_h": {
        "layers_block_type": ["mamba", "attention", "mlp"],
        "num_hidden_layers": 3,
        "mamba_num_heads": 8,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 2,
    },
    "qwen3_5_text": _DELTA,
    "recurrent_gemma": {"lru_width": 64, "attention_window_size": 8, "num_hidden_layers": 3},
}
MIXTURES = {
    "afmoe": _MIXTURE,
    "deepseek_v2": {**_GROUPED, **_LATENT},
    "deepseek_v3": {**_GROUPED, **_LATENT, "n_shared_experts": 1},
    "dots1": {**_GROUPED, "n_shared_experts": 1},
    "ernie4_5_moe": {
        "moe_intermediate_size": 32,
        "moe_num_experts": 6,
        "moe_k": 2,
        "moe_num_shared_experts": 1,
        "moe_layer_start_index": 1,
    },
    "exaone_moe": _MIXTURE,
    "glm4_moe": {**_GROUPED, "n_shared_experts": 1},
    "glm4_moe_lite": {**_GROUPED, **_LATENT, "n_shared_experts": 1},
    "gpt_oss": {**_MIXTURE, **_WINDOW},
    "granitemoe": _MIXTURE,
    "granitemoehybrid": {
        **_MIXTURE,
        **_STATES,
        "shared_intermediate_size": 32,
        "layer_types": ["mamba", "attention"],
    },
    "hunyuan_v1_moe": {**_MIXTURE, "moe_topk": 2, "num_shared_expert": 1},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "num_experts": 4,
        "mamba_d_state": 8,
        "use_mamba_kernels": False,
    },
    "jetmoe": {**_MIXTURE, "kv_channels": 16},
    "lfm2_moe": {**_MIXTURE, "layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "llama4_text": {
        **_MIXTURE,
        "intermediate_size_mlp": 96,
        "interleave_moe_layer_step": 1,
        "attention_chunk_size": 8,
    },
    "minimax": {**_MIXTURE, "layer_types": ["linear_attention", "full_attention"], "block_size": 8},
    "minimax_m2": _MIXTURE,
    "mixtral": _MIXTURE,
    "olmoe": {**_MIXTURE, **_UNDIVIDED},
    "phimoe": _MIXTURE,
    "qwen2_moe": _SHARED,
    "qwen3_5_moe_text": {**_SHARED, **_DELTA},
    "qwen3_moe": _MIXTURE,
    "qwen3_next": {**_SHARED, **_DELTA},
    "solar_open": _MIXTURE,
}
FAMILIES = {**DENSE, **HYBRID, **MIXTURES}
ODD = {
    "gemma3n_text": {
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 160,
        "num_kv_shared_layers": 0,
        "laurel_rank": 8,
        "activation_sparsity_pattern": [0.0, 0.0],
        "intermediate_size": [96, 96],
    },
    "gemma4_text": {
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 160,
        "num_kv_shared_layers": 0,
    },
}
"""Families whose layers are given more than hidden states."""


def random_family(kind, seed=0, **fields):
    """A model of a family, its experts computed one by one."""
    logging.set_verbosity_error()
    torch.manual_seed(seed)
    wanted = {**SHAPE, **FAMILIES.get(kind, {}), **fields}
    kept = {key: value for key, value in wanted.items() if value is not None}
    config = AutoConfig.for_model(kind, **kept, pad_token_id=None)
    model = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, experts_implementation="eager"
    )
    return model.eval()


class CheckpointSource:
    """A model's weights as its files hold them: experts apart, names as they were published."""

    def __init__(self, model):
        self.config = model.config.to_dict()
        tensors = dict(model.state_dict())
        if model.config.tie_word_embeddings:
            for name in model._tied_weights_keys or ():
                tensors.pop(name, None)
        model._weight_conversions = get_model_conversion_mapping(model, add_legacy=False)
        self.tensors = revert_weight_conversion(model, tensors)

    @property
    def names(self):
        return self.tensors.keys()

    def weight(self, name):
        return self.tensors[name].float()

    def rows(self, name, start, stop):
        return self.weight(name)[start:stop]

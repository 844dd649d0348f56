"""Checkpoints made for tests, with weights that look like a trained model's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from app.core.places import sample_model

VOCABULARY = 4096


def write_llama(
    folder: Path, *, layers: int, hidden: int, inner: int, heads: int = 8, kv_heads: int = 2
) -> int:
    """A Llama checkpoint of random bf16 weights with the sample's tokenizer; its bytes.

    Written tensor by tensor, so that it may be larger than the memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(sample_model() / name, folder / name)
    config = json.loads((sample_model() / "config.json").read_text())
    head = hidden // heads
    config |= {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {
        "model.embed_tokens.weight": (VOCABULARY, hidden),
        "model.norm.weight": (hidden,),
        "lm_head.weight": (VOCABULARY, hidden),
    }
    for index in range(layers):
        block = f"model.layers.{index}."
        shapes |= {
            block + "input_layernorm.weight": (hidden,),
            block + "post_attention_layernorm.weight": (hidden,),
            block + "self_attn.q_proj.weight": (heads * head, hidden),
            block + "self_attn.k_proj.weight": (kv_heads * head, hidden),
            block + "self_attn.v_proj.weight": (kv_heads * head, hidden),
            block + "self_attn.o_proj.weight": (hidden, heads * head),
            block + "mlp.gate_proj.weight": (inner, hidden),
            block + "mlp.up_proj.weight": (inner, hidden),
            block + "mlp.down_proj.weight": (hidden, inner),
        }
    return _write_safetensors(folder / "model.safetensors", shapes)


def _write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> int:
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = np.random.default_rng(1)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            count = int(np.prod(shape))
            for start in range(0, count, 1 << 22):
                size = min(1 << 22, count - start)
                weights = generator.standard_normal(size, dtype=np.float32) * np.float32(0.02)
                weights += np.float32(1.0) if len(shape) == 1 else np.float32(0)
                file.write((weights.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    return end

"""GGUF files of any architecture and size that take no space: a header and a hole."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from app.formats.gguf.header import Metadata, TensorEntry, encode_header, padded, typed

Shapes = dict[str, tuple[int, ...]]


def dense(
    architecture: str = "llama",
    *,
    layers: int = 24,
    hidden: int = 256,
    inner: int = 512,
    heads: int = 8,
    keys: int = 2,
    tied: bool = False,
) -> tuple[dict[str, Any], Shapes]:
    """Metadata and tensors of a plain decoder."""
    head = hidden // heads
    metadata = {
        "general.architecture": architecture,
        **{
            f"{architecture}.{key}": value
            for key, value in {
                "block_count": layers,
                "context_length": 512,
                "embedding_length": hidden,
                "feed_forward_length": inner,
                "attention.head_count": heads,
                "attention.head_count_kv": keys,
                "attention.layer_norm_rms_epsilon": 1e-5,
                "attention.layer_norm_epsilon": 1e-5,
            }.items()
        },
    }
    shapes: Shapes = {"token_embd.weight": (512, hidden), "output_norm.weight": (hidden,)}
    if not tied:
        shapes["output.weight"] = (512, hidden)
    for layer in range(layers):
        block = f"blk.{layer}."
        shapes |= {
            f"{block}attn_norm.weight": (hidden,),
            f"{block}attn_q.weight": (hidden, hidden),
            f"{block}attn_k.weight": (keys * head, hidden),
            f"{block}attn_v.weight": (keys * head, hidden),
            f"{block}attn_output.weight": (hidden, hidden),
            f"{block}ffn_norm.weight": (hidden,),
            f"{block}ffn_gate.weight": (inner, hidden),
            f"{block}ffn_up.weight": (inner, hidden),
            f"{block}ffn_down.weight": (hidden, inner),
        }
    return metadata, shapes


def mixture(
    architecture: str,
    experts: int,
    *,
    used: int = 2,
    shared: bool = False,
    first_dense: int = 0,
    **sizes: Any,
) -> tuple[dict[str, Any], Shapes]:
    """The same with experts, and perhaps one that all tokens share, behind some dense layers."""
    metadata, shapes = dense(architecture, **sizes)
    inner = metadata[f"{architecture}.feed_forward_length"]
    metadata |= {
        f"{architecture}.expert_count": experts,
        f"{architecture}.expert_used_count": used,
        f"{architecture}.expert_feed_forward_length": inner,
        f"{architecture}.expert_shared_count": int(shared),
        f"{architecture}.leading_dense_block_count": first_dense,
    }
    found: Shapes = {}
    for name, shape in shapes.items():
        layered = name.startswith("blk.") and int(name.split(".")[1]) >= first_dense
        if not layered or ".ffn_" not in name or "norm" in name:
            found[name] = shape
            continue
        stem = name.removesuffix(".weight")
        found[f"{stem}_exps.weight"] = (experts, *shape)
        if shared:
            found[f"{stem}_shexp.weight"] = shape
        if "ffn_gate" in name:
            found[f"{stem}_inp.weight"] = (experts, shape[-1])
    return metadata, found


def write(path: Path, metadata: dict[str, Any], shapes: Shapes) -> Path:
    """The file, in F16; vectors in F32."""
    entries = [
        TensorEntry(
            name, shape, *((0, 4 * prod(shape)) if len(shape) < 2 else (1, 2 * prod(shape)))
        )
        for name, shape in shapes.items()
    ]
    values = {key: typed(value) for key, value in metadata.items()}
    header = encode_header(Metadata.of(values), entries)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + sum(padded(entry.nbytes) for entry in entries))
    return path

"""The tensors of a decoder like Llama's, which most families share."""

from __future__ import annotations

from app.models.architectures.base import OUTPUT, Weight

_LAYER = "model.layers.{i}."
_BLOCK = "blk.{i}."

#: Matrices of a layer: names without ending, rows, row length, and whether they are rotated.
_MATRICES = (
    ("self_attn.q_proj", "attn_q", "queries", "hidden", True),
    ("self_attn.k_proj", "attn_k", "keys", "hidden", True),
    ("self_attn.v_proj", "attn_v", "keys", "hidden", False),
    ("self_attn.o_proj", "attn_output", "hidden", "queries", False),
    ("mlp.gate_proj", "ffn_gate", "inner", "hidden", False),
    ("mlp.up_proj", "ffn_up", "inner", "hidden", False),
    ("mlp.down_proj", "ffn_down", "hidden", "inner", False),
)

#: GGUF names of the matrices that have a bias, in families that have some.
QKV = frozenset({"attn_q", "attn_k", "attn_v"})
ALL = frozenset(matrix[1] for matrix in _MATRICES)

DECODER = (
    Weight("model.embed_tokens.weight", "token_embd.weight", ("vocabulary", "hidden")),
    Weight("model.norm.weight", "output_norm.weight", ("hidden",)),
    Weight("lm_head.weight", OUTPUT, ("vocabulary", "hidden")),
    Weight(_LAYER + "input_layernorm.weight", _BLOCK + "attn_norm.weight", ("hidden",)),
    Weight(_LAYER + "post_attention_layernorm.weight", _BLOCK + "ffn_norm.weight", ("hidden",)),
    *(
        Weight(f"{_LAYER}{hf}.weight", f"{_BLOCK}{gguf}.weight", (rows, row), rotated)
        for hf, gguf, rows, row, rotated in _MATRICES
    ),
)
"""Embedding, norms and matrices; no biases."""

HEAD_NORMS = tuple(
    Weight(f"{_LAYER}self_attn.{x}_norm.weight", f"{_BLOCK}attn_{x}_norm.weight", ("head",))
    for x in "qk"
)
"""Norms over each head of queries and keys."""


def biases(of: frozenset[str], *, optional: bool) -> tuple[Weight, ...]:
    """The biases of the matrices whose GGUF names are in `of`."""
    return tuple(
        Weight(f"{_LAYER}{hf}.bias", f"{_BLOCK}{gguf}.bias", (rows,), rotated, optional)
        for hf, gguf, rows, _, rotated in _MATRICES
        if gguf in of
    )

"""Parts of a model and kinds of tensors in the window's words."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

_KINDS = {
    "attn_q": "Attention, query",
    "attn_k": "Attention, key",
    "attn_v": "Attention, value",
    "attn_qkv": "Attention, all three",
    "attn_output": "Attention, output",
    "ffn_gate": "Feed-forward, gate",
    "ffn_up": "Feed-forward, up",
    "ffn_down": "Feed-forward, down",
}
#: The same kinds in the names of most folders.
_IN_FOLDERS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def part_title(part: str) -> str:
    """One of `breakdown.PARTS`."""
    return QCoreApplication.translate("Parts", part)


def kind_title(kind: str) -> str:
    """A kind of tensor; its own name where there are no words for it."""
    known = _KINDS.get(_IN_FOLDERS.get(kind, kind))
    return QCoreApplication.translate("Parts", known) if known else kind

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


def part_title(part: str) -> str:
    """One of `breakdown.PARTS`."""
    return QCoreApplication.translate("Parts", part)


def kind_title(kind: str) -> str:
    """A kind of tensor; its own name where there are no words for it."""
    return QCoreApplication.translate("Parts", _KINDS[kind]) if kind in _KINDS else kind

"""Encodings: what the stored bits of a weight mean."""

from __future__ import annotations

from app.core.discover import discover
from app.encodings.base import Block, Encoding

ENCODINGS = {name: cls() for name, cls in discover(__name__, Encoding).items()}
"""Every encoding by its name. Instances hold no state."""

BLOCK_BY_ID = {enc.ggml_id: enc for enc in ENCODINGS.values() if isinstance(enc, Block)}
"""The encodings of GGUF files by their number there."""

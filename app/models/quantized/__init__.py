"""Models that were published quantized, read as the plain models that they stand for."""

from __future__ import annotations

from app.models.quantized.dequantized import Dequantized, plain, seen_plain

__all__ = ["Dequantized", "plain", "seen_plain"]

"""Reading checkpoints: what a model consists of, and its tensors one at a time."""

from __future__ import annotations

from app.models.open import open_model

__all__ = ["open_model"]

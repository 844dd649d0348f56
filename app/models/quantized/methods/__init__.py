"""Every way of quantizing that is read, one a file."""

from __future__ import annotations

from app.core.discover import discover
from app.models.quantized.base import Method

METHODS = tuple(kind() for kind in discover(__name__, Method).values())

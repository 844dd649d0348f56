"""Methods: how the numbers that an encoding stores are chosen."""

from __future__ import annotations

from app.core.discover import discover
from app.methods.base import Method, Smoothing

METHODS = discover(__name__, Method)
"""Every way of rounding, its class by its name."""

SMOOTHINGS = discover(__name__, Smoothing)
"""Every way of making weights easier to round, its class by its name."""

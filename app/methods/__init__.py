"""Methods: how the numbers that an encoding stores are chosen."""

from __future__ import annotations

from app.core.discover import discover
from app.methods.base import Method

METHODS = discover(__name__, Method)
"""Every method's class by its name."""

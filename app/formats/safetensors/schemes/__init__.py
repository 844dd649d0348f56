"""Every way in which a folder can be written, one runtime convention a file."""

from __future__ import annotations

from app.core.discover import discover
from app.formats.safetensors.scheme import Scheme

SCHEMES: dict[str, Scheme] = {
    scheme.preset.name: scheme
    for family in discover(__name__, Scheme).values()
    for scheme in family.variants()
}
"""Every variant by the name of its preset."""

"""Formats: the files and folders that runtimes load."""

from __future__ import annotations

from app.core.discover import discover
from app.core.errors import Unsupported
from app.formats.base import Format, Preset

FORMATS = {name: cls() for name, cls in discover(__name__, Format).items()}
"""Every format by its name."""

PRESETS: dict[str, tuple[Format, Preset]] = {
    preset.name: (form, preset) for form in FORMATS.values() for preset in form.presets
}
"""Every preset by its name, with the format that it belongs to."""


def find_preset(name: str) -> tuple[Format, Preset]:
    """The preset called `name`, in any case of letters.

    Raises:
        Unsupported: There is none.
    """
    for key, found in PRESETS.items():
        if key.lower() == name.lower():
            return found
    raise Unsupported(
        f"There is no format called {name!r}.", f"Choose one of: {', '.join(PRESETS)}."
    )

"""Where things are: the application's resources and the user's data."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def resources() -> Path:
    """The folder with the sample model, texts and icons, from source and when installed."""
    inside = Path(__file__).parents[1] / "resources"  # in a wheel or a frozen bundle
    return inside if inside.is_dir() else Path(__file__).parents[2] / "resources"


def user_data() -> Path:
    """The folder of this user's jobs, settings and compiled kernels.

    `NIBBLE_HOME` overrides the system's place, for tests and portable installs.
    """
    override = os.environ.get("NIBBLE_HOME")
    if override:
        return Path(override)
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "Nibble"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "Nibble"
    return Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share")) / "nibble"


def jobs_folder() -> Path:
    """One folder per job, see `core.store`."""
    return user_data() / "jobs"


def sample_model() -> Path:
    """The small trained model that is shipped."""
    return resources() / "sample_model"

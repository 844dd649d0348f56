import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the application does
sys.path.insert(0, str(Path(__file__).parent))

_KERNELS = Path(__file__).parents[1] / ".pytest_cache" / "kernels"
os.environ.setdefault("NUMBA_CACHE_DIR", str(_KERNELS))  # compiled once for all tests


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """Every test has a user data folder of its own."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("NIBBLE_HOME", str(folder))
    return folder

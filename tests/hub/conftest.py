import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hub_parts import QUICK, sample_files
from local_hub import LocalHub, Repo

from app.hub.client import Client


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with the sample model, which every program of the test talks to."""
    with LocalHub(Repo("org/sample", sample_files())) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        # Whoever runs the tests may have a real keyring: it is none of their business.
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def client(hub):
    with Client(patience=QUICK) as found:
        yield found

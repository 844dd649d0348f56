"""The compiled kernels outlive the process, and not a change of their sources."""

import os
import subprocess
import sys
from pathlib import Path

from app.encodings import kernels

REPORT = """
import numpy as np
from app.encodings.kernels.small_blocks import decode_bytes, encode_bytes
weights, blocks = np.zeros(32, np.float32), np.zeros(34, np.uint8)
encode_bytes(weights, 32, blocks)
decode_bytes(blocks, weights)
print(sum(sum(kernel.stats.cache_hits.values()) for kernel in (encode_bytes, decode_bytes)))
"""


def hits(folder, first=""):
    """How many of the two kernels of Q8_0 a new process finds compiled."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", first + REPORT]
    root = Path(__file__).parents[2]
    return int(subprocess.check_output(command, env=environment, cwd=root, text=True))


def test_that_the_second_start_does_not_compile(tmp_path):
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 2
    assert hits(tmp_path, first="import numba") == 2


def test_that_a_worker_uses_the_folder_of_its_window(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = kernels._cache_folder()
    assert folder.parent == tmp_path
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    assert kernels._cache_folder() == folder


def test_that_changed_sources_have_another_folder(tmp_path, monkeypatch):
    before = kernels._cache_folder()
    (tmp_path / "lanes.py").write_text("LANES = 64\n")
    monkeypatch.setattr(kernels, "__file__", str(tmp_path / "__init__.py"))
    assert kernels._cache_folder().name != before.name


def test_that_an_installed_application_compiles_into_the_user_s_folder(home, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert kernels._cache_folder().parent == home / "kernels"

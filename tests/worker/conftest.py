import hashlib
import shutil

import pytest

from app.core.job import Job, Output
from app.core.places import sample_model
from app.core.recipe import Recipe


@pytest.fixture
def sample(tmp_path):
    """A private copy of the sample model."""
    return shutil.copytree(sample_model(), tmp_path / "sample")


@pytest.fixture
def make_job(sample, tmp_path):
    def make(preset="Q4_K_M", **fields):
        target = fields.pop("target", tmp_path / "out" / f"{preset}.gguf")
        defaults = {"source": str(sample), "threads": 2, "evaluate": False} | fields
        return Job(id="j", outputs=(Output(str(target), Recipe(preset)),), **defaults)

    return make


@pytest.fixture
def digest():
    def of(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return of

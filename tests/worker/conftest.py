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
    def make(*wanted, **fields):
        """A job with a result for each recipe or preset; or one, at the place `target`."""
        recipes = [recipe if isinstance(recipe, Recipe) else Recipe(recipe) for recipe in wanted]
        recipes = recipes or [Recipe("Q4_K_M")]
        target = fields.pop("target", None)
        outputs = tuple(
            Output(str(target or tmp_path / "out" / f"{recipe.preset}.gguf"), recipe)
            for recipe in recipes
        )
        defaults = {"source": str(sample), "threads": 2, "evaluate": False} | fields
        return Job(id="j", outputs=outputs, **defaults)

    return make


@pytest.fixture
def digest():
    def of(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return of

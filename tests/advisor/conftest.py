"""The tests here share files with a script, so their folder is on the path for both."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def speeds(tmp_path):
    """A computer on which nothing was timed."""
    from app.advisor.needs import Speeds
    from app.advisor.speeds import MeasuredSpeeds

    return Speeds(MeasuredSpeeds(tmp_path / "a.json"), MeasuredSpeeds(tmp_path / "b.json"))

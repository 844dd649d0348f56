"""Models that several tests convert; made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny_models


class Tiny(NamedTuple):
    """A model of transformers and the folder it was saved to."""

    model: Any
    folder: Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes the tiny model of a family, by its name in `FAMILIES`; at most once."""
    made: dict[str, Tiny] = {}

    def make(family: str) -> Tiny:
        if family not in made:
            folder = tmp_path_factory.mktemp("tiny")
            made[family] = Tiny(
                tiny_models.random_model(folder, **tiny_models.FAMILIES[family]), folder
            )
        return made[family]

    return make

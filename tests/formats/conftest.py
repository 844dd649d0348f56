"""Models that several tests convert; made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny_models

from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.formats.gguf.recipes import EVERY_RECIPE
from app.models.gguf_types import TENSOR_TYPES, TensorType

ASKED_FOR = {encoding for recipe in EVERY_RECIPE for encoding in recipe.encodings} | {"IQ4_NL"}


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


@pytest.fixture(scope="session", autouse=True)
def every_encoding() -> Any:
    """Sizes of encodings that do not exist yet, so that every recipe can be planned."""
    missing = {
        kind.name: _sized(number, kind)
        for number, kind in TENSOR_TYPES.items()
        if kind.name not in ENCODINGS and kind.name in ASKED_FOR
    }
    ENCODINGS.update(missing)
    yield
    for name in missing:
        del ENCODINGS[name]


def _sized(number: int, kind: TensorType) -> Block:
    facts = {"name": kind.name, "ggml_id": number, "block": kind.block}
    facts |= {"block_bytes": kind.block_bytes, "encode": None, "decode": None}
    return type(kind.name, (Block,), facts)()

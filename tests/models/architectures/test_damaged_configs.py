"""Whatever a config says, a family reads it or refuses it in words."""

from __future__ import annotations

import contextlib
import json
import math
import random
from itertools import islice
from typing import Any

import pytest
from family_models import FAMILY_MODELS
from tiny_models import SIZES
from transformers import AutoConfig

from app.core.errors import AppError
from app.formats.gguf.header import Metadata, typed
from app.models.architectures import find_architecture

ODD = ("x", None, -1, 0, [], {}, 1e300, True, [{}], {"a": 1}, 2**70, math.nan, ["x"] * 4, 3.5)
TRIES = 3
"""Odd values that are tried for each entry."""


def read_everything(config: dict[str, Any]) -> None:
    """All that a conversion asks a family."""
    family = find_architecture(config)
    family.dimensions(config)
    for weight in islice(family.weights(config, ()), 400):
        assert weight.shape
    entries = family.metadata(config).items()
    Metadata.of({key: typed(value) for key, value in entries if value not in ((), "")})
    family.computed(config)
    family.notes(config)
    family.is_tied(config)
    family.text_config(config)


@pytest.mark.parametrize("family", FAMILY_MODELS)
def test_that_odd_values_in_a_config_are_refused_in_words(family):
    settings = {**SIZES, **FAMILY_MODELS[family]}
    kind = settings.pop("model_type")
    whole = json.loads(AutoConfig.for_model(kind, **settings).to_json_string(use_diff=False))
    whole |= {"architectures": None, "model_type": kind}
    read_everything(whole)
    choose = random.Random(family)
    inner = whole.get("rope_parameters") or {}
    for key in whole.keys() - {"model_type", "architectures"}:
        for odd in choose.sample(ODD, TRIES):
            with contextlib.suppress(AppError):
                read_everything({**whole, key: odd})
    for key in inner:
        for odd in choose.sample(ODD, TRIES):
            with contextlib.suppress(AppError):
                read_everything({**whole, "rope_parameters": {**inner, key: odd}})

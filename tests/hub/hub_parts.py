"""What the tests of the hub are made of."""

import random
from functools import cache

from app.core.places import sample_model
from app.hub.client import Patience

QUICK = Patience(connect=2.0, read=2.0, whole=3.0, first_pause=0.01, longest_pause=0.02)
"""Tests do not wait for what a person would wait for."""


def sample_files():
    return dict(_sample_files())


@cache
def _sample_files():
    return {path.name: path.read_bytes() for path in sample_model().iterdir()}


def bytes_of(length, seed=1):
    return random.Random(seed).randbytes(length)

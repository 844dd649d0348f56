"""Models on disk that must be refused, made by hand, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator

from tests.models.case import Case
from tests.models.malformed_folders import malformed_folders
from tests.models.malformed_gguf import malformed_gguf
from tests.models.malformed_json import malformed_json
from tests.models.malformed_safetensors import malformed_safetensors


def malformed() -> Iterator[Case]:
    """Every case: what it is called, and how to write it into an empty folder."""
    yield from malformed_safetensors()
    yield from malformed_gguf()
    yield from malformed_json()
    yield from malformed_folders()

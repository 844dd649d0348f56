import gguf
import numpy as np
import pytest
import torch

from app.encodings import ENCODINGS
from app.evaluation.speed import Ggml


@pytest.fixture(scope="session")
def ggml():
    """The real ggml."""
    found = Ggml.installed()
    assert found
    return found


@pytest.fixture(scope="session")
def read_as_gguf():
    """Blocks as the package gguf, the reference in Python, reads them: float32, flat."""

    def read(name, blocks):
        rows = blocks.reshape(-1, ENCODINGS[name].block_bytes).numpy()
        kind = gguf.GGMLQuantizationType[name]
        with np.errstate(all="ignore"):
            return torch.from_numpy(gguf.quants.dequantize(rows, kind).reshape(-1).copy())

    return read


@pytest.fixture(scope="session")
def libgguf_blocks():
    """A second independent implementation of ggml's encoders."""
    libgguf = pytest.importorskip("libgguf", reason="has no wheel for this system")

    def encode(name, weight):
        kind = libgguf.GGMLQuantizationType[name]
        return torch.from_numpy(np.asarray(libgguf.quantize_rows(weight.numpy(), kind)))

    return encode

import ctypes

import gguf
import numpy as np
import pytest
import torch

from app.encodings import ENCODINGS
from app.evaluation.speed import Ggml


class TypeTraits(ctypes.Structure):
    """The start of ggml's description of a type."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("interleave", ctypes.c_int64),
        ("block_bytes", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    )


@pytest.fixture(scope="session")
def ggml():
    """The real ggml."""
    found = Ggml.installed()
    assert found
    return found


@pytest.fixture(scope="session")
def read_as_ggml(ggml):
    """Blocks as ggml itself reads them: float32, flat."""
    find = ggml.library.ggml_get_type_traits
    find.restype = ctypes.POINTER(TypeTraits)

    def read(name, blocks):
        encoding = ENCODINGS[name]
        if name == "F32":
            return blocks.contiguous().view(-1).view(torch.float32)
        traits = find(encoding.ggml_id).contents
        assert (traits.block, traits.block_bytes) == (encoding.block, encoding.block_bytes)
        blocks = blocks.contiguous()
        weights = torch.empty(blocks.numel() // encoding.block_bytes * encoding.block)
        traits.to_float(blocks.data_ptr(), weights.data_ptr(), weights.numel())
        return weights

    return read


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

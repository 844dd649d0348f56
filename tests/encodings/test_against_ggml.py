"""Our encodings against the real ones: ggml, libgguf and the package gguf."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from weight_rows import ordinary, weird

from app.encodings import ENCODINGS

SAME_BYTES = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "F16", "BF16", "F32")
SEARCHED = ("Q4_K", "Q5_K", "Q6_K")
HALF_NOISE = 2**-10
"""Relative error that the rounding of two float16 steps causes by itself."""

ORDINARY = ordinary()
WEIRD = weird()


def encode(name, weight):
    return ENCODINGS[name].encode(weight)["blocks"]


def decode(name, blocks, weight):
    return ENCODINGS[name].decode({"blocks": blocks}, tuple(weight.shape))


def error(weight, decoded, importance=None):
    """Relative root of the (weighted) mean square error, in float64."""
    weight, decoded = weight.double(), decoded.double().view(weight.shape)
    importance = 1.0 if importance is None else importance.double()
    whole = (importance * weight.square()).sum()
    missed = (importance * (weight - decoded).square()).sum()
    return float((missed / whole).sqrt()) if whole else float(missed)


def ggml_importance(name, weight):
    """What ggml's own search weighs errors with."""
    if name == "Q6_K":
        return weight.square()
    groups = weight.view(-1, 32)
    return (groups.square().mean(-1, keepdim=True).sqrt() + groups.abs()).view(weight.shape)


@pytest.mark.parametrize("name", SAME_BYTES)
@pytest.mark.parametrize("kind", ORDINARY | WEIRD)
def test_that_the_bytes_are_those_of_ggml(name, kind, ggml, read_as_gguf):
    weight = (ORDINARY | WEIRD)[kind]
    ours, theirs = encode(name, weight).view(-1), ggml.encode(weight, ENCODINGS[name])
    if kind == "subnormal":  # 1 / scale overflows in ggml; its codes are undefined, times 0
        assert read_as_gguf(name, ours).equal(read_as_gguf(name, theirs))
    else:
        assert ours.equal(theirs)


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_that_the_bytes_are_those_of_libgguf(name, libgguf_blocks):
    weight = ORDINARY["bfloat16"]
    assert encode(name, weight).equal(libgguf_blocks(name, weight).view(weight.shape[0], -1))


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
@settings(deadline=None, max_examples=60)
@given(
    row=arrays(
        "float32",
        64,
        elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False).filter(
            lambda weight: weight == 0 or abs(weight) > 1e-30
        ),
    )
)
def test_that_any_row_has_the_bytes_of_ggml(name, row, ggml):
    weight = torch.from_numpy(row).view(1, -1)
    assert encode(name, weight).view(-1).equal(ggml.encode(weight, ENCODINGS[name]))


@pytest.mark.parametrize("name", SEARCHED)
def test_that_the_search_beats_ggml_on_what_models_are_made_of(name, ggml, read_as_gguf):
    for weight in ORDINARY.values():
        ours = read_as_gguf(name, encode(name, weight))
        theirs = read_as_gguf(name, ggml.encode(weight, ENCODINGS[name]))
        importance = ggml_importance(name, weight)
        assert error(weight, ours) < error(weight, theirs)
        assert error(weight, ours, importance) < error(weight, theirs, importance)


@pytest.mark.parametrize("name", SEARCHED)
@pytest.mark.parametrize("kind", WEIRD)
def test_that_the_search_never_loses_badly(name, kind, ggml, read_as_gguf):
    weight = WEIRD[kind]
    ours = error(weight, read_as_gguf(name, encode(name, weight)))
    theirs = error(weight, read_as_gguf(name, ggml.encode(weight, ENCODINGS[name])))
    assert ours <= max(1.01 * theirs, HALF_NOISE)


@pytest.mark.parametrize("name", SEARCHED)
def test_that_weights_below_a_normal_scale_are_not_lost(name, ggml, read_as_gguf):
    weight = WEIRD["1e-7"]
    assert error(weight, read_as_gguf(name, encode(name, weight))) < 0.25
    assert error(weight, read_as_gguf(name, ggml.encode(weight, ENCODINGS[name]))) > 0.9


@pytest.mark.parametrize("name", SEARCHED)
@settings(deadline=None, max_examples=60)
@given(row=arrays("float32", 256, elements=st.floats(-1e4, 1e4, width=32)))
def test_that_any_row_keeps_its_largest_weights(name, row):
    weight = torch.from_numpy(row).view(1, -1)
    decoded = decode(name, encode(name, weight), weight)
    steps = {"Q4_K": 14, "Q5_K": 30, "Q6_K": 31}[name]
    assert decoded.isfinite().all()
    # Half a step of the widest grid, the rounding of its scale and minimum, and float16's own.
    bound = weight.abs().max() * (2 / steps + 2 / 63) + 2**-14
    assert (decoded - weight).abs().max() <= bound


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name not in {"F32", "F16", "BF16"}])
def test_that_any_bytes_are_read_as_gguf_reads_them(name, read_as_gguf):
    encoding = ENCODINGS[name]
    some = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, 256, (500, encoding.block_bytes), generator=some, dtype=torch.uint8)
    ours = encoding.decode({"blocks": blocks}, (500, encoding.block))
    assert ours.view(-1).allclose(read_as_gguf(name, blocks), rtol=0, atol=0, equal_nan=True)
    assert encoding.decode_torch(blocks).allclose(ours, rtol=0, atol=0, equal_nan=True)

"""Our encodings against the real ones: ggml, libgguf and the package gguf."""

from statistics import mean

import pytest
import torch
from expectations import (
    FLOATS,
    NOT_IN_GGUF,
    SAME_WITH,
    SAME_WITHOUT,
    SEARCHED_WITH,
    SEARCHED_WITHOUT,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from weight_rows import ordinary, weighed, weird

from app.encodings import ENCODINGS

HALF_NOISE = 2**-10
"""Relative error that the rounding of two float16 steps causes by itself."""

ORDINARY = ordinary(most=24)
WEIRD = weird()
WEIGHED = weighed(ORDINARY)

LIBGGUF = sorted({"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"} & ENCODINGS.keys())


def searched(names):
    """Types that are searched; ggml needs seconds to make its tables of some of them."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=pytest.mark.slow) if name.startswith(("IQ1", "IQ2")) else name
            for name in names
        ],
    )


def encode(name, weight, importance=None):
    return ENCODINGS[name].encode(weight, importance)["blocks"]


def error(weight, decoded, importance=None):
    """(Weighted) mean square error as a share of the mean square, in float64."""
    weight, decoded = weight.double(), decoded.double().view(weight.shape)
    importance = 1.0 if importance is None else importance.double()
    whole = (importance * weight.square()).sum()
    missed = (importance * (weight - decoded).square()).sum()
    return float(missed / whole) if whole else float(missed)


@pytest.mark.parametrize("name", sorted(SAME_WITHOUT & ENCODINGS.keys()))
@pytest.mark.parametrize("kind", ORDINARY | WEIRD)
def test_that_the_bytes_are_those_of_ggml(name, kind, ggml, read_as_ggml):
    weight = (ORDINARY | WEIRD)[kind]
    ours, theirs = encode(name, weight).view(-1), ggml.encode(weight, ENCODINGS[name])
    if kind == "subnormal":  # 1 / scale overflows in ggml; its codes are undefined, times 0
        assert read_as_ggml(name, ours).equal(read_as_ggml(name, theirs))
    else:
        assert ours.equal(theirs)


@pytest.mark.parametrize("name", sorted(SAME_WITH & ENCODINGS.keys()))
def test_that_importances_change_nothing_where_there_is_no_choice(name, ggml):
    for weight, importance in WEIGHED.values():
        ours = encode(name, weight, importance).view(-1)
        assert ours.equal(encode(name, weight).view(-1))
        assert ours.equal(ggml.encode(weight, ENCODINGS[name], importance))


@pytest.mark.parametrize("name", LIBGGUF)
def test_that_the_bytes_are_those_of_libgguf(name, libgguf_blocks):
    weight = ORDINARY["bfloat16"]
    assert encode(name, weight).equal(libgguf_blocks(name, weight).view(weight.shape[0], -1))


@pytest.mark.parametrize("name", sorted((SAME_WITHOUT - FLOATS) & ENCODINGS.keys()))
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
    some = torch.from_numpy(row)
    weight = torch.cat([some, -some, some.flip(0), some / 3]).view(1, -1)
    assert encode(name, weight).view(-1).equal(ggml.encode(weight, ENCODINGS[name]))


def compared(name, pairs, ggml, read_as_ggml):
    """Our errors over ggml's, one for each weight and its importance (or None)."""
    ratios = {}
    for kind, (weight, importance) in pairs.items():
        ours = read_as_ggml(name, encode(name, weight, importance))
        theirs = read_as_ggml(name, ggml.encode(weight, ENCODINGS[name], importance))
        ratios[kind] = error(weight, ours, importance) / error(weight, theirs, importance)
    return ratios


all_rows = pytest.mark.parametrize(
    "rows", [ORDINARY, pytest.param(ordinary(), marks=pytest.mark.slow)], ids=["few", "all"]
)


@all_rows
@searched(SEARCHED_WITHOUT)
def test_that_the_search_does_not_lose_to_ggml(name, rows, ggml, read_as_ggml):
    alike = {kind: (weight, None) for kind, weight in rows.items()}
    ratios = compared(name, alike, ggml, read_as_ggml)
    assert max(ratios.values()) <= 1.01, ratios
    assert mean(ratios.values()) <= 1, ratios


@all_rows
@searched(SEARCHED_WITH)
def test_that_the_search_with_importances_does_not_lose_to_ggml(name, rows, ggml, read_as_ggml):
    ratios = compared(name, weighed(rows), ggml, read_as_ggml)
    assert max(ratios.values()) <= 1.01, ratios
    assert mean(ratios.values()) <= 1, ratios


@searched(SEARCHED_WITHOUT)
@pytest.mark.parametrize("kind", WEIRD)
def test_that_the_search_never_loses_badly(name, kind, ggml, read_as_ggml):
    weight = WEIRD[kind]
    ours = error(weight, read_as_ggml(name, encode(name, weight)))
    theirs = error(weight, read_as_ggml(name, ggml.encode(weight, ENCODINGS[name])))
    assert ours <= max(1.02 * theirs, HALF_NOISE**2)


@pytest.mark.parametrize("name", sorted(ENCODINGS.keys() - FLOATS))
def test_that_any_bytes_are_read_as_ggml_reads_them(name, read_as_ggml, read_as_gguf):
    encoding = ENCODINGS[name]
    some = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, 256, (500, encoding.block_bytes), generator=some, dtype=torch.uint8)
    ours = encoding.decode({"blocks": blocks}, (500, encoding.block)).view(-1)
    exactly = {"rtol": 0, "atol": 0, "equal_nan": True}
    assert ours.allclose(read_as_ggml(name, blocks), **exactly)
    assert name in NOT_IN_GGUF or ours.allclose(read_as_gguf(name, blocks), **exactly)
    assert encoding.decode_torch(blocks).view(-1).allclose(ours, **exactly)

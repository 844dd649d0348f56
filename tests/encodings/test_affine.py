"""Grids of whole numbers: how they are found, and what methods may rely on."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from app.encodings import FOLDER_ENCODINGS
from app.encodings.affine import Affine
from tests.models.quantized.published import integers, random

AFFINE = {name: enc for name, enc in FOLDER_ENCODINGS.items() if isinstance(enc, Affine)}
#: Of each kind, without the stored types and groups that work alike.
ALIKE = re.compile(r"-f16|-f32|g64|g128|g256|gptq2-[238]|gptq-.*row|int-4bit-row|mlx-[56]")
SOME = {name: enc for name, enc in AFFINE.items() if not ALIKE.search(name)}
affine = pytest.mark.parametrize("encoding", SOME.values(), ids=SOME)
WEIGHT = random(96, 128)


def missed(encoding: Affine, weight: Tensor, grid: tuple[Tensor, Tensor]) -> Tensor:
    """The error of each weight on a grid."""
    return encoding.values(encoding.nearest(weight, *grid), *grid) - weight


@affine
def test_that_numbers_of_a_method_are_stored_as_they_are(encoding: Affine) -> None:
    scale, zero = encoding.grid(WEIGHT)
    codes = integers(2**encoding.bits, *WEIGHT.shape).to(torch.uint8)
    shape = tuple(WEIGHT.shape)
    assert encoding.columns_a_group(shape) * scale.shape[1] == shape[1]
    assert (scale.dtype, zero.dtype) == (torch.float32, torch.float32)
    parts = encoding.pack(codes, scale, zero)
    found = encoding.unpack(parts, shape)
    assert found[0].equal(codes)
    assert found[1].equal(scale)
    assert found[2].equal(zero)
    assert encoding.decode(parts, shape).equal(encoding.values(codes, scale, zero))
    expected = scale.repeat_interleave(shape[1] // scale.shape[1], 1) * (
        codes.float() - zero.repeat_interleave(shape[1] // scale.shape[1], 1)
    )
    torch.testing.assert_close(encoding.decode(parts, shape), expected, rtol=1e-5, atol=1e-5)


@affine
def test_that_encoding_takes_the_nearest_point(encoding: Affine) -> None:
    scale, zero = encoding.grid(WEIGHT)
    length = WEIGHT.shape[1] // scale.shape[1]
    points = scale[..., None] * (torch.arange(2.0**encoding.bits) - zero[..., None])
    points = points.repeat_interleave(length, 1)  # (out, in, points)
    nearest = (points - WEIGHT[..., None]).abs().amin(-1)
    decoded = encoding.decode(encoding.encode(WEIGHT), tuple(WEIGHT.shape))
    torch.testing.assert_close((decoded - WEIGHT).abs(), nearest, rtol=1e-4, atol=1e-6)


@affine
def test_that_the_plain_grid_spans_a_group(encoding: Affine) -> None:
    scale, zero = encoding.grid(WEIGHT, clips=(1.0,))
    length = WEIGHT.shape[1] // scale.shape[1]
    # Half a step, one where a symmetric grid has no code for the end or the zero point moved it,
    # and what rounding takes from a scale.
    allowed = 1.01 * scale.abs() * (1 + 2**encoding.bits * 2.0**-8)
    error = missed(encoding, WEIGHT, (scale, zero)).abs()
    assert (error <= allowed.repeat_interleave(length, 1)).all()


@affine
def test_that_searching_lessens_the_error(encoding: Affine) -> None:
    plain = missed(encoding, WEIGHT, encoding.grid(WEIGHT, clips=(1.0,))).square().sum()
    searched = missed(encoding, WEIGHT, encoding.grid(WEIGHT)).square().sum()
    if encoding.bits < 6:
        assert searched < 0.99 * plain
    else:
        assert searched == plain


def test_that_small_weights_are_searched_as_well_as_others() -> None:
    encoding = FOLDER_ENCODINGS["packed-4bit-g32-asym"]
    assert isinstance(encoding, Affine)
    small = WEIGHT * 2.0**-90  # whose squares are 0
    (scale, zero), (there, same) = (encoding.grid(weight) for weight in (WEIGHT, small))
    assert there.equal(scale * 2.0**-90)
    assert same.equal(zero)


@affine
def test_that_important_columns_are_nearer(encoding: Affine) -> None:
    importance = torch.where(torch.arange(128) % 8 == 0, 100.0, 1.0)
    without = missed(encoding, WEIGHT, encoding.grid(WEIGHT)).square() @ importance
    found = missed(encoding, WEIGHT, encoding.grid(WEIGHT, importance)).square() @ importance
    if encoding.bits < 6:
        assert found.sum() < 0.999 * without.sum()
    assert (found <= without * (1 + 1e-5)).all()


@affine
@pytest.mark.parametrize("offset", [-3.0, 3.0])
def test_that_groups_far_from_zero_stay_on_the_grid(encoding: Affine, offset: float) -> None:
    weight = WEIGHT + offset
    _, zero = encoding.grid(weight)
    if encoding.whole_zero:
        assert zero.equal(zero.round())
        assert zero.min() >= encoding.lowest_zero
        assert zero.max() <= encoding.highest_zero
    decoded = encoding.decode(encoding.encode(weight), tuple(weight.shape))
    step = abs(offset) * (1 if encoding.symmetric else 0.5) / (2**encoding.bits - 1)
    assert (decoded - weight).abs().max() < 3 * step + 0.1


def test_that_version_one_of_gptq_never_stores_a_zero_point_of_zero() -> None:
    """Stored less one it would wrap around, and be read as 16 instead of 0."""
    weight = WEIGHT.abs() + 0.001
    first, second = (FOLDER_ENCODINGS[f"{name}-4bit-g32-asym"] for name in ("gptq", "gptq2"))
    assert isinstance(first, Affine)
    assert isinstance(second, Affine)
    assert second.grid(weight)[1].max() == 0
    scale, zero = first.grid(weight)
    assert zero.min() == 1
    error = missed(first, weight, (scale, zero)).norm() / weight.norm()
    assert error < 1.25 * missed(second, weight, second.grid(weight)).norm() / weight.norm()
    with pytest.raises(ValueError, match="zero points from 1 to 16"):
        first.pack(torch.zeros(96, 128, dtype=torch.uint8), scale, zero - 1)


def test_that_a_symmetric_grid_has_its_zero_in_the_middle() -> None:
    encoding = FOLDER_ENCODINGS["packed-4bit-g32-sym"]
    assert isinstance(encoding, Affine)
    scale, zero = encoding.grid(WEIGHT)
    assert (zero == 8).all()
    with pytest.raises(ValueError, match="zero points from 8 to 8"):
        encoding.pack(torch.zeros(96, 128, dtype=torch.uint8), scale, zero + 1)


def test_that_the_nearer_of_more_points_is_nearer() -> None:
    errors = [
        float(missed(enc, WEIGHT, enc.grid(WEIGHT)).norm())
        for enc in (AFFINE[f"mlx-{bits}bit-g64"] for bits in (2, 3, 4, 5, 6, 8))
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 40


@affine
def test_that_rounding_alone_gives_what_is_read_back(encoding: Affine) -> None:
    importance = torch.linspace(0.1, 3, WEIGHT.shape[1])
    read = encoding.decode(encoding.encode(WEIGHT, importance), tuple(WEIGHT.shape))
    assert encoding.rounded(WEIGHT, importance).equal(read)


@pytest.mark.parametrize(
    "name", ["packed-4bit-g128-sym", "gptq-3bit-g32-asym", "mlx-4bit-g64", "hqq-4bit-g64"]
)
@pytest.mark.parametrize("counted", [False, True])
def test_that_processors_and_other_devices_lose_alike(name: str, counted: bool) -> None:
    encoding = AFFINE[name]
    grouped = 0.1 * torch.randn(6, 4, encoding.group) + 0.03
    counts = torch.rand(4, encoding.group) if counted else None
    low, high = torch.aminmax(grouped, dim=-1, keepdim=True)
    found = [encoding._span(low, high, clip) for clip in (1.0, 0.8, 0.6)]
    scales, zeros = (torch.stack(some).squeeze(-1) for some in zip(*found, strict=True))
    here = encoding._missed_here(grouped, counts, scales, zeros)
    there = encoding._missed_there(grouped, counts, scales, zeros)
    assert there.min() > 0
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-5)

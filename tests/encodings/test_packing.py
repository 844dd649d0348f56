"""Packing is held against whole numbers of Python, which have no ends of words."""

from __future__ import annotations

import pytest
import torch

from app.encodings.packing import (
    eight_bit_floats,
    four_bit_codes,
    four_bit_floats,
    nibbles,
    pack,
    pack_nibbles,
    unpack,
)
from tests.models.quantized.published import integers, packed


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("columns", [1, 10, 32, 96, 100])
def test_that_codes_follow_one_another_without_gaps(bits: int, columns: int) -> None:
    codes = integers(2**bits, 5, columns)
    found = pack(codes.to(torch.uint8), bits)
    assert found.equal(packed(codes, bits))
    assert unpack(found, bits)[:, :columns].equal(codes.to(torch.uint8))


def test_that_a_code_may_cross_the_end_of_a_word() -> None:
    codes = torch.zeros(1, 11, dtype=torch.uint8)
    codes[0, 10] = 0b101
    low, high = pack(codes, 3)[0].tolist()
    assert low & 0xFFFFFFFF == 0b01 << 30
    assert high == 0b1


def test_that_the_first_of_two_codes_takes_the_low_half() -> None:
    codes = torch.tensor([[1, 2, 15, 0]], dtype=torch.uint8)
    assert pack_nibbles(codes).tolist() == [[0x21, 0x0F]]
    assert nibbles(pack_nibbles(codes)).equal(codes)


def test_that_the_nearest_four_bit_float_is_taken() -> None:
    values = torch.linspace(-7, 7, 1401)
    table = four_bit_floats(torch.arange(16))
    nearest = (values[:, None] - table).abs().amin(1)
    missed = (four_bit_floats(four_bit_codes(values)) - values).abs()
    assert missed.equal(nearest)


def test_that_between_two_four_bit_floats_the_even_one_is_taken() -> None:
    middles = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
    assert four_bit_codes(middles).tolist() == [0, 2, 2, 4, 4, 6, 6]
    assert four_bit_codes(-middles).tolist() == [8, 10, 10, 12, 12, 14, 14]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_that_eight_bit_floats_end_at_the_largest(dtype: torch.dtype) -> None:
    top = torch.finfo(dtype).max
    found = eight_bit_floats(torch.tensor([1e9, -1e9, top]), dtype).float()
    assert found.tolist() == [top, -top, top]

"""Small numbers inside larger ones: packed codes, 4-bit and 8-bit floats, and powers of two."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_E2M1 = (*_MAGNITUDES, *(-value for value in _MAGNITUDES))


def words_for(codes: int, bits: int) -> int:
    """Words of 32 bits that so many codes fill."""
    return -(-codes * bits // 32)


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes one after the other without gaps, the lowest bits first; the inverse of `unpack`.

    The bits of a row's words form one stream: 3-bit code 10 takes the highest two bits of word
    0 and the lowest bit of word 1. What is left of the last word is 0.

    Args:
        codes: (rows, columns), uint8, each below 2**bits.
        bits: Of a code, 1 to 8.

    Returns:
        (rows, ceil(columns * bits / 32)), int32.
    """
    import torch

    rows, columns = codes.shape
    whole = torch.nn.functional.pad(codes, (0, -columns % 32))  # 32 codes end where a word does
    eights = whole.view(rows, -1, 8)
    stream = eights[..., 0].to(torch.int64)  # 8 codes fill `bits` bytes
    for place in range(1, 8):
        stream |= eights[..., place].to(torch.int64) << bits * place
    data = stream[..., None].view(torch.uint8)[..., :bits].flatten(1)
    return data[:, : 4 * words_for(columns, bits)].contiguous().view(torch.int32)


def unpack(words: Tensor, bits: int) -> Tensor:
    """Codes that follow one another as `pack` lays them down.

    Args:
        words: (rows, words), 32-bit integers.
        bits: Of a code, 1 to 8.

    Returns:
        (rows, words * 32 // bits), uint8.
    """
    import torch

    device = words.device
    mask = 2**bits - 1
    if 8 % bits == 0:
        shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=device)
        found: Tensor = (words.contiguous().view(torch.uint8)[..., None] >> shifts) & mask
        return found.flatten(1)
    count = words.shape[1] * 32 // bits
    # A code spreads over two bytes at most.
    stream = torch.nn.functional.pad(words.contiguous().view(torch.uint8), (0, 1)).to(torch.int32)
    first = torch.arange(count, device=device) * bits
    at, shift = first // 8, (first % 8).to(torch.int32)
    codes: Tensor = ((stream[:, at] | (stream[:, at + 1] << 8)) >> shift) & mask
    return codes.to(torch.uint8)


def unpack_some(words: Tensor, bits: int, start: int, stop: int) -> Tensor:
    """Codes `start` to `stop` of each row; see `unpack`."""
    first = start // 32 * 32  # 32 codes end where a word does
    wanted = words[:, first * bits // 32 : -(-stop // 32) * bits]
    return unpack(wanted, bits)[:, start - first : stop - first]


def unpack_separately(words: Tensor, bits: int) -> Tensor:
    """Like `unpack`, where no code crosses the end of a word: its highest bits may be unused."""
    import torch

    shifts = torch.arange(0, 32 - bits + 1, bits, dtype=torch.int32, device=words.device)
    found: Tensor = (words.view(torch.int32)[..., None] >> shifts) & (2**bits - 1)
    return found.to(torch.uint8).flatten(1)


def pack_nibbles(codes: Tensor) -> Tensor:
    """Two codes a byte, the first in the low half: (..., 2 * bytes) to (..., bytes), uint8."""
    return codes[..., 0::2] | codes[..., 1::2] << 4


def nibbles(codes: Tensor) -> Tensor:
    """The low, then the high half of each byte: (rows, bytes) to (rows, 2 * bytes), uint8."""
    import torch

    codes = codes.view(torch.uint8)
    return torch.stack((codes & 15, codes >> 4), -1).flatten(1)


def four_bit_codes(values: Tensor) -> Tensor:
    """The nearest E2M1 codes, uint8, one for each value; a value between two takes the even one.

    OCP Microscaling Formats (MX) Specification 1.0, section 5.3.3.
    """
    import torch

    magnitude = values.abs()
    codes = (values < 0).to(torch.uint8) << 3
    for code, (low, high) in enumerate(pairwise(_MAGNITUDES)):
        middle = (low + high) / 2
        codes += magnitude > middle if code % 2 == 0 else magnitude >= middle
    return codes


def four_bit_floats(codes: Tensor) -> Tensor:
    """The values of E2M1 codes, one a byte: a sign, two bits of exponent, one of mantissa."""
    import torch

    return looked_up(torch.tensor(_E2M1, device=codes.device), codes)


def looked_up(table: Tensor, codes: Tensor) -> Tensor:
    """What a table holds for each code; indexing with them takes five times as long."""
    import torch

    return table.index_select(0, codes.flatten().to(torch.int32)).view(codes.shape)


def floats(scales: Tensor) -> Tensor:
    """Scales of any dtype as float32; bytes are exponents of two, 127 standing for 1 (E8M0)."""
    import torch

    if scales.dtype is torch.uint8:
        scales = scales.view(torch.float8_e8m0fnu)
    return scales.to(torch.float32)


def as_float32(values: Tensor) -> Tensor:
    """The same numbers, float32. Of 8-bit floats five times as fast on the processor as `to` is."""
    import torch

    if values.device.type != "cpu" or values.itemsize > 1 or not values.is_floating_point():
        return values.to(torch.float32)
    codes = torch.arange(256, dtype=torch.uint8)
    table = codes.view(values.dtype).to(torch.float32)
    return looked_up(table, values.contiguous().view(torch.uint8))


def eight_bit_floats(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest 8-bit floats; what is beyond the largest becomes the largest.

    The result is in the computer's memory where the values are on a Mac's graphics processor: torch
    has these types there only since 2.15.
    """
    import torch

    top = torch.finfo(dtype).max
    values = values.clamp(-top, top)
    return (values.cpu() if values.device.type == "mps" else values).to(dtype)

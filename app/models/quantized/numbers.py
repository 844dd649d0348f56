"""Small numbers inside larger ones: packed codes, 4-bit floats, and powers of two."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_E2M1 = (*_MAGNITUDES, *(-value for value in _MAGNITUDES))


def unpack(words: Tensor, bits: int) -> Tensor:
    """Codes that follow one another without gaps, the lowest bits first.

    The bits of a row's words form one stream: 3-bit code 10 takes the highest two bits of word
    0 and the lowest bit of word 1.

    Args:
        words: (rows, words), 32-bit integers.
        bits: Of a code, 1 to 8.

    Returns:
        (rows, words * 32 // bits), uint8.
    """
    import torch

    mask = 2**bits - 1
    if 8 % bits == 0:
        shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
        found: Tensor = (words.contiguous().view(torch.uint8)[..., None] >> shifts) & mask
        return found.flatten(1)
    count = words.shape[1] * 32 // bits
    # A code spreads over two bytes at most.
    stream = torch.nn.functional.pad(words.contiguous().view(torch.uint8), (0, 1)).to(torch.int32)
    first = torch.arange(count) * bits
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

    shifts = torch.arange(0, 32 - bits + 1, bits, dtype=torch.int32)
    found: Tensor = (words.view(torch.int32)[..., None] >> shifts) & (2**bits - 1)
    return found.to(torch.uint8).flatten(1)


def nibbles(codes: Tensor) -> Tensor:
    """The low, then the high half of each byte: (rows, bytes) to (rows, 2 * bytes), uint8."""
    import torch

    codes = codes.view(torch.uint8)
    return torch.stack((codes & 15, codes >> 4), -1).flatten(1)


def four_bit_floats(codes: Tensor) -> Tensor:
    """The values of E2M1 codes, one a byte: a sign, two bits of exponent, one of mantissa.

    OCP Microscaling Formats (MX) Specification 1.0, section 5.3.3.
    """
    import torch

    return torch.tensor(_E2M1)[codes.int()]


def floats(scales: Tensor) -> Tensor:
    """Scales of any dtype as float32; bytes are exponents of two, 127 standing for 1 (E8M0)."""
    import torch

    if scales.dtype is torch.uint8:
        scales = scales.view(torch.float8_e8m0fnu)
    return scales.to(torch.float32)

"""The bytes of IQ2 and IQ3 behind d, laid out as in `app.encodings.kernels.iq_bytes`.

Fields are codes (n, sub-blocks), signs (n, 32) of 8 bits, and numbers of points (n, 32 or 64); all
int32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from app.encodings.kernels.iq_numbers import Kind

    Fields = tuple[Tensor, Tensor, Tensor]


def pack(fields: Fields, kind: Kind) -> Tensor:
    """Fields to (n, bytes)."""
    import torch

    codes, signs, numbers = fields
    low = (numbers & 255).to(torch.uint8)
    if not kind.even:
        high = _merge(numbers >> 8, 64 // numbers.shape[1])
        planes = [high, signs.to(torch.uint8)]
        if numbers.shape[1] == 32:
            planes.reverse()
        return torch.cat([low, *planes, _merge(codes, 4)], -1)
    signs = signs & 127
    if kind.lanes == 2:
        pairs = torch.stack([low, (numbers >> 8 | signs << 1).to(torch.uint8)], -1)
        return torch.cat([pairs.flatten(1), _merge(codes, 4)], -1)
    quads = signs.view(-1, 8, 4)
    words = quads[..., 0] | quads[..., 1] << 7 | quads[..., 2] << 14 | quads[..., 3] << 21
    words = (words | codes << 28).view(torch.uint8).view(-1, 8, 4)
    if numbers.shape[1] == 64:
        return torch.cat([low, words.flatten(1)], -1)
    return torch.cat([low.view(-1, 8, 4), words], -1).flatten(1)


def unpack(source: Tensor, kind: Kind, coordinates: int) -> Fields:
    """Inverse of `pack`."""
    import torch

    points = 256 // coordinates
    if not kind.even:
        low = source[:, :points].to(torch.int32)
        rest = source[:, points : source.shape[1] - 16 // kind.lanes]
        signs, high = (rest[:, :32], rest[:, 32:]) if points == 32 else (rest[:, 8:], rest[:, :8])
        codes = _part(source[:, -16 // kind.lanes :], 4)
        return codes, signs.to(torch.int32), low | _part(high, 64 // points) << 8
    if kind.lanes == 2:
        pairs = source[:, :64].reshape(-1, 32, 2).to(torch.int32)
        low, high = pairs[..., 0], pairs[..., 1]
        return _part(source[:, 64:], 4), _whole(high >> 1), low | (high & 1) << 8
    if points == 64:
        numbers, rest = source[:, :64], source[:, 64:].reshape(-1, 8, 4)
    else:
        mixed = source.reshape(-1, 8, 8)
        numbers, rest = mixed[..., :4].flatten(1), mixed[..., 4:]
    words = rest.contiguous().view(torch.int32).squeeze(-1)  # (n, 8)
    shifts = torch.arange(0, 28, 7, dtype=torch.int32, device=source.device)
    signs = ((words[..., None] >> shifts) & 127).flatten(1)
    return words >> 28 & 15, _whole(signs), numbers.to(torch.int32)


def _merge(numbers: Tensor, bits: int) -> Tensor:
    """Numbers of a few bits to bytes, the first lowest."""
    import torch

    places = torch.arange(0, 8, bits, dtype=torch.int32, device=numbers.device)
    spread = numbers.view(len(numbers), -1, 8 // bits) << places
    return spread.sum(-1).to(torch.uint8)


def _part(source: Tensor, bits: int) -> Tensor:
    """Inverse of `_merge`."""
    import torch

    places = torch.arange(0, 8, bits, dtype=torch.int32, device=source.device)
    return ((source.to(torch.int32)[..., None] >> places) & ((1 << bits) - 1)).flatten(1)


def _whole(signs: Tensor) -> Tensor:
    """Seven signs and the eighth, which makes the number of minus signs even."""
    odd = signs ^ signs >> 4
    odd = odd ^ odd >> 2
    return signs | ((odd ^ odd >> 1) & 1) << 7

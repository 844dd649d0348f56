"""IQ2 and IQ3; the search is explained in `app.encodings.kernels.iq_search`.

Shapes: n super-blocks of 32 groups of eight weights, (n, 32, 8). What there is one of for each
sub-block is (n, sub-blocks, 1), wide enough for the lanes of `Kind`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.encodings.kernels.iq_numbers import FEWEST, LARGEST_CODE, MOST, SHARE, STEPS
from app.encodings.vectorised.halves import from_bytes, to_bytes
from app.encodings.vectorised.iq_bytes import pack, unpack
from app.encodings.vectorised.lattice import Points

if TYPE_CHECKING:
    from torch import Tensor

    from app.encodings.grids import Grid
    from app.encodings.kernels.iq_numbers import Kind

NORMAL = 2.0**-14
"""The smallest normal float16."""
SMALLEST = 2.0**-24
"""The smallest float16."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be met: magnitudes, their importances, and the points that may be used."""

    value: Tensor
    importance: Tensor
    points: Points
    lanes: int

    def shared(self, numbers: Tensor) -> Tensor:
        """Sums of (n, 32) over each sub-block: (n, sub-blocks)."""
        return numbers.view(len(numbers), -1, self.lanes).sum(-1)

    def meet(self, scale: Tensor) -> Found:
        """The nearest points for scales of sub-blocks, (n, sub-blocks)."""
        wide = scale.repeat_interleave(self.lanes, -1)[..., None]  # (n, 32, 1)
        width = self.points.coordinates
        rows = (self.value, self.importance, wide.expand_as(self.value))
        numbers = self.points.nearest(*(part.reshape(-1, width) for part in rows))
        q = self.points.values[numbers].view(self.value.shape)
        wq = self.importance * q
        miss = self.value - wide * q
        return Found(
            numbers.view(len(scale), -1),
            self.shared((self.importance * miss * miss).sum(-1)),
            self.shared((wq * self.value).sum(-1)),
            self.shared((wq * q).sum(-1)),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The points, and the sums of error, importance * v * q and importance * q * q."""

    numbers: Tensor
    error: Tensor
    products: Tensor
    squares: Tensor


def encode(weight: Tensor, importance: Tensor | None, kind: Kind, grid: Grid) -> Tensor:
    """(n, 256) to (n, bytes of a block)."""
    import torch

    largest = weight.abs().amax(-1, keepdim=True)  # (n, 1)
    inverse = torch.where(largest > 1e-37, 1 / largest, 0.0)
    value = (weight * inverse).view(-1, 32, 8)
    alike = torch.ones_like(value)
    columns = alike if importance is None else importance.view_as(value)
    value, columns, signs = _take_signs(value, columns, kind)
    target = Target(value, columns, Points.of(grid, weight.device), kind.lanes)
    scale, curvature = _search_scales(target, kind, max(grid.values))
    to_d, to_step = largest / kind.unit, inverse * kind.unit
    halves = _d_of(_choose_step(scale, curvature) * to_d)
    codes, found = _search_codes(target, kind, scale, halves.float() * to_step)
    products = (codes * found.products).sum(-1, keepdim=True).clamp(min=0)
    refitted = products / (codes**2 * found.squares).sum(-1, keepdim=True)
    halves = torch.where(halves >= NORMAL, (refitted * to_d).half(), halves)
    numbers = target.meet(halves.float() * to_step * codes).numbers
    fields = (codes.to(torch.int32) // 2, signs, numbers.to(torch.int32))
    return torch.cat([to_bytes(halves), pack(fields, kind)], -1)


def decode(blocks: Tensor, kind: Kind, grid: Grid) -> Tensor:
    """Inverse of `encode`."""
    import torch

    points = Points.of(grid, blocks.device)
    codes, signs, numbers = unpack(blocks[:, 2:], kind, points.coordinates)
    scale = from_bytes(blocks[:, :2]) * (2 * codes + 1).float() * kind.unit
    q = points.values[numbers].view(-1, 32, 8)
    value = scale.repeat_interleave(kind.lanes, -1)[..., None] * q
    bits = torch.arange(8, dtype=torch.int32, device=blocks.device)
    minus = (signs[..., None] >> bits) & 1
    return torch.where(minus == 1, -value, value).flatten(1)


def _take_signs(value: Tensor, columns: Tensor, kind: Kind) -> tuple[Tensor, Tensor, Tensor]:
    """Magnitudes, flipped where they must be; importances; and the signs, (n, 32) of 8 bits."""
    import torch

    rms = value.square().mean((1, 2), keepdim=True).sqrt()
    minus = value < 0
    value = value.abs()
    importance = columns * (SHARE + value * torch.where(rms > 0, 1 / rms, 0.0))
    if kind.even:
        victim = (importance * value).argmin(-1, keepdim=True)
        odd = minus.sum(-1, keepdim=True) % 2 == 1
        flip = torch.zeros_like(minus).scatter(-1, victim, odd)
        value = torch.where(flip, -value, value)
        minus ^= flip
    bits = torch.arange(8, dtype=torch.int32, device=value.device)
    signs = (minus.to(torch.int32) << bits).sum(-1, dtype=torch.int32)
    return value, importance, signs


def _search_scales(target: Target, kind: Kind, top: float) -> tuple[Tensor, Tensor]:
    """The real-valued scale of each sub-block, and the sum of importance * q * q there."""
    import torch

    weight = target.shared(target.importance.sum(-1))
    square = target.shared((target.importance * target.value.square()).sum(-1))
    mean = (square / weight).sqrt() / top
    peak = target.value.abs().view(len(mean), mean.shape[1], -1).amax(-1) / top
    best, curvature = torch.zeros_like(mean), torch.zeros_like(mean)
    score = torch.full_like(mean, -1.0)
    for of_mean, of_peak in kind.starts.tolist():
        found = target.meet(of_mean * mean + of_peak * peak)
        products = found.products.clamp(min=0)
        scale = products / found.squares
        better = scale * products > score
        score = torch.where(better, scale * products, score)
        best = torch.where(better, scale, best)
        curvature = torch.where(better, found.squares, curvature)
    return best, curvature


def _nearest_codes(scale: Tensor, step: Tensor) -> Tensor:
    """2 c + 1 with the nearest code c."""
    import torch

    inverse = torch.where(step > 0, 1 / step, 0.0)
    return ((scale * inverse - 1) * 0.5).round().clamp(0, LARGEST_CODE) * 2 + 1


def _choose_step(scale: Tensor, curvature: Tensor) -> Tensor:
    """The d (times unit) whose multiples are nearest to the scales wanted, (n, 1)."""
    import torch

    peak = scale.amax(-1, keepdim=True)
    best, least = torch.zeros_like(peak), torch.full_like(peak, torch.inf)
    for i in range(STEPS):
        steps = FEWEST + (MOST - FEWEST) * i / (STEPS - 1)
        codes = _nearest_codes(scale, peak / steps)
        products = (curvature * scale * codes).sum(-1, keepdim=True)
        squares = (curvature * codes * codes).sum(-1, keepdim=True)
        missed = -products * products / squares
        better = missed < least
        best, least = (
            torch.where(better, products / squares, best),
            torch.where(better, missed, least),
        )
    return best


def _d_of(wanted: Tensor) -> Tensor:
    """The float16 for d: the nearest, but where float16 has few digits, the one above."""
    import torch

    nearest = wanted.half()
    above = (nearest.view(torch.int16) + 1).view(torch.float16)
    coarse = (nearest < NORMAL) & (nearest.float() < wanted)
    reached = wanted * 2 * (2 * LARGEST_CODE + 1) > SMALLEST
    return torch.where(coarse & reached, above, nearest)


def _search_codes(target: Target, kind: Kind, scale: Tensor, step: Tensor) -> tuple[Tensor, Found]:
    """The code of each sub-block, as 2 c + 1, and what it came to."""
    import torch

    nearest = _nearest_codes(scale, step)
    side = torch.where(step * nearest < scale, 2.0, -2.0)
    codes, best = nearest, target.meet(step * nearest)
    for change in kind.changes.tolist()[1:]:
        tried = (nearest + change * side).clamp(1, 2 * LARGEST_CODE + 1)
        found = target.meet(step * tried)
        better = found.error < best.error
        codes = torch.where(better, tried, codes)
        best = Found(
            best.numbers,  # looked up again at last
            torch.where(better, found.error, best.error),
            torch.where(better, found.products, best.products),
            torch.where(better, found.squares, best.squares),
        )
    return codes, best

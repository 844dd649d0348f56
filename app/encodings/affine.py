"""Integers with a scale and a zero point for each group of columns: scale * (code - zero).

Families differ in how they store the three; what they mean, and how a grid is found, is here.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, arXiv:1712.05877, section 2.1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.base import Overflow
from app.encodings.dtypes import torch_dtype
from app.encodings.extremes import largest_of
from app.encodings.folder import DTYPE_NAMES, FolderEncoding, in_slices
from app.encodings.ggml_block import usable

if TYPE_CHECKING:
    from torch import Tensor

_CLIPS = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
#: From so many bits on, clipping costs more than the finer grid saves.
_FINE = 6
#: Of a distance, where nothing is known of the inputs: squares clip more than models like.
_POWER = 2.5
#: The smallest scales: F16's smallest number, and the smallest whose inverse the others hold.
_LEAST_SCALE = {"F16": 2.0**-24, "BF16": 2.0**-126, "F32": 2.0**-126}


@dataclass(frozen=True, slots=True)
class Affine(FolderEncoding):
    """Codes of a few bits; a method may choose codes, scales and zero points and `pack` them.

    Shapes: codes (out, in), uint8, below 2**bits; scale and zero (out, groups), float32. Scales are
    as they are stored, rounded to `scales`; zero points are whole numbers where `whole_zero` is set
    and the middle, 2**(bits - 1), where `symmetric` is.
    """

    bits: int = 4
    group: int = 128
    """Columns that share a scale; 0: the whole row."""
    symmetric: bool = True
    scales: str = "BF16"
    """Stored type of the scales."""

    prefix: ClassVar[str]
    """How names begin."""
    whole_zero: ClassVar[bool] = True
    """Whether zero points are whole numbers."""
    lowest_zero: ClassVar[int] = 0
    """The smallest zero point that can be stored."""

    @property
    @override
    def name(self) -> str:
        group = f"g{self.group}" if self.group else "row"
        name = f"{self.prefix}-{self.bits}bit-{group}"
        if self.whole_zero:
            name += "-sym" if self.symmetric else "-asym"
        usual = next(field.default for field in fields(self) if field.name == "scales")
        return name if self.scales == usual else f"{name}-{DTYPE_NAMES[self.scales]}"

    @property
    def highest_zero(self) -> int:
        """The largest zero point that can be stored."""
        return self.lowest_zero + (1 << self.bits) - 1

    def columns_a_group(self, shape: tuple[int, ...]) -> int:
        """Columns that share a scale in a weight of `shape`."""
        return self.group or shape[-1]

    def pack(self, codes: Tensor, scale: Tensor, zero: Tensor) -> dict[str, Tensor]:
        """The parts that store these numbers; see the class for shapes.

        Raises:
            ValueError: A zero point cannot be stored.
        """
        if self.whole_zero:
            low, high = self.lowest_zero, self.highest_zero
            if self.symmetric:
                low = high = 2 ** (self.bits - 1)
            if bool(((zero < low) | (zero > high)).any()):
                raise ValueError(f"{self.name} holds zero points from {low} to {high}")
        return self._stored(codes, scale, zero)

    @abstractmethod
    def _stored(self, codes: Tensor, scale: Tensor, zero: Tensor) -> dict[str, Tensor]:
        """The parts, where the zero points can be stored."""

    @abstractmethod
    def unpack(
        self, parts: dict[str, Tensor], shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Inverse of `pack`: codes, scale and zero of a weight of `shape`."""

    def grid(
        self,
        weight: Tensor,
        importance: Tensor | None = None,
        clips: Sequence[float] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Scale and zero of each group, as they will be stored.

        Of some spans, each a share of the group's own, the one with the least error counts: squares
        where an importance is given; without, a power of 2.5, which clips large weights less. On
        SmolLM2-135M, 4 bits in groups of 128, KL to the source was 0.62 without clipping, 0.65 with
        squares and 0.53 with this power; with zero points, 0.49, 0.45 and 0.42.

        Args:
            weight: (out, in), float32.
            importance: What a squared error in each column counts, (in,).
            clips: Shares of the span to try; (1,) is the plain grid from extreme to extreme. None:
                a search where the bits are few.

        Raises:
            NotFinite: A weight is NaN or infinite.
            Overflow: A scale is beyond the type that it is stored in.
        """
        import torch

        self.layout(tuple(weight.shape))
        largest = largest_of(weight)
        columns = usable(None if importance is None else importance.cpu(), weight.shape[1])
        counts = None if columns is None else columns.to(weight.device)
        clips = self._spans() if clips is None else clips
        found = [self._grid_of_rows(weight[rows], counts, clips) for rows in in_slices(weight)]
        scale, zero = (torch.cat(parts) for parts in zip(*found, strict=True))
        if not bool(scale.isfinite().all()):
            limit = torch.finfo(torch_dtype(self.scales)).max * (2**self.bits - 1) / 2
            raise Overflow(largest, limit)
        return scale, zero

    def nearest(self, weight: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        """The codes on a grid that are nearest to some rows of a weight, uint8."""
        import torch

        grouped = weight.reshape(*scale.shape, -1)  # (rows, groups, group)
        codes = self._codes(grouped, scale[..., None], zero[..., None])
        return codes.flatten(1).to(torch.uint8)

    def values(self, codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        """The float32 weights that some rows of codes stand for."""
        import torch

        grouped = codes.view(*scale.shape, -1).to(torch.float32)  # (rows, groups, group)
        return self._values(grouped, scale[..., None], zero[..., None]).flatten(1)

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        """Round to the nearest point of `grid`; see there and the base class."""
        import torch

        scale, zero = self.grid(weight, importance)
        codes = torch.empty(weight.shape, dtype=torch.uint8, device=weight.device)
        for rows in in_slices(weight):
            codes[rows] = self.nearest(weight[rows], scale[rows], zero[rows])
        return self.pack(codes, scale, zero)

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        import torch

        codes, scale, zero = self.unpack(parts, shape)
        found = torch.empty(shape, dtype=torch.float32, device=codes.device)
        for rows in in_slices(found):
            found[rows] = self.values(codes[rows], scale[rows], zero[rows])
        return found

    @override
    def rounded(self, weight: Tensor, importance: Tensor | None = None) -> Tensor:
        """Without packing, which takes longer than rounding."""
        import torch

        scale, zero = self.grid(weight, importance)
        found = torch.empty_like(weight)
        for rows in in_slices(weight):
            some = scale[rows], zero[rows]
            found[rows] = self.values(self.nearest(weight[rows], *some), *some)
        return found

    def _spans(self) -> tuple[float, ...]:
        """Shares of the span that a search tries."""
        if self.bits >= _FINE:
            return (1.0,)
        top = 2**self.bits - 1
        # A symmetric grid has one code more below than above; wider, it clips neither side.
        return (1.0, top / (top - 1), *_CLIPS) if self.symmetric else (1.0, *_CLIPS)

    def _grid_of_rows(
        self, weight: Tensor, importance: Tensor | None, clips: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        import torch

        shape = tuple(weight.shape)
        grouped = weight.reshape(shape[0], -1, self.columns_a_group(shape))  # (rows, groups, group)
        counts = None if importance is None else importance.view(grouped.shape[1:])
        low, high = torch.aminmax(grouped, dim=-1, keepdim=True)
        if len(clips) == 1:
            scale, zero = self._span(low, high, clips[0])
            return scale.squeeze(-1), zero.squeeze(-1)
        found = [self._span(low, high, clip) for clip in clips]
        scales, zeros = (torch.stack(some).squeeze(-1) for some in zip(*found, strict=True))
        missed = self._missed_here if weight.device.type == "cpu" else self._missed_there
        # In steps of the first grid: powers of small weights are too small for float32.
        steps = (scales / scales[0]).abs().pow(_POWER if counts is None else 2)
        errors = missed(grouped, counts, scales, zeros) * steps
        scale, zero, least = scales[0], zeros[0], errors[0]
        for number, error in enumerate(errors):  # of equals, the first
            better = error < least
            scale = scales[number].where(better, scale)
            zero = zeros[number].where(better, zero)
            least = error.where(better, least)
        return scale, zero

    def _missed_there(
        self, grouped: Tensor, counts: Tensor | None, scales: Tensor, zeros: Tensor
    ) -> Tensor:
        """What rounding on several grids loses, in their steps to a power; on any device.

        Args:
            grouped: Weights, (rows, groups, group).
            counts: What an error counts, (groups, group).
            scales: (grids, rows, groups).
            zeros: The same.

        Returns:
            (grids, rows, groups).
        """
        import torch

        errors = []
        for scale, zero in zip(scales[..., None], zeros[..., None], strict=True):
            place = self._places(grouped, scale, zero)
            off = place.round().clamp_(0, 2**self.bits - 1).sub_(place)
            lost = off.abs_().pow_(_POWER) if counts is None else off.square_().mul_(counts)
            errors.append(lost.sum(-1))
        return torch.stack(errors)

    def _missed_here(
        self, grouped: Tensor, counts: Tensor | None, scales: Tensor, zeros: Tensor
    ) -> Tensor:
        """The same on the processor, many times faster."""
        from app.encodings.kernels.group_errors import AT_ONCE, group_errors

        if grouped.shape[-1] % AT_ONCE:
            return self._missed_there(grouped, counts, scales, zeros)
        errors = scales.new_empty(len(scales), scales[0].numel())
        columns = grouped.new_empty(0) if counts is None else counts
        group_errors(
            grouped.reshape(-1).numpy(),
            columns.reshape(-1).numpy(),
            (zeros * scales).view_as(errors).numpy(),
            scales.reciprocal().view_as(errors).numpy(),
            2**self.bits - 1,
            errors.numpy(),
        )
        return errors.view_as(scales)

    def _span(self, low: Tensor, high: Tensor, clip: float) -> tuple[Tensor, Tensor]:
        """Scale and zero of the grid over a share of `low` to `high`, and over 0."""
        import torch

        top = 2**self.bits - 1
        low, high = clip * low.clamp(max=0), clip * high.clamp(min=0)
        if self.symmetric:
            scale = self._as_stored(2 * torch.maximum(-low, high) / top)
            return scale, torch.full_like(scale, 2 ** (self.bits - 1))
        least = self.lowest_zero  # where this is not 0, some codes must be left for below 0
        low = torch.minimum(low, -high * least / (top - least))
        scale = self._as_stored((high - low) / top)
        return scale, (-low / scale).round().clamp(least, top)

    def _as_stored(self, scale: Tensor) -> Tensor:
        """Scales rounded to what the file holds, and not too small to divide by."""
        import torch

        magnitude = scale.abs().clamp(min=_LEAST_SCALE[self.scales])
        return magnitude.copysign(scale).to(torch_dtype(self.scales)).to(torch.float32)

    def _places(self, grouped: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        """Real numbers in place of codes; `scale` and `zero` are (rows, groups, 1)."""
        return (grouped / scale).add_(zero)

    def _codes(self, grouped: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        """The nearest codes, float32. A weight between two takes the one that is even from zero."""
        return (grouped / scale).round_().add_(zero).clamp_(0, 2**self.bits - 1)

    def _values(self, codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        """What float32 codes stand for."""
        return (codes - zero).mul_(scale)

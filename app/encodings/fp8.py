"""8-bit floats with a scale for the whole weight, for each row, or for each block of 128 x 128.

    X.weight        F8_E4M3 (out, in)
    X.weight_scale  BF16 (1), (out, 1) or (out / 128, in / 128): what the weight is multiplied with

transformers calls the scales of blocks "weight_scale_inv"; they multiply all the same.

Micikevicius et al., "FP8 Formats for Deep Learning", arXiv:2209.05433;
DeepSeek-AI, "DeepSeek-V3 Technical Report", arXiv:2412.19437, section 3.3.2.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from app.encodings.base import Overflow, Part
from app.encodings.dtypes import torch_dtype
from app.encodings.extremes import largest_of
from app.encodings.folder import DTYPE_NAMES, FolderEncoding, in_slices
from app.encodings.packing import as_float32, eight_bit_floats

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 128
_LEAST_SCALE = 2.0**-126


class _Float8(FolderEncoding):
    """A float of 8 bits times a scale."""

    scale_name: ClassVar[str] = "weight_scale"

    @property
    def kind(self) -> str:
        """The stored type of the weights."""
        return "F8_E4M3"

    @property
    def scales(self) -> str:
        """The stored type of the scales."""
        return "F32"

    @abstractmethod
    def block(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns that share a scale."""

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape)
        block = self.block(shape)
        grid = (-(-rows // block[0]), -(-columns // block[1]))
        scale = Part(self.scale_name, (1,) if block == shape else grid, self.scales)
        return Part("weight", (rows, columns), self.kind), scale

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        """Each block's largest weight becomes the largest float; see the base class.

        Raises:
            NotFinite: A weight is NaN or infinite.
            Overflow: A scale is beyond its type.
        """
        del importance  # a float's error grows with it, so that the largest weight decides
        largest_of(weight)
        return self._encode(weight, self._largest(weight))

    def _encode(self, weight: Tensor, largest: Tensor) -> dict[str, Tensor]:
        """Encode with the largest weight of each block given, (blocks down, blocks across)."""
        import torch

        _, part = self.layout(tuple(weight.shape))
        dtype = torch_dtype(self.kind)
        scale = (largest / torch.finfo(dtype).max).clamp(min=_LEAST_SCALE)
        scale = scale.to(torch_dtype(self.scales))
        if not bool(scale.isfinite().all()):
            limit = torch.finfo(dtype).max * torch.finfo(scale.dtype).max
            raise Overflow(float(largest.amax()), limit)
        step = scale.to(torch.float32)
        codes = [
            eight_bit_floats(weight[rows] / self._spread(step, tuple(weight.shape), rows), dtype)
            for rows in in_slices(weight)
        ]
        return {"weight": torch.cat(codes), part.name: scale.view(part.shape)}

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        import torch

        rows, columns = self.block(shape)
        grid = (-(-shape[0] // rows), -(-shape[1] // columns))
        step = parts[self.scale_name].to(torch.float32).view(grid)
        found = torch.empty(shape, dtype=torch.float32, device=step.device)
        for some in in_slices(found):
            codes = as_float32(parts["weight"][some])
            torch.mul(codes, self._spread(step, shape, some), out=found[some])
        return found

    def _largest(self, weight: Tensor) -> Tensor:
        """The largest magnitude in each block."""
        import torch

        rows, columns = self.block(tuple(weight.shape))
        found = []
        for some in in_slices(weight, rows):
            part = weight[some]
            ragged = (0, -part.shape[1] % columns, 0, -part.shape[0] % rows)
            whole = torch.nn.functional.pad(part, ragged) if any(ragged) else part
            # (blocks down, rows, blocks across, columns)
            blocks = whole.reshape(len(whole) // rows, rows, -1, columns)
            found.append(torch.maximum(-blocks.amin((1, 3)), blocks.amax((1, 3))))
        return torch.cat(found)

    def _spread(self, step: Tensor, shape: tuple[int, ...], some: slice) -> Tensor:
        """The scales of some rows, (rows, in) or (rows, 1)."""
        import torch

        rows, columns = self.block(shape)
        band = torch.arange(some.start, some.stop, device=step.device) // rows
        if step.shape[1] == 1:
            return step[band]
        return step[band].repeat_interleave(columns, 1)[:, : shape[1]]


@dataclass(frozen=True, slots=True)
class Float8(_Float8):
    """E4M3 as compressed-tensors stores it: one scale, or one for each row or block."""

    strategy: str = "row"
    """"tensor", "row" or "block"."""
    scale_dtype: str = "BF16"

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for strategy in ("tensor", "row", "block"):
            for dtype in DTYPE_NAMES:
                yield cls(strategy, dtype)

    @property
    @override
    def name(self) -> str:
        suffix = "" if self.scale_dtype == "BF16" else f"-{DTYPE_NAMES[self.scale_dtype]}"
        return f"fp8-{self.strategy}{suffix}"

    @property
    @override
    def scales(self) -> str:
        return self.scale_dtype

    @override
    def block(self, shape: tuple[int, ...]) -> tuple[int, int]:
        if self.strategy == "tensor":
            return shape[0], shape[1]
        return (_BLOCK, _BLOCK) if self.strategy == "block" else (1, shape[1])

    def encode_among(self, weight: Tensor, largest: float) -> dict[str, Tensor]:
        """Encode with the scale of several weights that a runtime joins (q, k and v; gate and up).

        Args:
            weight: One of them.
            largest: The largest magnitude in all of them; used where one scale is stored.
        """
        import torch

        largest_of(weight)
        if self.strategy != "tensor":
            return self.encode(weight)
        return self._encode(weight, torch.full((1, 1), largest, device=weight.device))


@dataclass(frozen=True, slots=True)
class BlockFloat8(_Float8):
    """Blocks of 128 x 128 as DeepSeek publishes them and transformers calls "fp8"."""

    e5m2: bool = False
    """Whether numbers have the wider range and the fewer digits; an experiment: vLLM reads E4M3."""

    scale_name: ClassVar[str] = "weight_scale_inv"

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        yield cls()
        yield cls(e5m2=True)

    @property
    @override
    def name(self) -> str:
        return "fp8-deepseek-e5m2" if self.e5m2 else "fp8-deepseek"

    @property
    @override
    def kind(self) -> str:
        return "F8_E5M2" if self.e5m2 else "F8_E4M3"

    @override
    def block(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return _BLOCK, _BLOCK


@dataclass(frozen=True, slots=True)
class FbgemmFloat8(_Float8):
    """A float32 scale for each row, as FBGEMM multiplies them ("fbgemm_fp8")."""

    @property
    @override
    def name(self) -> str:
        return "fp8-fbgemm"

    @override
    def block(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return 1, shape[1]

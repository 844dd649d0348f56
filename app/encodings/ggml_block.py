"""Blocks with two implementations: compiled kernels on the processor, torch everywhere else.

Both follow the same algorithm and are held to each other by the tests. The simple encodings give
the same bytes on every device; where a search is involved (the K encodings), fused arithmetic may
tip a choice between two grids that are equally good.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.encodings.base import Block, NotFinite, Overflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

SLICE = 2**22
"""Weights at a time on a device: its temporaries take about 16 times as many floats."""


class GgmlBlock(Block):
    """A block encoding; subclasses name their kernels and their torch functions."""

    largest: ClassVar[float]
    """About the largest weight that its float16 scales can hold."""

    @abstractmethod
    def encode_kernel(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32],
        out: NDArray[np.uint8],
    ) -> int:
        """Encode on the processor.

        Args:
            weights: Whole rows, flat.
            importance: One number a column, positive, with a mean of 1; empty: all count alike.
            out: The blocks, flat.

        Returns:
            The flags of `app.encodings.kernels`.
        """

    @abstractmethod
    def decode_kernel(self, blocks: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """Decode flat `blocks` on the processor."""

    @abstractmethod
    def encode_torch(self, weight: Tensor, importance: Tensor | None) -> Tensor:
        """Encode (n, block) weights to (n, block_bytes) on any device.

        `importance` is (n, block), positive, with a mean of about 1 a row; or None. Scales beyond
        float16 become infinite.
        """

    @abstractmethod
    def decode_torch(self, blocks: Tensor) -> Tensor:
        """Decode (n, block_bytes) to (n, block) on any device."""

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        """Store `weight`; see the base class.

        Raises:
            NotFinite: A weight is NaN or infinite.
            Overflow: A block needs a scale beyond float16's range.
            ValueError: `importance` is not one usable number a column.
        """
        import torch

        (part,) = self.layout(tuple(weight.shape))
        if not part.nbytes:
            return {part.name: weight.new_empty(part.shape, dtype=torch.uint8)}
        flat = weight.detach().contiguous().view(-1)
        columns = usable(importance, weight.shape[-1])
        encode = self._encode_here if flat.device.type == "cpu" else self._encode_there
        return {part.name: encode(flat, columns).view(part.shape)}

    def _encode_here(self, flat: Tensor, importance: Tensor | None) -> Tensor:
        import torch

        from app.encodings.kernels import NOT_FINITE

        blocks = torch.empty(self.nbytes(tuple(flat.shape)), dtype=torch.uint8)
        columns = torch.empty(0) if importance is None else importance
        faults = self.encode_kernel(flat.numpy(), columns.numpy(), blocks.numpy())
        if faults & NOT_FINITE:
            raise NotFinite
        if faults:
            raise Overflow(float(flat.abs().amax()), self.largest)
        return blocks

    def _encode_there(self, flat: Tensor, importance: Tensor | None) -> Tensor:
        import torch

        done = []
        columns = None if importance is None else importance.view(-1, self.block)
        for some, first in _in_slices(flat.view(-1, self.block), SLICE // self.block):
            if not bool(torch.isfinite(some).all()):
                raise NotFinite
            these = None
            if columns is not None:
                numbers = torch.arange(first, first + len(some), device=flat.device)
                these = columns[numbers % len(columns)]
            blocks = self.encode_torch(some, these)
            # An infinite scale shows in what it decodes to: infinity, or NaN where a code is 0.
            if not bool(torch.isfinite(self.decode_torch(blocks)).all()):
                raise Overflow(float(some.abs().amax()), self.largest)
            done.append(blocks)
        return torch.cat(done)

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        import torch

        blocks = parts["blocks"].contiguous().view(-1)
        if blocks.device.type == "cpu":
            weight = torch.empty(shape, dtype=torch.float32)
            self.decode_kernel(blocks.numpy(), weight.view(-1).numpy())
            return weight
        slices = torch.split(blocks.view(-1, self.block_bytes), SLICE // self.block)
        return torch.cat([self.decode_torch(some) for some in slices]).view(shape)


def usable(importance: Tensor | None, columns: int) -> Tensor | None:
    """Importances as the kernels take them: positive, with a mean of 1; None where all are 0.

    Columns that no calibration text reached are given a thousandth of the mean, so that their
    weights are still rounded sensibly.

    Raises:
        ValueError: It is not one finite number a column, or one is negative.
    """
    if importance is None:
        return None
    if tuple(importance.shape) != (columns,):
        raise ValueError(f"{columns} columns, but importance of {tuple(importance.shape)}")
    if not bool(importance.isfinite().all()) or bool((importance < 0).any()):
        raise ValueError("importance is negative or not a number")
    mean = importance.double().mean()
    if not mean > 0:
        return None
    relative = (importance.double() / mean).clamp(min=1e-3)
    return (relative / relative.mean()).float()


def _in_slices(blocks: Tensor, size: int) -> Iterator[tuple[Tensor, int]]:
    """Slices of at most `size` blocks, each with the number of its first block."""
    for first in range(0, len(blocks), size):
        yield blocks[first : first + size], first

"""Quantizes slices on a device, and falls back when its memory is too small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.encodings.base import Encoding
from app.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor


class Encoder:
    """Applies a method on one device. Thread-safe.

    When the device's memory runs out, the slice is halved, down to one row; a row that
    still does not fit is quantized on the processor. The job goes on, and says so.
    """

    def __init__(self, method: Method, device: str) -> None:
        self._method = method
        self._device = device
        self._notes: list[str] = []
        self._warned = False

    def encode(self, weight: Tensor, encoding: Encoding) -> memoryview:
        """The bytes of float32 `weight` (rows, row length) on the host.

        Raises:
            EncodeError: The weights cannot be stored in this encoding.
        """
        import torch

        try:
            parts = self._method.quantize(weight.to(self._device), encoding)
            (blocks,) = parts.values()
            return blocks.contiguous().cpu().flatten().numpy().data
        except torch.OutOfMemoryError:
            self._warn()
        if len(weight) > 1:
            middle = len(weight) // 2
            halves = (
                self.encode(weight[:middle], encoding),
                self.encode(weight[middle:], encoding),
            )
            return memoryview(b"".join(halves))
        return Encoder(self._method, "cpu").encode(weight, encoding)

    def notes(self) -> list[str]:
        """What the user should know, each said once."""
        notes, self._notes = self._notes, []
        return notes

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            self._notes.append(
                f"The memory of {self._device} was too small for a slice: "
                "smaller slices are used, and the processor where they do not help."
            )

"""Quantizes slices on a device, and falls back when its memory is too small."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from app.encodings.base import Encoding
from app.encodings.folder import FolderEncoding, in_file_order
from app.formats.slices import SLICE_WEIGHTS
from app.methods.base import Method, Statistics

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_DEVICE_SLICE_WEIGHTS = 4 * SLICE_WEIGHTS  # a device needs more at a time to be busy
_ON_DEVICE = 2  # slices at a time: one computes while another is copied


@dataclass(frozen=True, slots=True)
class Manner:
    """How weights are to be quantized."""

    method: Method
    encoding: Encoding
    known: Statistics | Tensor | None = None
    """What is known of the inputs, or a tensor for their importance alone, (in,)."""


class Encoder:
    """Quantizes on one device. Thread-safe.

    When the device's memory runs out, the slice is halved, down to one row; a row that
    still does not fit, or a matrix that has to stay whole, is quantized on the processor.
    The job goes on, and says so.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._notes: list[str] = []
        self._warned = False
        self._room: AbstractContextManager[object] = nullcontext()
        self.slice_weights = SLICE_WEIGHTS
        if device != "cpu":
            self._room = BoundedSemaphore(_ON_DEVICE)
            self.slice_weights = _DEVICE_SLICE_WEIGHTS

    def encode(self, weight: Tensor, manner: Manner) -> memoryview:
        """The bytes of float32 `weight` (rows, row length) on the host, part by part.

        Raises:
            EncodeError: The weights cannot be stored in this encoding.
        """
        try:
            with self._room:
                return self._encode(weight, manner)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not self._is_out_of_memory(error):
                raise
            self._warn()
        if len(weight) > 1 and not isinstance(manner.encoding, FolderEncoding):
            middle = len(weight) // 2
            halves = (self.encode(weight[:middle], manner), self.encode(weight[middle:], manner))
            return memoryview(b"".join(halves))
        known = manner.known.on("cpu") if isinstance(manner.known, Statistics) else manner.known
        return Encoder("cpu").encode(weight, replace(manner, known=known))

    def lend(self, known: Statistics) -> Statistics:
        """The same where quantizing is done: on the device, or on the host if that is too full."""
        try:
            return known.on(self._device)
        except RuntimeError as error:
            if not self._is_out_of_memory(error):
                raise
        self._warn()
        return known

    def notes(self) -> list[str]:
        """What the user should know, each said once."""
        notes, self._notes = self._notes, []
        return notes

    def _encode(self, weight: Tensor, manner: Manner) -> memoryview:
        device: torch.device | str = self._device
        known = manner.known
        if isinstance(known, Statistics):
            device = known.device or device
        elif known is not None:
            known = known.to(device)
        parts = manner.method.quantize(weight.to(device), manner.encoding, known)
        order = in_file_order(manner.encoding.layout(tuple(weight.shape)))
        pieces = [_bytes(parts[part.name]) for part in order]
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))

    def _is_out_of_memory(self, error: RuntimeError) -> bool:
        import torch

        if isinstance(error, torch.OutOfMemoryError):
            return True
        return self._device != "cpu" and "out of memory" in str(error)  # MPS, XPU

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            self._notes.append(
                f"The memory of {self._device} was too small for a slice: "
                "smaller slices are used, and the processor where they do not help."
            )


def _bytes(part: Tensor) -> memoryview:
    import torch

    return part.cpu().contiguous().flatten().view(torch.uint8).numpy().data

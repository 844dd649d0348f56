"""The contract every quantization method keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from app.encodings.base import Encoding

if TYPE_CHECKING:
    from torch import Tensor


class Method(ABC):
    """Chooses the numbers of a quantized weight; leaves their bytes to the encoding."""

    name: ClassVar[str]

    @abstractmethod
    def fits(self, encoding: Encoding) -> bool:
        """Whether this method can fill `encoding`."""

    @abstractmethod
    def quantize(
        self, weight: Tensor, encoding: Encoding, importance: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Quantize float32 `weight` (..., in) into the parts of `encoding.layout`.

        `importance` is (in,), what a squared error in each column counts; see `Encoding.encode`.
        """

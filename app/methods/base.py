"""The contracts of quantization methods: what they are told, and what they choose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

from app.core.errors import Unsupported
from app.encodings.base import Encoding

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_JUDGED = 256
"""Rows of a matrix that stand for all of them."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of the inputs x of a matrix; float32, None where it was not gathered."""

    importance: Tensor | None = None
    """Mean x^2 of each column, (in,), or another measure of what an error there counts."""
    second_moment: Tensor | None = None
    """The sum of x x^T, (in, in), or any multiple of it."""
    absmax: Tensor | None = None
    """The largest |x| of each column, (in,)."""
    mean_abs: Tensor | None = None
    """Mean |x| of each column, (in,)."""
    samples: Tensor | None = None
    """Some of the inputs, (tokens, in), scaled so that sums of their squares are about those of all
    of them."""

    def on(self, device: object) -> Statistics:
        """The same on a device."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        moved = {name: None if some is None else some.to(device) for name, some in found.items()}
        return replace(self, **moved)

    @property
    def device(self) -> torch.device | None:
        """Where they lie; None if nothing is known."""
        found = (getattr(self, one.name) for one in fields(self))
        return next((some.device for some in found if some is not None), None)

    def scaled(self, factors: Tensor) -> Statistics:
        """Of the inputs divided by `factors`, (in,), on the same device."""

        def divided(value: Tensor | None, by: Tensor) -> Tensor | None:
            return None if value is None else value / by

        return Statistics(
            importance=divided(self.importance, factors.square()),
            second_moment=divided(self.second_moment, factors[:, None] * factors),
            absmax=divided(self.absmax, factors),
            mean_abs=divided(self.mean_abs, factors),
            samples=divided(self.samples, factors),
        )

    def require(self, names: frozenset[str], reader: str) -> None:
        """Check that the fields called `names` are there.

        Raises:
            Unsupported: One is not.
        """
        missing = sorted(name for name in names if getattr(self, name) is None)
        if missing:
            raise Unsupported(
                "This method needs to see the model at work first.",
                "Choose a text to calibrate with, or a method that needs none.",
                f"{reader} lacks: {', '.join(missing)}",
            )


class Method(ABC):
    """Chooses the numbers of a quantized weight; leaves their bytes to the encoding."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Statistics` without which it cannot work."""

    @property
    def sees_quantized(self) -> bool:
        """Whether the inputs that it is told of are those behind layers quantized already."""
        return False

    @abstractmethod
    def fits(self, encoding: Encoding) -> bool:
        """Whether this method can fill `encoding`."""

    def quantize(
        self, weight: Tensor, encoding: Encoding, known: Statistics | Tensor | None = None
    ) -> dict[str, Tensor]:
        """Quantize float32 `weight` (..., in) into the parts of `encoding.layout`.

        Args:
            weight: Any device; not changed.
            encoding: One that fits.
            known: What is known of the inputs, on the weight's device; a tensor stands for the
                importance alone, see `Encoding.encode`.

        Raises:
            Unsupported: Something that the method needs is not known.
        """
        statistics = known if isinstance(known, Statistics) else Statistics(importance=known)
        statistics.require(self.needs, self.name)
        return self.choose(weight, encoding, statistics)

    @abstractmethod
    def choose(
        self, weight: Tensor, encoding: Encoding, statistics: Statistics
    ) -> dict[str, Tensor]:
        """`quantize`, with everything in `needs` given."""


class Smoothing(ABC):
    """Chooses factors between a layer's inputs and its weights: W x = (W s) (x / s).

    Weights are multiplied by the factors, and whatever makes the inputs is divided by them; the
    layer computes the same, and loses less when it is quantized. Where the division is folded
    is the caller's business.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Statistics` without which it cannot work."""

    def factors(
        self, weights: Sequence[Tensor], encoding: Encoding, statistics: Statistics
    ) -> Tensor:
        """Factors of the columns, (in,), positive, float32.

        Args:
            weights: All matrices that share the inputs, each (out, in), float32, not changed.
            encoding: What they will be stored in.
            statistics: Of their inputs, on the weights' device.

        Raises:
            Unsupported: Something that the method needs is not known.
        """
        statistics.require(self.needs, self.name)
        return self.search(weights, encoding, statistics)

    @abstractmethod
    def loss(
        self,
        weights: Sequence[Tensor],
        factors: Tensor,
        encoding: Encoding,
        statistics: Statistics,
    ) -> float:
        """What the samples' outputs lose with these factors; factors of 1 are none."""

    @abstractmethod
    def search(
        self, weights: Sequence[Tensor], encoding: Encoding, statistics: Statistics
    ) -> Tensor:
        """`factors`, with everything in `needs` given."""


def some_rows(weight: Tensor) -> Tensor:
    """Rows of a weight, (rows, in), by which choices for all of them are judged.

    Spread over the whole, and a round number where not all: some encodings hold no other.
    """
    step = max(1, len(weight) // _JUDGED)
    return weight[: step * _JUDGED : step].contiguous()

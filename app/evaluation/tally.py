"""Predictions of two models compared a part of the vocabulary at a time.

With z and w the logits of the source and of the result, and p = softmax(z), all that is asked for
follows from sums over the vocabulary that can be added up part by part:

    KL(p || q) = sum p (z - w) - (log sum exp z - log sum exp w)

The sums of exponentials are kept relative to the largest logit so far, as Milakov and Gimelshein
do, "Online normalizer calculation for softmax", arXiv:1805.02867.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """What is kept of one part of the vocabulary, (positions,) each, float32."""

    top: Tensor
    """Largest logit of the source."""
    top_token: Tensor
    exponentials: Tensor
    """Sum of exp(z - top)."""
    differences: Tensor
    """Sum of exp(z - top) (z - w)."""
    result_top: Tensor
    result_top_token: Tensor
    result_exponentials: Tensor
    wanted: Tensor
    """Logit of the token that follows, where it is in this part; else 0."""
    result_wanted: Tensor

    @classmethod
    def of(cls, source: Tensor, result: Tensor, following: Tensor, first: int) -> Part:
        """Reduce logits.

        Args:
            source: (positions, part of the vocabulary), float32; overwritten.
            result: The same of the other model; overwritten.
            following: The token that follows each position, (positions,).
            first: Number of the part's first token.
        """
        import torch

        place = following - first
        here = (place >= 0) & (place < source.shape[1])
        place = place.clamp(0, source.shape[1] - 1)[:, None]
        wanted, result_wanted = (
            torch.where(here, logits.gather(1, place)[:, 0], 0.0) for logits in (source, result)
        )
        top, top_token = source.max(-1)
        result_top, result_top_token = result.max(-1)
        differences = source - result
        exponentials = source.sub_(top[:, None]).exp_()
        return cls(
            top,
            top_token + first,
            exponentials.sum(-1),
            differences.mul_(exponentials).sum(-1),
            result_top,
            result_top_token + first,
            result.sub_(result_top[:, None]).exp_().sum(-1),
            wanted,
            result_wanted,
        )


class Tally:
    """The sums of all parts so far, float64 on the host.

    Args:
        positions: How many there are.
    """

    def __init__(self, positions: int) -> None:
        import torch

        def filled(value: float) -> Tensor:
            return torch.full((positions,), value, dtype=torch.float64)

        self._top, self._result_top = filled(-torch.inf), filled(-torch.inf)
        self._token, self._result_token = filled(-1).long(), filled(-2).long()
        self._sum, self._result_sum = filled(0), filled(0)
        self._differences = filled(0)
        self._wanted, self._result_wanted = filled(0), filled(0)

    def add(self, start: int, stop: int, part: Part) -> None:
        """Take in one part of the vocabulary for positions `start` to `stop`."""
        import torch

        at = slice(start, stop)
        top, grown = _merged(self._top[at], part.top)
        old, new = (self._top[at] - grown).exp(), (top - grown).exp()
        self._sum[at] = self._sum[at] * old + part.exponentials.cpu().double() * new
        self._differences[at] = self._differences[at] * old + part.differences.cpu().double() * new
        better = top > self._top[at]
        self._token[at] = torch.where(better, part.top_token.cpu(), self._token[at])
        self._top[at] = grown
        top, grown = _merged(self._result_top[at], part.result_top)
        old, new = (self._result_top[at] - grown).exp(), (top - grown).exp()
        summed = part.result_exponentials.cpu().double()
        self._result_sum[at] = self._result_sum[at] * old + summed * new
        better = top > self._result_top[at]
        tokens = part.result_top_token.cpu()
        self._result_token[at] = torch.where(better, tokens, self._result_token[at])
        self._result_top[at] = grown
        self._wanted[at] += part.wanted.cpu().double()
        self._result_wanted[at] += part.result_wanted.cpu().double()

    @property
    def loss_before(self) -> Tensor:
        """-log p(the next token) of the source, in nats."""
        return self._normalizer - self._wanted

    @property
    def loss_after(self) -> Tensor:
        """The same of the result."""
        return self._result_normalizer - self._result_wanted

    @property
    def kl(self) -> Tensor:
        """KL(source || result), in nats."""
        mean = self._differences / self._sum
        # It is never below zero, but by rounding.
        return (mean - (self._normalizer - self._result_normalizer)).clamp(min=0)

    @property
    def same_top(self) -> Tensor:
        """1 where both models put the same token first."""
        return (self._token == self._result_token).double()

    @property
    def _normalizer(self) -> Tensor:
        return self._top + self._sum.log()

    @property
    def _result_normalizer(self) -> Tensor:
        return self._result_top + self._result_sum.log()


def _merged(known: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """The new largest logits on the host, and the largest of all."""
    import torch

    new = found.cpu().double()
    return new, torch.maximum(known, new)

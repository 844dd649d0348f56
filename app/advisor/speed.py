"""How fast a placed model writes: the time to read what each token needs from its memory.

Writing is bound by memory: every weight in use and the whole cache are read for each token,
place after place. Programs reach a share of the bandwidth, the processor a smaller one, and
each layer costs a little for starting its work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.advisor.placement import Share


@dataclass(frozen=True, slots=True)
class _Pace:
    share: float
    """Of the bandwidth that is reached."""
    start: float
    """Seconds for starting each layer's work."""


_CARD = _Pace(0.5, 6e-5), _Pace(0.9, 1e-5)
_PROCESSOR = _Pace(0.3, 4e-4), _Pace(0.8, 2e-5)
_TOKEN_SECONDS = 0.0005  # of taking up work in a place, whatever the model


def tokens_per_second(shares: Sequence[Share]) -> tuple[float, float] | None:
    """Slow with a full context, fast with an empty one; None where a bandwidth is not known."""
    working = [share for share in shares if share.read + share.cache > 0]
    if not working or any(share.place.bandwidth <= 0 for share in working):
        return None
    slow = fast = 0.0
    for share in working:
        slowest, fastest = _PROCESSOR if share.place.backend == "cpu" else _CARD
        slow += _seconds(share, slowest, share.read + share.cache)
        fast += _seconds(share, fastest, share.read)
    return 1 / slow, 1 / fast


def _seconds(share: Share, pace: _Pace, nbytes: float) -> float:
    reading = nbytes / share.place.bandwidth / pace.share
    return reading + share.layers * pace.start + _TOKEN_SECONDS

"""How fast a placed model writes: the time to read what each token needs from its memory.

Writing is bound by memory: every weight in use and the whole cache are read for each
token, place after place. Programs reach between half and nine tenths of the bandwidth.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.advisor.placement import Share

_SLOW, _FAST = 0.5, 0.9
_TOKEN_SECONDS = 0.0005  # of starting work on a device, whatever the model


def tokens_per_second(shares: Sequence[Share]) -> tuple[float, float] | None:
    """Slow with a full context, fast with an empty one; None where a bandwidth is not known."""
    working = [share for share in shares if share.read + share.cache > 0]
    if not working or any(share.place.bandwidth <= 0 for share in working):
        return None
    start = _TOKEN_SECONDS * len(working)
    slow = sum((share.read + share.cache) / share.place.bandwidth for share in working)
    fast = sum(share.read / share.place.bandwidth for share in working)
    return 1 / (slow / _SLOW + start), 1 / (fast / _FAST + start)

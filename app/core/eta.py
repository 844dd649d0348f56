"""How long a job will still take, from the share of it that is done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_WINDOW = 30.0  # seconds of history that the speed is taken from
_GAP = 20.0  # silence longer than this is a sleeping computer, not slow work
_SETTLE = 2.0  # seconds and share before anything is said
_LEAST = 0.01


class Estimator:
    """Watches one job. The clock is monotonic, so a changed wall clock changes nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()
        self._asleep = 0.0
        self._last = 0.0

    def put(self, overall: float) -> None:
        """Note that `overall` (0 to 1) of the work is done now."""
        now = self._clock()
        if self._seen and now - self._last > _GAP:
            self._asleep += now - self._last
        self._last = now
        at = now - self._asleep
        if self._seen and overall < self._seen[-1][1]:  # started over
            self._seen.clear()
        self._seen.append((at, overall))
        while len(self._seen) > 2 and self._seen[1][0] <= at - _WINDOW:
            self._seen.popleft()

    def remaining(self) -> float | None:
        """Seconds that are left; None while it is too early to say."""
        if len(self._seen) < 2:
            return None
        (start, before), (stop, after) = self._seen[0], self._seen[-1]
        if stop - start < _SETTLE or after - before < _LEAST:
            return None
        at_rest = min(self._clock() - self._last, _GAP)  # counts down between two reports
        return max(0.0, (1 - after) * (stop - start) / (after - before) - at_rest)

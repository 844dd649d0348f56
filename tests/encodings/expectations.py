"""What each encoding is held to. One that is not named here has a search of its own.

A search must not lose to that of ggml, neither with importances nor without.
"""

from __future__ import annotations

from app.encodings import ENCODINGS

FLOATS = {"F32", "F16", "BF16"}

SAME_WITHOUT = FLOATS | {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q1_0"}
"""Encodings whose bytes are those of ggml where no importances are given."""

SAME_WITH = FLOATS | {"Q8_0"}
"""Encodings that do not look at importances, as ggml does not."""

NOT_IN_GGUF = {"Q1_0", "Q2_0"}
"""Types that the package gguf cannot decode."""

SEARCHED_WITHOUT = sorted(ENCODINGS.keys() - SAME_WITHOUT)
SEARCHED_WITH = sorted(ENCODINGS.keys() - SAME_WITH)

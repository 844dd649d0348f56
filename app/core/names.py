"""File names made from names that come from outside."""

from __future__ import annotations

import re

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 150


def safe_name(text: str) -> str:
    """`text` as one plain file name that every system accepts, never a path."""
    kept = re.sub(r"[^\w.\-+ ]+", "-", text).strip(" .-") or "model"
    kept = kept[:_LONGEST].rstrip(" .-")
    return f"_{kept}" if _RESERVED.fullmatch(kept) else kept


def result_name(model: str, preset: str, extension: str) -> str:
    """The usual name of a result: "Qwen3-8B-Q4_K_M.gguf"."""
    return f"{safe_name(model)}-{preset}{extension}"

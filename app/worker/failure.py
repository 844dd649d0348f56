"""Turns whatever ended a job into words for the user."""

from __future__ import annotations

import errno
import traceback

from app.core.errors import AppError
from app.core.events import Failed
from app.core.redaction import redact


def describe(error: BaseException) -> Failed:
    """What happened and what to do, with the technical text as details."""
    details = redact("".join(traceback.format_exception(error)))
    kind = type(error).__name__
    match error:
        case AppError():
            return Failed(kind, error.title, error.hint, redact(error.details) or details)
        case MemoryError():
            return Failed(
                kind,
                "There is not enough memory for this job.",
                "Close other programs, or use fewer threads.",
                details,
            )
        case OSError() if error.errno == errno.ENOSPC:
            return Failed(
                kind, "The disk is full.", "Free some space, then start the job again.", details
            )
        case OSError():
            where = f" ({error.filename})" if error.filename else ""
            return Failed(
                kind,
                f"A file could not be read or written{where}: {error.strerror or error}.",
                "Check that the disk is connected and that you may use the folder, then try again.",
                details,
            )
        case ImportError():
            return Failed(
                kind,
                f"A part of this installation is missing or damaged: {error.name or error}.",
                "Install Nibble again.",
                details,
            )
    return Failed(
        kind,
        "Nibble made a mistake and had to stop this job.",
        "Nothing was lost. Please report it with the details below.",
        details,
    )

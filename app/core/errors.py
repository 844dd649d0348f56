"""Errors written for the person in front of the screen."""

from __future__ import annotations


class AppError(Exception):
    """Something went wrong that the user can understand and act on.

    Args:
        title: What happened, in one sentence without jargon.
        hint: What to do about it; may be empty.
        details: The technical text, shown on demand only.
    """

    def __init__(self, title: str, hint: str = "", details: str = "") -> None:
        super().__init__(title)
        self.title = title
        self.hint = hint
        self.details = details


class BadModelFile(AppError):
    """A checkpoint, config or tokenizer file is damaged or not what its name says."""


class Unsupported(AppError):
    """The request is understood, but this application cannot do it (yet)."""


class NotEnoughSpace(AppError):
    """A disk or a memory is too small for the job."""

"""The contract every command keeps."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

DONE, JOB_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes. 130 is what a shell calls a program ended by Ctrl+C."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found, for people and for programs."""

    text: str
    document: Any
    """Plain values for `--json`."""
    code: int = DONE


class Command(ABC):
    """One word after `nibble`."""

    name: ClassVar[str]
    help: ClassVar[str]
    """One line."""

    def configure(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027 - most have none
        """Declare the arguments."""

    @abstractmethod
    def run(self, args: argparse.Namespace) -> Answer:
        """Do it. Progress goes to standard error.

        Raises:
            AppError: It cannot be done; becomes one clear line and exit code 1 or 2.
        """

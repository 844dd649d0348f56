"""The contract every vendor's file keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from app.core.machine import Gpu


@dataclass(frozen=True, slots=True)
class Found:
    """What one vendor's part of the computer said."""

    gpus: tuple[Gpu, ...] = ()
    problems: tuple[str, ...] = ()
    """Sentences: a card whose driver is missing or does not answer."""


class Vendor(ABC):
    """Finds one vendor's graphics cards.

    Built without arguments it asks this computer. The sources it asks can be
    handed in, so that tests replay what other computers answered.
    """

    name: ClassVar[str]

    @abstractmethod
    def probe(self) -> Found:
        """The cards and their memory now.

        Never raises, and takes milliseconds once it was called, so that free memory
        can be watched with it.
        """

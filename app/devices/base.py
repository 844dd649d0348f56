"""The contract every vendor's file keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from app.core.machine import Gpu


class Vendor(ABC):
    """Finds one vendor's graphics cards."""

    name: ClassVar[str]

    @abstractmethod
    def probe(self) -> list[Gpu]:
        """The cards with their memory; empty where there is none or no driver answers."""

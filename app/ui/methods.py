"""Which method chooses the numbers of each format that is to be made. No widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QCoreApplication

from app.core.model import FormatChoice, MethodFacts

_TITLES = {
    "nearest": "Round to nearest",
    "clipped": "Clipped rounding",
    "gptq": "GPTQ",
    "hqq": "HQQ",
    "awq": "AWQ",
    "smoothquant": "SmoothQuant",
}


def method_title(name: str) -> str:
    """What people call a method: "AWQ, then GPTQ"."""
    parts = [_TITLES.get(part, part) for part in name.split("+")]
    then = QCoreApplication.translate("Methods", "{}, then {}")
    return then.format(*parts) if len(parts) == 2 else parts[0]


@dataclass(frozen=True, slots=True)
class ChosenMethods:
    """A wish, and what it comes to for each format: not every method suits every format."""

    choices: Sequence[FormatChoice] = ()
    """The formats that are to be made."""
    known: Mapping[str, MethodFacts] = field(default_factory=dict)
    """All methods there are, by name."""
    wish: str = ""
    """The user's; "" for each format's own."""

    def name_for(self, choice: FormatChoice) -> str:
        """The method that a format gets."""
        return self.wish if self.wish in choice.methods else choice.method

    @property
    def usual(self) -> str:
        """The own method of all formats; "" where they differ."""
        names = {choice.method for choice in self.choices}
        return names.pop() if len(names) == 1 else ""

    @property
    def common(self) -> str:
        """The wish where it suits a format, else the own method of all; "" where they differ."""
        suits = any(self.wish in choice.methods for choice in self.choices)
        return self.wish if suits else self.usual

    @property
    def facts(self) -> MethodFacts | None:
        """What is known of the common one."""
        return self.known.get(self.common)

    @property
    def unsuited(self) -> tuple[FormatChoice, ...]:
        """The formats that keep their own method although another one is chosen."""
        return tuple(one for one in self.choices if self.common and not self._has_common(one))

    @property
    def offered(self) -> tuple[str, ...]:
        """What suits one of the formats; nothing where no format leaves a choice."""
        if all(len(choice.methods) < 2 for choice in self.choices):
            return ()
        return tuple(dict.fromkeys(name for one in self.choices for name in one.methods))

    @property
    def weighed(self) -> tuple[FormatChoice, ...]:
        """The formats that an importance matrix counts for.

        What sees the model at work knows better than a matrix what errors count.
        """
        return tuple(
            one for one in self.choices if one.needs_importance or not self._is_calibrated(one)
        )

    @property
    def is_shown_text(self) -> bool:
        """Whether the model is seen at work for one of the formats."""
        return any(one.is_shown_text or self._is_calibrated(one) for one in self.choices)

    def _has_common(self, choice: FormatChoice) -> bool:
        return self.name_for(choice) == self.common

    def _is_calibrated(self, choice: FormatChoice) -> bool:
        method = self.known.get(self.name_for(choice))
        return method is not None and method.is_calibrated

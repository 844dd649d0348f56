"""How the numbers of a result are chosen: at few bits, what matters most beside their count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QCoreApplication, Slot
from PySide6.QtWidgets import QWidget

from app.core.model import FormatChoice, MethodFacts
from app.ui import phrases
from app.ui.methods import ChosenMethods, method_title
from app.ui.recommend import has_few_bits
from app.ui.widgets.explained_list import ExplainedList

_PLAIN, _BETTER = "nearest", "gptq"
"""What most formats come with, and what loses less where bits are few."""


class MethodChoice(ExplainedList):
    """One choice for all formats that it suits; out of sight where there is nothing to choose."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(QCoreApplication.translate("MethodChoice", "Method"), parent)
        self.chosen = ChosenMethods()
        self.list.activated.connect(self._on_activated)
        self._refresh()

    def set_methods(self, known: Sequence[MethodFacts]) -> None:
        """Another model: these are all methods there are, and nothing is chosen for it."""
        self.chosen = ChosenMethods(known={method.name: method for method in known})
        self._refresh()

    def show_formats(self, choices: Sequence[FormatChoice]) -> None:
        """Be about the formats that are to be made."""
        self.chosen = replace(self.chosen, choices=choices)
        self._refresh()

    def choose(self, name: str) -> None:
        """Take a method, as the user does; "" for each format's own."""
        if name != self.chosen.wish:
            self.chosen = replace(self.chosen, wish=name)
            self._refresh()
            self.changed.emit()

    def _refresh(self) -> None:
        usual, offered = self.chosen.usual, self.chosen.offered
        self.setVisible(bool(offered))
        self.list.clear()
        own = self.tr("{} (usual)").format(method_title(usual))
        self.list.addItem(own if usual else self.tr("As each format says"), "")
        for name in offered:
            if name != usual:
                self.list.addItem(method_title(name), name)
        self.list.setCurrentIndex(max(0, self.list.findData(self.chosen.common)))
        self.explain(" ".join(self._sentences()))

    def _sentences(self) -> list[str]:
        facts = self.chosen.facts
        said = [facts.summary] if facts else self._own_methods()
        if facts and facts.is_calibrated:
            said.append(self.tr("Its text is chosen under Advanced."))
        if unsuited := self.chosen.unsuited:
            stays = self.tr("It does not suit {}; there the usual method stays.")
            said.append(stays.format(phrases.formats(unsuited)))
        if better := [one for one in self.chosen.choices if self._would_gain(one)]:
            gain = self.tr(
                "{} would lose clearly less with GPTQ, at the same size: it reads a text first, "
                "which takes longer."
            )
            said.append(gain.format(phrases.formats(better)))
        return said

    def _own_methods(self) -> list[str]:
        """The formats, by the methods that are their own."""
        made: dict[str, list[FormatChoice]] = {}
        for choice in self.chosen.choices:
            made.setdefault(self.chosen.name_for(choice), []).append(choice)
        return [f"{phrases.formats(group)}: {method_title(name)}." for name, group in made.items()]

    def _would_gain(self, choice: FormatChoice) -> bool:
        is_plain = self.chosen.name_for(choice) == _PLAIN
        return is_plain and _BETTER in choice.methods and has_few_bits(choice)

    @Slot(int)
    def _on_activated(self, place: int) -> None:
        self.choose(str(self.list.itemData(place)))

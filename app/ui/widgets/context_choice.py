"""How much text a model should keep in mind."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QComboBox, QWidget

from app.ui.preferences import Preferences

_USUAL = (2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072)


class ContextChoice(QComboBox):
    """Follows the preference and changes it, so that every page assumes the same."""

    def __init__(self, preferences: Preferences, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._preferences = preferences
        self._most = 0
        self.setAccessibleName(self.tr("Context"))
        self.setToolTip(
            self.tr(
                "How much text the model keeps in mind, in tokens. A token is most of a word; "
                "8,192 are about 15 pages. More takes more memory."
            )
        )
        self._fill()
        self.activated.connect(self._save)
        preferences.changed.connect(self._on_preference)

    def set_most(self, tokens: int) -> None:
        """Offer what the model was made for, too, and nothing beyond it; 0 when unknown."""
        self._most = tokens
        self._fill()

    def _fill(self) -> None:
        chosen = self._preferences.context
        offered = {*_USUAL, chosen}
        if self._most:
            offered = {size for size in offered if size < self._most} | {self._most}
            chosen = min(chosen, self._most)
        self.blockSignals(True)
        self.clear()
        for size in sorted(offered):
            self.addItem(f"{size:,}", size)
        self.setCurrentIndex(self.findData(chosen))
        self.blockSignals(False)

    @Slot(int)
    def _save(self, index: int) -> None:
        self._preferences.context = self.itemData(index)

    @Slot(str)
    def _on_preference(self, key: str) -> None:
        if key == "context":
            self._fill()

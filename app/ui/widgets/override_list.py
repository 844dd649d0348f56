"""Types for tensors by their names: one line a rule, with how many tensors it finds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.ui.icons import Button, IconButton
from app.ui.widgets.text import label, set_role

_COUNT_WIDTH = 110


class OverrideList(QWidget):
    """The first rule that finds a tensor counts; rules without a pattern are left out."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._types: Sequence[str] = ()
        self._names: Sequence[str] = ()
        self._rules: list[_Rule] = []
        self.add = Button(self.tr("Add a rule"), "link")
        self.add.clicked.connect(self._begin_rule)
        self._column = QVBoxLayout()
        self._column.setSpacing(6)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self._column)
        row = QHBoxLayout()
        row.addWidget(self.add)
        row.addStretch()
        layout.addLayout(row)

    @property
    def overrides(self) -> tuple[tuple[str, str], ...]:
        """As a recipe has them."""
        return tuple(rule.value for rule in self._rules if rule.value[0])

    @property
    def problem(self) -> str:
        """The first pattern that cannot be read, as a sentence; "" when all can."""
        broken = [rule.value[0] for rule in self._rules if rule.expression is None]
        return self.tr("{} is no pattern for names of tensors.").format(broken[0]) if broken else ""

    def set_types(self, types: Sequence[str]) -> None:
        """Offer these types; rules that are there keep theirs."""
        self._types = types

    def set_names(self, names: Sequence[str]) -> None:
        """Count in these tensors; none while nobody knows them."""
        self._names = names
        self._count()

    def add_rule(self, pattern: str = "", kind: str = "") -> _Rule:
        """Append a rule."""
        rule = _Rule(self._types, pattern, kind)
        rule.changed.connect(self._on_change)
        rule.removed.connect(lambda: self._remove(rule))
        self._rules.append(rule)
        self._column.addWidget(rule)
        self._on_change()
        return rule

    @Slot()
    def _begin_rule(self) -> None:
        self.add_rule().pattern.setFocus()

    def _remove(self, rule: _Rule) -> None:
        self._rules.remove(rule)
        self._column.removeWidget(rule)
        rule.hide()
        rule.deleteLater()
        self._on_change()

    def _on_change(self) -> None:
        self._count()
        self.changed.emit()

    def _count(self) -> None:
        """A tensor counts for the first rule that finds it."""
        rest = list(self._names)
        for rule in self._rules:
            expression = rule.expression
            if not rule.value[0] or not self._names or expression is None:
                rule.show_count(None)
                continue
            found = [name for name in rest if expression.search(name)]
            rule.show_count(len(found))
            rest = [name for name in rest if not expression.search(name)]


class _Rule(QWidget):
    """A part of a name, or a regular expression, and a type."""

    changed = Signal()
    removed = Signal()

    def __init__(self, types: Sequence[str], pattern: str, kind: str) -> None:
        super().__init__()
        self.pattern = QLineEdit(pattern)
        self.pattern.setPlaceholderText(self.tr("ffn_down"))
        self.pattern.setAccessibleName(self.tr("Part of the tensors' names"))
        self.kind = QComboBox()
        self.kind.addItems(list(types))
        self.kind.setCurrentText(kind or "Q8_0")
        self.kind.setMinimumWidth(110)
        self.kind.setAccessibleName(self.tr("Their type"))
        self._count = label("", "secondary")
        self._count.setFixedWidth(_COUNT_WIDTH)
        remove = IconButton("trash", self.tr("Remove this rule"))
        remove.clicked.connect(self.removed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.pattern, 1)
        row.addWidget(self.kind)
        row.addWidget(self._count)
        row.addWidget(remove)
        self.pattern.textChanged.connect(self.changed)
        self.kind.currentIndexChanged.connect(self.changed)

    @property
    def value(self) -> tuple[str, str]:
        """Pattern and type."""
        return self.pattern.text().strip(), self.kind.currentText()

    @property
    def expression(self) -> re.Pattern[str] | None:
        """The pattern, read as the recipe reads it; None where it cannot be."""
        try:
            return re.compile(self.value[0], re.IGNORECASE)
        except re.error:
            return None

    def show_count(self, number: int | None) -> None:
        """How many tensors it finds; None while nobody knows."""
        if self.expression is None:
            text = self.tr("not a pattern")
        elif number is None:
            text = ""
        else:
            text = self.tr("1 tensor") if number == 1 else self.tr("{} tensors").format(number)
        self._count.setText(text)
        set_role(self.pattern, "wrong", self.expression is None or number == 0)
        self.pattern.setAccessibleDescription(text)

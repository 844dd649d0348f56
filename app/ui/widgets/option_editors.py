"""Editors of a method's options: a switch, a number or a text for each, made of its description."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QSpinBox, QWidget

from app.core.model import OptionFacts
from app.ui.widgets.marked_grid import MarkedGrid

_AUTOMATIC, _YES, _NO = "auto", "yes", "no"
_LARGEST = 2**31 - 1


def _tr(text: str) -> str:
    return QCoreApplication.translate("MethodForm", text)


class OptionEditor:
    """One control, with its value as text; see `methods.options.Option.read`."""

    def __init__(self, option: OptionFacts, on_change: Callable[[], None]) -> None:
        self.option = option
        self.name = option.name.replace("_", " ").capitalize()
        self.control: QWidget
        if option.kind == "switch":
            self.control = self._choice(on_change) if option.optional else self._box(on_change)
        elif option.kind == "whole" and not option.optional:
            self.control = self._count(on_change)
        else:
            self.control = self._text(on_change)
        self.control.setToolTip(
            f"{option.sentence}\n{option.values[:1].upper()}{option.values[1:]}"
        )
        self.reset()

    @property
    def value(self) -> str:
        """What is chosen; the default where nothing is."""
        match self.control:
            case QCheckBox():
                return _YES if self.control.isChecked() else _NO
            case QComboBox():
                return str(self.control.currentData())
            case QSpinBox():
                return str(self.control.value())
            case QLineEdit():
                return self.control.text().strip() or self.option.default
        raise AssertionError(self.control)

    @value.setter
    def value(self, text: str) -> None:
        match self.control:
            case QCheckBox():
                self.control.setChecked(text == _YES)
            case QComboBox():
                self.control.setCurrentIndex(max(0, self.control.findData(text)))
            case QSpinBox():
                self.control.setValue(int(text))
            case QLineEdit():
                self.control.setText(text)

    @property
    def differs(self) -> bool:
        """Whether this is not the default."""
        return self.value != self.option.default

    def reset(self) -> None:
        """Back to the default."""
        self.value = self.option.default

    def _box(self, on_change: Callable[[], None]) -> QCheckBox:
        box = QCheckBox(self.name)
        box.toggled.connect(on_change)
        return box

    def _choice(self, on_change: Callable[[], None]) -> QComboBox:
        choice = QComboBox()
        for text, value in ((_tr("Automatic"), _AUTOMATIC), (_tr("Yes"), _YES), (_tr("No"), _NO)):
            choice.addItem(text, value)
        choice.currentIndexChanged.connect(on_change)
        return choice

    def _count(self, on_change: Callable[[], None]) -> QSpinBox:
        count = QSpinBox()
        least, most = self.option.least, self.option.most
        count.setRange(int(least or 0), _LARGEST if most is None else int(most))
        count.lineEdit().setTextMargins(8, 0, 0, 0)  # the stylesheet's padding does not reach it
        count.valueChanged.connect(on_change)
        return count

    def _text(self, on_change: Callable[[], None]) -> QLineEdit:
        text = QLineEdit()
        text.setPlaceholderText(self.option.default)
        text.textChanged.connect(on_change)
        return text


class OptionForm(QWidget):
    """A row for each option of a method."""

    changed = Signal()

    def __init__(self, options: Sequence[OptionFacts], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editors: dict[str, OptionEditor] = {}
        self._grid = MarkedGrid()
        self.setLayout(self._grid)
        for option in options:
            editor = OptionEditor(option, self._on_change)
            self.editors[option.name] = editor
            name = "" if isinstance(editor.control, QCheckBox) else editor.name
            self._grid.add(option.name, name, editor.control, option.sentence)

    @property
    def chosen(self) -> tuple[tuple[str, str], ...]:
        """What is not as usual, by name."""
        return tuple((name, one.value) for name, one in self.editors.items() if one.differs)

    def reset(self) -> None:
        """Everything back to its default."""
        for editor in self.editors.values():
            editor.reset()

    def _on_change(self) -> None:
        self._grid.mark({name for name, _ in self.chosen})
        self.changed.emit()

"""The list of qualities: every format that the model can have, with exact sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget
from typing_extensions import override

from app.core.fit import Fit
from app.core.model import FormatChoice
from app.ui.recommend import best_choice, shortlist
from app.ui.table import ROW_ROLE
from app.ui.widgets.format_painter import ROW_HEIGHT, FormatPainter
from app.ui.widgets.format_rows import (
    BITS,
    FIT,
    FORMAT,
    LOSS,
    QUALITY,
    SHARE,
    SIZE,
    FormatRows,
    Node,
    SizeClass,
)

_WIDTHS = {FORMAT: 214, SIZE: 80, SHARE: 104, BITS: 60, QUALITY: 194, LOSS: 116}
_NARROW = 900
"""Below this width the share, the bits and the loss are left out; tips have them."""


class FormatTable(QTreeView):
    """One row a format; ticked are those to make, and the current one is the one described.

    With one tick, the tick goes where the current row goes, so that a click is a choice. Space,
    Ctrl and a click, or a click on the box tick another one; the last tick cannot be taken away.
    """

    chosen = Signal(object)
    """FormatChoice: there is news about `choice` or `choices`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: tuple[FormatChoice, ...] = ()
        self._all = False
        self._filter = ""
        self._current = ""
        self._ticked: list[str] = []
        self._open: dict[str, bool] = {}
        self._restoring = False
        self._is_own_choice = False  # the user's, which no later news may change
        self._rows = FormatRows(self)
        self._rows.ticking.connect(self._on_ticking)
        self.setModel(self._rows)
        self._rows.modelReset.connect(self._restore)  # after the selection's own, which forgets
        self.setAccessibleName(self.tr("Qualities"))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setExpandsOnDoubleClick(False)
        self.setUniformRowHeights(True)
        self.setMouseTracking(True)
        self.setItemDelegate(FormatPainter(self))
        self.setSortingEnabled(True)
        self.sortByColumn(SIZE, Qt.SortOrder.DescendingOrder)
        self._set_widths()
        self.selectionModel().currentRowChanged.connect(self._on_current)
        self.clicked.connect(self._on_clicked)
        self.expanded.connect(lambda index: self._on_fold(index, is_open=True))
        self.collapsed.connect(lambda index: self._on_fold(index, is_open=False))

    # What is shown

    def show_choices(self, choices: tuple[FormatChoice, ...], source_bytes: int) -> None:
        """List these, and choose the recommended one."""
        self._rows.source_bytes = max(1, source_bytes)
        self._rows.fits = {}
        self._choices = choices
        self._is_own_choice = False
        self._open = {}
        self._ticked = []
        self._rows.best = best_choice(choices, {}, source_bytes)
        self._current = ""
        self._hide_columns()
        self._choose(self._rows.best)

    def show_fits(self, fits: Mapping[str, Fit]) -> None:
        """Say for each format whether it runs; choose the recommended one, unless the user has."""
        self._rows.fits = fits
        self._rows.best = best_choice(self._choices, fits, self._rows.source_bytes)
        if self._is_own_choice:
            self._refill()
        else:
            self._choose(self._rows.best)

    def show_all(self, everything: bool) -> None:
        """Show every format under its size class, or one a size class."""
        self._all = everything
        self._refill()

    def keep(self, text: str) -> None:
        """Of all formats, show those with `text` in their name or their description."""
        self._filter = text.strip().lower()
        self._refill()

    @property
    def hidden_rows(self) -> int:
        """How many formats the short list leaves out."""
        return len(self._choices) - len(self._short())

    @property
    def fits(self) -> Mapping[str, Fit]:
        """Whether formats run, by preset."""
        return self._rows.fits

    # What is chosen

    def choose(self, preset: str) -> None:
        """Choose one format only, as the user does; one that is impossible is left alone."""
        self._is_own_choice = True
        self._choose(preset)

    def tick(self, preset: str, wanted: bool = True) -> None:
        """Add a format to those to make, or take it away."""
        choice = self._find(preset)
        if choice is None or choice.problem or wanted == (preset in self._ticked):
            return
        if not wanted and len(self._ticked) == 1:
            return
        self._is_own_choice = True
        if wanted:
            self._ticked.append(preset)
            self._current = preset
        else:
            self._ticked.remove(preset)
            self._current = self._ticked[0] if len(self._ticked) == 1 else self._current
        self._refill()
        self._tell()

    def choice(self) -> FormatChoice | None:
        """The format that is described."""
        found = self._find(self._current)
        return found if found and not found.problem else None

    def choices(self) -> tuple[FormatChoice, ...]:
        """The formats to make, in the order of the list."""
        return tuple(choice for choice in self._choices if choice.preset in self._ticked)

    def _find(self, preset: str) -> FormatChoice | None:
        return next((choice for choice in self._choices if choice.preset == preset), None)

    def _choose(self, preset: str) -> None:
        choice = self._find(preset)
        if choice and not choice.problem:
            self._current, self._ticked = preset, [preset]
        self._refill()
        self._tell()

    def _tell(self) -> None:
        choice = self.choice()
        if choice is not None:
            self.chosen.emit(choice)

    # Filling

    def _short(self) -> set[str]:
        """The short list: one a size class, the recommended one in the place of its own class."""
        best = self._find(self._rows.best)
        others = (row for row in self._choices if best is None or row.group != best.group)
        found = shortlist(others) | set(self._ticked) | {self._current, self._rows.best}
        known = {choice.preset for choice in self._choices}
        return found & known or known

    def _refill(self) -> None:
        self._rows.ticked = frozenset(self._ticked)
        self._rows.set_nodes(self._nodes())

    def _nodes(self) -> Sequence[Node]:
        if not self._all:
            short = self._short()
            return [choice for choice in self._choices if choice.preset in short]
        classes: dict[str, list[FormatChoice]] = {}
        for choice in self._choices:
            if self._matches(choice):
                classes.setdefault(choice.group, []).append(choice)
        return [SizeClass(title, tuple(rows)) for title, rows in classes.items()]

    def _matches(self, choice: FormatChoice) -> bool:
        about = f"{choice.preset} {choice.group} {choice.quality} {choice.summary}".lower()
        return all(word in about for word in self._filter.split())

    @Slot()
    def _restore(self) -> None:
        """Lay down again what a new set of rows forgets: folds, the current row, the height."""
        self._restoring = True
        height = 0
        for row in range(self._rows.rowCount()):
            index = self._rows.index(row, 0)
            height += ROW_HEIGHT
            node = index.data(ROW_ROLE)
            if isinstance(node, SizeClass):
                self.setFirstColumnSpanned(row, QModelIndex(), True)
                is_open = self._is_open(node)
                self.setExpanded(index, is_open)
                height += ROW_HEIGHT * len(node.rows) * is_open
        current = self._rows.place(self._current)
        if current.isValid():
            flags = QItemSelectionModel.SelectionFlag
            self.selectionModel().setCurrentIndex(current, flags.ClearAndSelect | flags.Rows)
        self.setFixedHeight(self.header().sizeHint().height() + height + 4)
        self._restoring = False

    def _is_open(self, fold: SizeClass) -> bool:
        """As the user left it; else what has something to see is open."""
        in_view = {self._current, self._rows.best, *self._ticked}
        usual = bool(self._filter) or any(row.preset in in_view for row in fold.rows)
        return self._open.get(fold.title, usual) or bool(self._filter)

    def _set_widths(self) -> None:
        header = self.header()
        header.setHighlightSections(False)
        header.setSectionsMovable(False)
        header.setStretchLastSection(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(FIT, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            self.setColumnWidth(column, width)

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._hide_columns()

    def _hide_columns(self) -> None:
        """Leave out what there is no room for, and losses where none has been measured."""
        is_narrow = self.width() < _NARROW
        for column in (SHARE, BITS):
            self.setColumnHidden(column, is_narrow)
        measured = any(choice.loss is not None for choice in self._choices)
        self.setColumnHidden(LOSS, is_narrow or not measured)

    # What the user does

    @Slot(QModelIndex, QModelIndex)
    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        row = current.data(ROW_ROLE)
        if self._restoring or not isinstance(row, FormatChoice) or row.problem:
            return
        self._is_own_choice = True
        self._current = row.preset
        if len(self._ticked) < 2:
            self._ticked = [row.preset]
            self._rows.ticked = frozenset(self._ticked)
            self._rows.repaint_all()
        self._tell()

    @Slot(object, bool)
    def _on_ticking(self, row: FormatChoice, wanted: bool) -> None:
        self.tick(row.preset, wanted)

    @Slot(QModelIndex)
    def _on_clicked(self, index: QModelIndex) -> None:
        if isinstance(index.data(ROW_ROLE), SizeClass):
            self.setExpanded(index, not self.isExpanded(index))

    def _on_fold(self, index: QModelIndex, *, is_open: bool) -> None:
        node = index.data(ROW_ROLE)
        if self._restoring or not isinstance(node, SizeClass):
            return
        self._open[node.title] = is_open
        change = ROW_HEIGHT * len(node.rows)
        self.setFixedHeight(self.height() + (change if is_open else -change))

    @override
    def mousePressEvent(self, event: QMouseEvent) -> None:
        row = self.indexAt(event.position().toPoint()).data(ROW_ROLE)
        if isinstance(row, FormatChoice) and self._adds(event):
            self.tick(row.preset, row.preset not in self._ticked)
            event.accept()
            return
        super().mousePressEvent(event)

    @override
    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        row = self.indexAt(event.position().toPoint()).data(ROW_ROLE)
        if isinstance(row, FormatChoice) and self._adds(event):
            event.accept()  # the press has done it
            return
        super().mouseReleaseEvent(event)

    def _adds(self, event: QMouseEvent) -> bool:
        """Whether a click is one that ticks another format: with Ctrl, or on the box."""
        if event.button() != Qt.MouseButton.LeftButton:
            return False
        place = event.position().toPoint()
        delegate = self.itemDelegate()
        assert isinstance(delegate, FormatPainter)
        on_box = delegate.box(self.visualRect(self.indexAt(place).siblingAtColumn(FORMAT)))
        return on_box.contains(place) or bool(
            event.modifiers() & Qt.KeyboardModifier.ControlModifier
        )

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        node = self.currentIndex().data(ROW_ROLE)
        if event.key() in {Qt.Key.Key_Space, Qt.Key.Key_Return} and isinstance(node, SizeClass):
            self.setExpanded(self.currentIndex(), not self.isExpanded(self.currentIndex()))
        elif event.key() == Qt.Key.Key_Space and isinstance(node, FormatChoice):
            self.tick(node.preset, node.preset not in self._ticked)
        else:
            super().keyPressEvent(event)

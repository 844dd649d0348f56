"""The rows of the list of qualities: formats under their size classes, or a short list of some."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QCoreApplication, QModelIndex, QObject, Qt, Signal
from typing_extensions import override

from app.core import words
from app.core.fit import Fit
from app.core.model import FormatChoice
from app.ui.table import ROW_ROLE, Column, Index
from app.ui.widgets.fit_mark import ORDER, fit_text, fit_tip, is_elsewhere

FORMAT, SIZE, SHARE, BITS, QUALITY, LOSS, FIT = range(7)
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


def _tr(text: str) -> str:
    return QCoreApplication.translate("FormatTable", text)


@dataclass(frozen=True, slots=True)
class SizeClass:
    """A row that folds the formats under it."""

    title: str
    rows: tuple[FormatChoice, ...]

    @property
    def summary(self) -> str:
        """How many formats it has, and how large they are."""
        sizes = [row.nbytes for row in self.rows if row.problem is None]
        number = (
            _tr("1 format") if len(self.rows) == 1 else _tr("{} formats").format(len(self.rows))
        )
        if not sizes:
            return number
        least, most = words.size(min(sizes)), words.size(max(sizes))
        return f"{number}  ·  " + (least if least == most else _tr("{} to {}").format(least, most))


Node = SizeClass | FormatChoice


class FormatRows(QAbstractItemModel):
    """One or two levels. A reset follows every change of the order, which is rare and cheap."""

    ticking = Signal(object, bool)
    """FormatChoice, and whether it is to be ticked."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.fits: Mapping[str, Fit] = {}
        self.ticked: Collection[str] = ()
        self.best = ""
        self.source_bytes = 1
        self._columns = self._declared()
        self._sort: tuple[int, Qt.SortOrder] = (SIZE, Qt.SortOrder.DescendingOrder)
        self._nodes: list[Node] = []

    def set_nodes(self, nodes: Sequence[Node]) -> None:
        """Show these."""
        self.beginResetModel()
        self._nodes = self._in_order(nodes)
        self.endResetModel()

    def repaint_all(self) -> None:
        """Ask every row again for its texts; the rows themselves are the same."""
        last = len(self._columns) - 1
        for place, node in enumerate(self._nodes):
            above = self.index(place, 0)
            self.dataChanged.emit(above, self.index(place, last))
            if isinstance(node, SizeClass):
                end = self.index(len(node.rows) - 1, last, above)
                self.dataChanged.emit(self.index(0, 0, above), end)

    def place(self, preset: str) -> QModelIndex:
        """Where a format is; an invalid index where it is not."""
        for number, node in enumerate(self._nodes):
            if isinstance(node, FormatChoice):
                if node.preset == preset:
                    return self.index(number, 0)
                continue
            for row, choice in enumerate(node.rows):
                if choice.preset == preset:
                    return self.index(row, 0, self.index(number, 0))
        return QModelIndex()

    def share(self, choice: FormatChoice) -> float:
        """Its size as part of the original's."""
        return choice.nbytes / self.source_bytes

    def tip(self, row: FormatChoice) -> str:
        """All that is known of a format, in a few lines."""
        if row.problem:
            return f"{row.problem.title} {row.problem.hint}".strip()
        lines = [_tr("{} Runs in {}.").format(row.summary, row.runs_in), _loss_tip(row)]
        if row.needs_importance:
            lines.append(_tr("It needs an importance matrix."))
        fit = self.fits.get(row.preset)
        return "\n".join([*lines, "", fit_tip(fit)] if fit else lines)

    # What Qt asks

    @override
    def index(
        self,
        row: int,
        column: int,
        parent: Index = QModelIndex(),  # noqa: B008 - Qt's signature
    ) -> QModelIndex:
        if not self.hasIndex(row, column, parent):
            return QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else 0)

    @override
    def parent(self, child: Index = QModelIndex()) -> Any:  # noqa: B008 - Qt's signature
        above = child.internalId() if child.isValid() else 0
        return self.createIndex(above - 1, 0, 0) if above else QModelIndex()

    @override
    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        if not parent.isValid():
            return len(self._nodes)
        node = self._node(parent)
        is_fold = isinstance(node, SizeClass) and parent.column() == 0
        return len(node.rows) if isinstance(node, SizeClass) and is_fold else 0

    @override
    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return len(self._columns)

    @override
    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        node = self._node(index)
        if isinstance(node, FormatChoice):
            flags |= Qt.ItemFlag.ItemNeverHasChildren
            if node.problem:
                return flags & ~(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
            if index.column() == FORMAT:
                flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        node = self._node(index)
        if node is None:
            return None
        if role == ROW_ROLE:
            return node
        if isinstance(node, SizeClass):
            return self._class_data(node, index.column(), role)
        return self._format_data(node, index.column(), role)

    @override
    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        node = self._node(index)
        if role != Qt.ItemDataRole.CheckStateRole or not isinstance(node, FormatChoice):
            return False
        self.ticking.emit(node, Qt.CheckState(value) == Qt.CheckState.Checked)
        return True

    @override
    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self._columns[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column.is_number else _LEFT
        if role == Qt.ItemDataRole.ToolTipRole and section == LOSS:
            return _loss_meaning()
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        sorted_by, order = self._sort
        arrow = "↑" if order == Qt.SortOrder.AscendingOrder else "↓"
        return f"{column.title} {arrow}" if section == sorted_by else column.title

    @override
    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._sort = (column, order)
        self.set_nodes(self._nodes)

    def _in_order(self, nodes: Sequence[Node]) -> list[Node]:
        """Size classes keep their order; what is in them is sorted."""
        formats = [node for node in nodes if isinstance(node, FormatChoice)]
        classes = [node for node in nodes if isinstance(node, SizeClass)]
        return [
            *self._sorted(formats),
            *(SizeClass(fold.title, tuple(self._sorted(fold.rows))) for fold in classes),
        ]

    def _sorted(self, rows: Sequence[FormatChoice]) -> list[FormatChoice]:
        column, order = self._sort
        key: Callable[[FormatChoice], Any] = self._columns[column].sort
        return sorted(rows, key=key, reverse=order == Qt.SortOrder.DescendingOrder)

    def _node(self, index: Index) -> Node | None:
        if not index.isValid():
            return None
        above = index.internalId()
        if not above:
            return self._nodes[index.row()]
        fold = self._nodes[above - 1]
        return fold.rows[index.row()] if isinstance(fold, SizeClass) else None

    @staticmethod
    def _class_data(node: SizeClass, column: int, role: int) -> Any:
        if column != FORMAT:
            return None
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{node.title}, {node.summary}"
        return node.title if role == Qt.ItemDataRole.DisplayRole else None

    def _format_data(self, row: FormatChoice, place: int, role: int) -> Any:
        column = self._columns[place]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return column.text(row)
            case Qt.ItemDataRole.TextAlignmentRole:
                return _RIGHT if column.is_number else _LEFT
            case Qt.ItemDataRole.ToolTipRole:
                return self.tip(row)
            case Qt.ItemDataRole.AccessibleTextRole:
                star = _tr(", recommended") if place == FORMAT and row.preset == self.best else ""
                return f"{column.title}: {column.text(row)}{star}"
            case Qt.ItemDataRole.CheckStateRole if place == FORMAT and not row.problem:
                is_ticked = row.preset in self.ticked
                return Qt.CheckState.Checked if is_ticked else Qt.CheckState.Unchecked
        return None

    def _declared(self) -> tuple[Column[FormatChoice], ...]:
        def known(row: FormatChoice, text: str) -> str:
            return "" if row.problem else text

        return (
            Column(_tr("Format"), lambda row: row.preset, lambda row: row.preset),
            Column(
                _tr("Size"),
                lambda row: known(row, words.size(row.nbytes)),
                lambda row: row.nbytes,
                is_number=True,
            ),
            Column(
                _tr("Of original"),
                lambda row: known(row, f"{100 * self.share(row):.0f} %"),
                lambda row: row.nbytes,
            ),
            Column(
                _tr("Bits"),
                lambda row: known(row, f"{row.bits_per_weight:.1f}"),
                lambda row: row.bits_per_weight,
                is_number=True,
            ),
            Column(
                _tr("Quality"),
                lambda row: _tr("not possible") if row.problem else row.quality,
                lambda row: row.bits_per_weight,
            ),
            Column(
                _tr("Loss (KL)"),
                lambda row: known(row, _loss_text(row)),
                lambda row: (row.loss is None, row.loss or 0.0),
                is_number=True,
            ),
            Column(_tr("Runs here"), self._fit_text, self._fit_order),
        )

    def _fit_text(self, row: FormatChoice) -> str:
        if row.problem:
            return row.problem.title
        fit = self.fits.get(row.preset)
        if is_elsewhere(fit):
            return fit.reason if fit else ""
        return fit_text(fit) if fit else ""

    def _fit_order(self, row: FormatChoice) -> tuple[int, int]:
        fit = self.fits.get(row.preset)
        return (ORDER[fit.word] if fit else len(ORDER), row.nbytes)


def _loss_text(row: FormatChoice) -> str:
    return _tr("not measured") if row.loss is None else _kl(row.loss)


def _kl(loss: float) -> str:
    return f"{loss:.4f}" if loss < 0.01 else f"{loss:.3f}"


def _loss_tip(row: FormatChoice) -> str:
    if row.loss is None:
        return _tr("Its loss has not been measured.")
    parts = [_tr("Loss: {} (KL divergence).").format(_kl(row.loss))]
    if row.loss_with_importance is not None:
        weighed = _kl(row.loss_with_importance)
        parts.append(_tr("With an importance matrix: {}.").format(weighed))
    return " ".join([*parts, _loss_meaning()])


def _loss_meaning() -> str:
    return _tr("Measured on SmolLM2-135M, which is small: larger models lose less.")

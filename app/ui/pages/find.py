"""Finding a model: on the hub, among the favourites, or on this computer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from PySide6.QtCore import QCoreApplication, Qt, QTimer, Slot
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from app.core.errors import AppError
from app.core.fit import Fit, FitOptions
from app.core.hub import HubModel
from app.ui.aside import Aside
from app.ui.context import Context, Notice
from app.ui.download import Download
from app.ui.hub_search import HubSearch
from app.ui.icons import Button
from app.ui.local_models import LocalModel, local_models
from app.ui.model_rows import hub_row, local_row, named
from app.ui.page import Page
from app.ui.typical import fits_by_weights
from app.ui.widgets.chosen_local import ChosenLocal
from app.ui.widgets.model_details import ModelDetails
from app.ui.widgets.model_list import ListOutline, ModelList, ModelRow
from app.ui.widgets.problem_card import ProblemCard
from app.ui.widgets.run_on import ImaginedBar
from app.ui.widgets.search_filters import SearchFilters
from app.ui.widgets.text import label

_LIST, _SLIM_LIST = 360, 300
_NARROW = 900  # px of the page
_OUTLINE_MS = 200


class FindPage(Page):
    """Places at the top, the list at the left, the chosen model at the right."""

    name: ClassVar[str] = "find"
    position: ClassVar[int] = 20
    icon: ClassVar[str] = "find"
    is_wide: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        command = [*context.command]
        self.search = HubSearch(command, self)
        self.downloads = Download(command, self)
        self._fits: dict[int, Fit] = {}
        self._local: tuple[LocalModel, ...] = ()
        self._estimate = Aside(self)
        self._looking = Aside(self)
        self._outline_delay = QTimer(self, interval=_OUTLINE_MS, singleShot=True)
        self._outline_delay.timeout.connect(self._show_outline)
        self._build()
        self._connect()

    @override
    @classmethod
    def title(cls) -> str:
        return QCoreApplication.translate("FindPage", "Find")

    @override
    def help_text(self) -> str:
        return self.tr(
            "<p><b>Find a model.</b> Type a part of its name; results come while you type. The "
            "sign in each row says whether the model runs here in the usual format, estimated "
            "from its size; choosing it works that out exactly, without a download.</p>"
            "<p>“Convert this” goes on to the form; the download is a part of the job.</p>"
        )

    # Building

    def _build(self) -> None:
        self.edit = QLineEdit()
        self.edit.setPlaceholderText(self.tr("Search Hugging Face: qwen3 8b"))
        self.edit.setAccessibleName(self.tr("Search"))
        self.edit.setClearButtonEnabled(True)
        self.filters = SearchFilters()
        self.list = ModelList()
        self.outline = ListOutline()
        self.problem = ProblemCard()
        again = Button(self.tr("Try again"), icon_name="retry")
        again.clicked.connect(self.search.again)
        self.problem.add_action(again)
        self.empty = label("", "quiet", wrap=True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.more = Button(self.tr("Show more"))
        self.details = ModelDetails(self.context, self.downloads)
        self.folder = Button(self.tr("Look in another folder"), icon_name="folder")
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 20)
        column.setSpacing(10)
        column.addWidget(ImaginedBar(self.context.machine))
        column.addLayout(self._places())
        column.addWidget(self.filters)
        row = QHBoxLayout()
        row.setSpacing(20)
        row.addWidget(self._left())
        row.addWidget(self._right(), 1)
        column.addLayout(row, 1)
        self.add_filling(content)

    def _places(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(4)
        group = QButtonGroup(self)
        self.places: dict[str, Button] = {}
        for name, text in (
            ("hub", self.tr("Hugging Face")),
            ("favourites", self.tr("Favourites")),
            ("local", self.tr("On this computer")),
        ):
            button = Button(text, "quiet")
            button.setCheckable(True)
            button.setChecked(name == "hub")
            button.toggled.connect(self._on_place)
            group.addButton(button)
            row.addWidget(button)
            self.places[name] = button
        row.addSpacing(12)
        row.addWidget(self.edit, 1)
        row.addWidget(self.folder)
        return row

    def _left(self) -> QWidget:
        self._side = QWidget()
        column = QVBoxLayout(self._side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        for widget in (self.problem, self.list, self.outline, self.empty):
            column.addWidget(widget, 0 if widget is self.problem else 1000)
        column.addStretch(1)
        column.addWidget(self.more)
        return self._side

    def _right(self) -> QWidget:
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 12, 0)
        self.local = ChosenLocal()
        self.local.convert_wanted.connect(partial(self.context.desk.open, "convert"))
        column.addWidget(self.local, 1)
        column.addWidget(self.details)
        self.area = QScrollArea(widgetResizable=True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setWidget(holder)
        return self.area

    def _connect(self) -> None:
        self.edit.textChanged.connect(self._ask)
        self.filters.changed.connect(self._ask)
        self.search.changed.connect(self._on_results)
        self.more.clicked.connect(self.search.more)
        self.list.chosen.connect(self._on_chosen)
        self.list.doubleClicked.connect(lambda _index: self.primary())
        self.details.marked.connect(self._show_rows)
        self.folder.clicked.connect(self._choose_folder)
        self._estimate.answered.connect(self._on_estimates)
        self._looking.answered.connect(self._on_local)
        self.downloads.finished.connect(self._on_downloaded)
        self.downloads.failed.connect(self._on_not_downloaded)
        machine = self.context.machine
        for signal in (machine.identified, machine.imagined):
            signal.connect(self._judge)
        self.context.preferences.changed.connect(self._on_preference)

    @override
    def showEvent(self, event: QShowEvent) -> None:
        """The hub is first asked when the page is first opened."""
        super().showEvent(event)
        if self.search.question is None:
            self._ask()
        self._look_here()

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._side.setFixedWidth(_SLIM_LIST if self.width() < _NARROW else _LIST)

    # Asking

    @property
    def place(self) -> str:
        """Where is looked: "hub", "favourites" or "local"."""
        return next(name for name, button in self.places.items() if button.isChecked())

    @Slot(bool)
    def _on_place(self, chosen: bool) -> None:
        if chosen:
            on_hub = self.place == "hub"
            self.filters.setVisible(on_hub)
            hint = self.tr("Search Hugging Face: qwen3 8b") if on_hub else self.tr("Search")
            self.edit.setPlaceholderText(hint)
            self._ask()
            self._look_here()

    @Slot()
    def _ask(self) -> None:
        if self.place == "hub":
            self.search.ask(self.filters.question(self.edit.text()))
        self._on_results()

    def _look_here(self) -> None:
        if self.place == "local":
            saved = self.context.preferences
            folders = {saved.output_folder, saved.models_folder} - {""}
            self._looking.ask(partial(local_models, sorted(folders)))

    @Slot()
    def _choose_folder(self) -> None:
        title = self.tr("Choose a folder with models")
        path = QFileDialog.getExistingDirectory(self, title, self.context.preferences.models_folder)
        if path:
            self.context.preferences.models_folder = path
            self._look_here()

    @Slot(object)
    def _on_local(self, found: tuple[LocalModel, ...]) -> None:
        self._local = found
        self._show_rows()

    @Slot()
    def _on_results(self) -> None:
        waits = self.place == "hub" and self.search.is_busy and not self.search.models
        if not waits:
            self._outline_delay.stop()
            self.outline.hide()
        elif not self.outline.isVisibleTo(self):
            self._outline_delay.start()
        self._show_rows()
        self._judge()

    @Slot()
    def _show_outline(self) -> None:
        self.outline.show()
        self.list.hide()
        self.empty.hide()

    @Slot()
    def _judge(self) -> None:
        """Estimate what runs, aside; the old estimates stay until there are new ones."""
        hardware = self.context.machine.hardware
        counts = [model.parameters for model in self.search.models]
        if hardware is not None and counts:
            saved = self.context.preferences
            options = FitOptions(context=saved.context, reserve=saved.reserve)
            self._estimate.ask(partial(fits_by_weights, counts, hardware, options))

    @Slot(object)
    def _on_estimates(self, found: dict[int, Fit]) -> None:
        self._fits = found
        self._show_rows()

    @Slot(str)
    def _on_preference(self, key: str) -> None:
        if key in {"context", "reserve"}:
            self._judge()

    # Showing

    @Slot()
    def _show_rows(self) -> None:
        rows = {"hub": self._hub_rows, "favourites": self._marked_rows, "local": self._local_rows}
        found = rows[self.place]()
        self.list.show_rows(found)
        on_hub = self.place == "hub"
        problem = self.search.problem if on_hub else None
        self.problem.setVisible(problem is not None)
        if problem is not None:
            self.problem.show_problem(problem.title, problem.hint, problem.details)
        busy = on_hub and self.search.is_busy
        self.more.setVisible(on_hub and self.search.has_more)
        self.folder.setVisible(self.place == "local")
        self.list.setVisible(bool(found) or (busy and not self.outline.isVisibleTo(self)))
        self.empty.setVisible(not found and not busy and problem is None)
        self.empty.setText(self._nothing())

    def _nothing(self) -> str:
        match self.place:
            case "favourites":
                return self.tr("Mark models with the star, and they are here.")
            case "local":
                return self.tr("No models found. Look in the folder where you keep yours.")
            case _ if self.search.models:
                return self.tr("No result passes the filters. Widen them, or show more.")
            case _:
                return self.tr("Nothing found. Try fewer words.")

    def _hub_rows(self) -> list[ModelRow]:
        return self._rows(self.filters.sifted(self.search.models, self._fits))

    def _marked_rows(self) -> list[ModelRow]:
        known = {model.id: model for model in self.search.models}
        marked = [
            known.get(name, HubModel(name, name.partition("/")[0]))
            for name in self.context.preferences.favourites
        ]
        return named(self._rows(marked), self.edit.text())

    def _local_rows(self) -> list[ModelRow]:
        recent = self.context.preferences.recent
        found = sorted(self._local, key=lambda model: model.path not in recent)  # stable
        return named(map(local_row, found), self.edit.text())

    def _rows(self, models: Iterable[HubModel]) -> list[ModelRow]:
        marked = self.context.preferences.favourites
        return [
            hub_row(model, self._fits.get(model.parameters), is_favourite=model.id in marked)
            for model in models
        ]

    @Slot(object)
    def _on_chosen(self, row: ModelRow) -> None:
        if row.is_local:
            self.details.hide()
            self.local.show_row(row)
            return
        self.local.hide()
        self.details.show_model(row.key, row.facts)
        self.area.verticalScrollBar().setValue(0)

    # Doing

    @override
    @Slot()
    def primary(self) -> None:
        row = self.list.row()
        if row is not None and (row.is_local or self.details.convert.isEnabled()):
            self.context.desk.open("convert", row.key)

    @override
    def open_dialog(self) -> None:
        self.edit.setFocus()

    @override
    def show_subject(self, subject: object) -> None:
        if isinstance(subject, str):
            self.places["hub"].setChecked(True)
            self.edit.setText(subject)

    @Slot(str, str)
    def _on_downloaded(self, model: str, path: str) -> None:
        self.context.desk.tell(
            Notice(
                self.tr("{} is on this computer.").format(model),
                self.tr("Convert it"),
                lambda: self.context.desk.open("convert", path),
            )
        )
        self._look_here()

    @Slot(object)
    def _on_not_downloaded(self, error: AppError) -> None:
        text = f"{error.title} {error.hint}".strip()
        self.context.desk.tell(Notice(text, details=error.details))

    @override
    def leave(self) -> None:
        self._outline_delay.stop()
        self.search.close()
        self.downloads.close()
        self.details.close_probes()

"""Everything about one model of the hub: can it be converted, does it fit, what does it say."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, QTimer, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.core import words
from app.core.errors import AppError
from app.core.hub import Convertibility, Convertible, HubModelDetails
from app.core.model import Inspection
from app.ui.context import Context
from app.ui.download import Download
from app.ui.fits import Fits
from app.ui.icons import Button, IconButton, Picture
from app.ui.probe import Probe
from app.ui.recommend import best_choice, shortlist
from app.ui.widgets.card_view import CardView
from app.ui.widgets.clear import clear
from app.ui.widgets.context_choice import ContextChoice
from app.ui.widgets.fit_mark import FitMark
from app.ui.widgets.folding import Folding
from app.ui.widgets.model_card import Skeleton
from app.ui.widgets.problem_card import ProblemCard
from app.ui.widgets.runtime_choice import RuntimeChoice
from app.ui.widgets.text import ElidedLabel, label

_HUB = "https://huggingface.co/"
_SKELETON_MS = 200
_PAUSE_MS = 100
"""Whoever walks through a list with the arrow keys does not ask about every row."""
_SIGNS = {
    Convertibility.YES: ("done", "good"),
    Convertibility.LIMITS: ("info", "careful"),
    Convertibility.NO: ("alert", "bad"),
}
_MOST_FILES = 200


class ModelDetails(QWidget):
    """Asks when a model is chosen; the newest choice wins."""

    marked = Signal(str, bool)
    """A model, and whether it is a favourite now."""

    def __init__(self, context: Context, download: Download, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ""
        self._context = context
        self._download = download
        self._found: Inspection | None = None
        self._probe = Probe([*context.command], self)
        self._probe.answered.connect(self._understand)
        self._probe.failed.connect(self._explain)
        self.fits = Fits([*context.command], context.machine, context.preferences, self)
        self.fits.changed.connect(self._show_formats)
        self._waiting = QTimer(self, interval=_SKELETON_MS, singleShot=True)
        self._waiting.timeout.connect(self._show_skeleton)
        self._pause = QTimer(self, interval=_PAUSE_MS, singleShot=True)
        self._pause.timeout.connect(lambda: self._probe.ask("inspect", self.model, "--json"))
        download.changed.connect(self._show_download)
        self._build()
        self.hide()

    def _build(self) -> None:
        self._name = ElidedLabel(role="section")
        self._facts = label("", "quiet", wrap=True)
        self.star = IconButton("star", self.tr("Add to favourites"))
        self.star.clicked.connect(self._toggle_star)
        page = IconButton("info", self.tr("Open its page in the browser"))
        page.clicked.connect(lambda: QDesktopServices.openUrl(QUrl(_HUB + self.model)))
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addWidget(self._name, 1)
        head.addWidget(self.star)
        head.addWidget(page)
        self.skeleton = Skeleton()
        self.problem = ProblemCard()
        again = Button(self.tr("Try again"), icon_name="retry")
        again.clicked.connect(lambda: self.show_model(self.model))
        self.problem.add_action(again)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 24)
        layout.setSpacing(8)
        layout.addLayout(head)
        layout.addWidget(self._facts)
        for widget in (self.skeleton, self.problem, self._known()):
            layout.addWidget(widget)
        layout.addStretch()

    def _known(self) -> QWidget:
        """What is shown once the model has been looked at."""
        self._content = QWidget()
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(10)
        column.addLayout(self._actions())
        column.addLayout(self._progress())
        column.addWidget(self._answer())
        column.addWidget(self._sizes())
        self._existing = QVBoxLayout()
        self._existing.setSpacing(4)
        column.addLayout(self._existing)
        self._files = label("", "secondary", wrap=True)
        self._files.setMinimumWidth(1)
        self._folding = Folding("", self._files)
        column.addWidget(self._folding)
        self.card = CardView()
        self.card.setMinimumHeight(320)
        column.addWidget(self.card)
        return self._content

    def _sizes(self) -> QWidget:
        self.formats = QFrame()
        self.formats.setProperty("role", "card")
        card = QVBoxLayout(self.formats)
        card.setContentsMargins(16, 10, 16, 12)
        card.setSpacing(8)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(label(self.tr("What it would be"), "strong"), 1)
        head.addWidget(label(self.tr("Context"), "secondary"))
        self.tokens = ContextChoice(self._context.preferences)
        head.addWidget(self.tokens)
        self.runtime = RuntimeChoice(self._context.preferences, self._context.machine)
        self.runtime.changed.connect(self._show_formats)
        foot = QHBoxLayout()
        foot.setSpacing(8)
        foot.addWidget(label(self.tr("For"), "secondary"))
        foot.addWidget(self.runtime)
        foot.addStretch()
        card.addLayout(head)
        card.addLayout(foot)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(8)
        self._grid.setColumnStretch(2, 1)
        card.addLayout(self._grid)
        return self.formats

    def _actions(self) -> QHBoxLayout:
        self.convert = Button(self.tr("Convert this"), "primary")
        self.convert.clicked.connect(lambda: self._context.desk.open("convert", self.model))
        self.download = Button(self.tr("Download"), icon_name="download")
        self.download.clicked.connect(lambda: self._download.start(self.model))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.convert)
        row.addWidget(self.download)
        row.addStretch()
        return row

    def _progress(self) -> QHBoxLayout:
        self.progress = ElidedLabel(role="secondary")
        self.stop = Button(self.tr("Stop"), "link")
        self.stop.setToolTip(self.tr("What has come is kept; Download goes on with it"))
        self.stop.clicked.connect(self._download.stop)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.progress, 1)
        row.addWidget(self.stop)
        return row

    def _answer(self) -> QWidget:
        answer = QFrame()
        answer.setProperty("role", "card")
        self._sign = Picture("done", "good", 20)
        self.answer = label("", "strong", wrap=True)
        self._reasons = label("", "quiet", wrap=True)
        text = QVBoxLayout()
        text.setSpacing(4)
        text.addWidget(self.answer)
        text.addWidget(self._reasons)
        row = QHBoxLayout(answer)
        row.setContentsMargins(16, 12, 16, 12)
        row.setSpacing(12)
        row.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(text, 1)
        return answer

    # Looking

    def show_model(self, model: str, facts: str = "") -> None:
        """Look at a model of the hub; `facts` is what is known of it already."""
        self.model = model
        self._name.setText(model)
        self._facts.setText(facts or self._facts.text())
        self._show_star()
        self._waiting.start()
        self._probe.cancel()
        self._pause.start()
        self.fits.ask("")
        self._show_only()
        self.show()

    def close_probes(self) -> None:
        """Stop looking, for good."""
        self._waiting.stop()
        self._pause.stop()
        self._probe.close()
        self.fits.close()

    @Slot()
    def _show_skeleton(self) -> None:
        self.skeleton.show_path(self.model)
        self._show_only(self.skeleton)

    @Slot(object)
    def _understand(self, answer: dict[str, Any]) -> None:
        try:
            details = HubModelDetails.from_json(answer["hub"]["details"])
            convertible = Convertible.from_json(answer["hub"]["convertible"])
            self._found = Inspection.from_json(answer) if answer["model"] else None
        except (ValueError, KeyError, TypeError) as error:
            title = self.tr("What the hub says about this model is not clear.")
            self._explain(AppError(title, details=repr(error)))
            return
        self._waiting.stop()
        self._show_details(details)
        self._show_answer(convertible, details)
        self._show_formats()
        if self._found is not None and convertible.word is not Convertibility.NO:
            self.tokens.set_most(self._found.model.context)
            self.fits.ask(self.model, self._found.model.context)
        self._show_download()
        self._show_only(self._content)

    @Slot(object)
    def _explain(self, error: AppError) -> None:
        self._waiting.stop()
        self.problem.show_problem(error.title, error.hint, error.details)
        self._show_only(self.problem)

    def _show_only(self, *wanted: QWidget) -> None:
        for widget in (self.skeleton, self.problem, self._content):
            widget.setVisible(widget in wanted)

    # Showing

    def _show_details(self, details: HubModelDetails) -> None:
        model = details.model
        parts = [model.task, model.licence and self.tr("licence {}").format(model.licence)]
        parts.append(self.tr("{:,} downloads a month").format(model.downloads))
        if details.base_models:
            parts.append(self.tr("made from {}").format(", ".join(details.base_models[:2])))
        self._facts.setText("  ·  ".join(part for part in parts if part))
        total = sum(file.nbytes for file in details.files)
        title = self.tr("{} files, {}").format(len(details.files), words.size(total))
        self._folding.set_title(title)
        shown = details.files[:_MOST_FILES]
        self._files.setText("\n".join(f"{file.name}  {words.size(file.nbytes)}" for file in shown))
        self.card.show_card(details.card)
        self._show_existing(details)

    def _show_answer(self, convertible: Convertible, details: HubModelDetails) -> None:
        icon, tone = _SIGNS[convertible.word]
        self._sign.set_picture(icon, tone)
        self.answer.setText(
            {
                Convertibility.YES: self.tr("Nibble can convert this"),
                Convertibility.LIMITS: self.tr("Nibble can convert this, with limits"),
                Convertibility.NO: self.tr("Nibble cannot convert this"),
            }[convertible.word]
        )
        reasons = [*convertible.sentences]
        if details.model.gated:
            reasons.append(self._gated_steps(details.model.gated))
        self._reasons.setText("\n".join(reasons))
        self._reasons.setVisible(bool(reasons))
        self.convert.setEnabled(convertible.word is not Convertibility.NO)

    def _gated_steps(self, gated: str) -> str:
        wait = ""
        if gated == "manual":
            wait = " " + self.tr("Its owner decides by hand, which may take days.")
        return (
            self.tr(
                "Its author wants to know who takes it: open its page, sign in, agree to the "
                "terms, make an access token, and give it to Nibble in Settings."
            )
            + wait
        )

    def _show_existing(self, details: HubModelDetails) -> None:
        """GGUF files that are there already need no converting."""
        clear(self._existing)
        if not details.gguf_files:
            return
        self._existing.addWidget(label(self.tr("GGUF files it has already"), "strong"))
        for file in details.gguf_files[:20]:
            button = Button(f"{file.name}  ({words.size(file.nbytes)})", "link", "download")
            button.setToolTip(self.tr("Download this file as it is"))
            button.clicked.connect(
                lambda _checked=False, name=file.name: self._download.start(self.model, name)
            )
            self._existing.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)

    @Slot()
    def _show_formats(self) -> None:
        clear(self._grid)
        found = self._found
        self.formats.setVisible(found is not None)
        if found is None:
            return
        choices = [row for row in found.choices if self.runtime.runtime in row.runtimes]
        best = best_choice(choices, self.fits.found, found.model.nbytes)
        short = shortlist(choices) | {best}
        chosen = [choice for choice in choices if choice.preset in short]
        for row, choice in enumerate(chosen):
            star = "  ★" if choice.preset == best else ""
            self._grid.addWidget(label(choice.preset + star, "strong"), row, 0)
            size = label(words.size(choice.nbytes))
            self._grid.addWidget(size, row, 1, Qt.AlignmentFlag.AlignRight)
            mark = FitMark()
            mark.show_fit(self.fits.found.get(choice.preset), choice.preset)
            self._grid.addWidget(mark, row, 2)

    # Favourites and downloads

    def _show_star(self) -> None:
        is_favourite = self.model in self._context.preferences.favourites
        self.star.set_icon("star-filled" if is_favourite else "star")
        text = self.tr("Remove from favourites") if is_favourite else self.tr("Add to favourites")
        self.star.setToolTip(text)
        self.star.setAccessibleName(text)

    @Slot()
    def _toggle_star(self) -> None:
        wanted = self.model not in self._context.preferences.favourites
        self._context.preferences.set_favourite(self.model, wanted)
        self._show_star()
        self.marked.emit(self.model, wanted)

    @Slot()
    def _show_download(self) -> None:
        going_on = self._download.model
        self.progress.setVisible(bool(going_on))
        self.stop.setVisible(bool(going_on))
        line = self._download.line or self.tr("Starting the download")
        self.progress.setText(line if going_on == self.model else f"{going_on}: {line}")
        self.download.setEnabled(not going_on)

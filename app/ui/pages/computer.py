"""The computer: what it has, what it runs well, and what another one would run."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from PySide6.QtCore import QCoreApplication, Qt, QTimer, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from app.core.fit import FitOptions
from app.core.machine import Machine
from app.devices.diagnostics import diagnostics
from app.devices.speedups import Speedup, speedups
from app.ui.aside import Aside
from app.ui.context import Context, Notice
from app.ui.icons import Button, IconButton, Picture
from app.ui.page import Page, section
from app.ui.typical import USUAL, Outlook, outlook
from app.ui.widgets.clear import clear
from app.ui.widgets.context_choice import ContextChoice
from app.ui.widgets.folding import Folding
from app.ui.widgets.hardware_cards import HardwareCards
from app.ui.widgets.outlook_table import OutlookTable
from app.ui.widgets.problem_card import ProblemCard
from app.ui.widgets.pytorch_card import PyTorchCard
from app.ui.widgets.run_on import ImaginedBar, RunOn
from app.ui.widgets.text import ElidedLabel, label

_GIB = 2**30
_LOOKING_MS = 200


class ComputerPage(Page):
    """Facts first, then what they mean for models."""

    name: ClassVar[str] = "computer"
    position: ClassVar[int] = 50
    icon: ClassVar[str] = "computer"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._machine = context.machine
        self._aside = Aside(self)
        self._aside.answered.connect(self._show_outlook)
        self._build()
        for signal in (self._machine.identified, self._machine.imagined):
            signal.connect(self._show)
        self._machine.refreshed.connect(self._show_cards)
        context.preferences.changed.connect(self._on_preference)
        QTimer.singleShot(_LOOKING_MS, self, self._show_looking)
        self._show()
        self.pytorch.ask()

    @override
    @classmethod
    def title(cls) -> str:
        return QCoreApplication.translate("ComputerPage", "Computer")

    @override
    def help_text(self) -> str:
        return self.tr(
            "<p><b>What this computer has, and what it runs.</b> A model runs fast where all of it "
            "fits into the memory of the graphics card, and slower where a part stays in the "
            "computer's memory.</p>"
            "<p>More context, which is text that the model keeps in mind, takes more memory. Under "
            "“What if” another computer can be imagined; every page then answers for that one "
            "until you go back.</p>"
        )

    # Building

    def _build(self) -> None:
        again = IconButton("retry", self.tr("Look again"))
        again.clicked.connect(self._look_again)
        copy = Button(self.tr("Copy diagnostics"), icon_name="copy")
        copy.setToolTip(self.tr("For a report of a fault; without names of people or folders"))
        copy.clicked.connect(self._copy)
        self.header.insertWidget(self.header.count() - 1, copy)
        self.header.insertWidget(self.header.count() - 1, again)
        self.looking = label(self.tr("Still looking at this computer"), "quiet")
        self.looking.hide()
        self.problem = ProblemCard()
        self.cards = HardwareCards()
        self.note = _Note()
        self.pytorch = PyTorchCard([*self.context.command], self)
        self.table = OutlookTable()
        self.advice = label("", "", wrap=True)
        self._fast = QGridLayout()
        self.area = self.add_scrolled(self._content())

    def _content(self) -> QWidget:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 32)
        column.setSpacing(10)
        column.addWidget(ImaginedBar(self._machine))
        for widget in (self.looking, self.problem, self.cards, self.note, self.pytorch):
            column.addWidget(widget)
        self._runs = section("")
        column.addWidget(self._runs)
        column.addWidget(self.advice)
        column.addLayout(self._circumstances())
        column.addWidget(self.table)
        column.addWidget(section(self.tr("What if I had another computer")))
        column.addWidget(self._what_if())
        fast = QWidget()
        fast.setLayout(self._fast)
        self._fast.setContentsMargins(4, 4, 0, 0)
        self._fast.setHorizontalSpacing(20)
        self._fast.setVerticalSpacing(6)
        self._fast.setColumnStretch(3, 1)
        column.addSpacing(8)
        column.addWidget(Folding(self.tr("Which numbers it computes fast"), fast))
        column.addStretch()
        return content

    def _circumstances(self) -> QHBoxLayout:
        self.tokens = ContextChoice(self.context.preferences)
        self.reserve = QDoubleSpinBox(decimals=1, singleStep=0.5, minimum=0, maximum=64)
        self.reserve.setSuffix(self.tr(" GB"))
        self.reserve.setSpecialValueText(self.tr("nothing"))
        self.reserve.setMinimumWidth(120)
        self.reserve.lineEdit().setTextMargins(8, 0, 0, 0)
        self.reserve.setAccessibleName(self.tr("Keep free"))
        self.reserve.setToolTip(
            self.tr("Memory to leave to other programs, beside what they use now")
        )
        self.reserve.setValue(self.context.preferences.reserve / _GIB)
        self.reserve.valueChanged.connect(self._save_reserve)
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(label(self.tr("Context")))
        row.addWidget(self.tokens)
        row.addSpacing(14)
        row.addWidget(label(self.tr("Keep free")))
        row.addWidget(self.reserve)
        row.addStretch()
        return row

    def _what_if(self) -> QWidget:
        self.run_on = RunOn(self._machine)
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        row.addWidget(self.run_on, 1)
        row.addWidget(
            ElidedLabel(self.tr("Every page answers for it until you go back"), "secondary"), 1
        )
        return holder

    # Showing

    @Slot()
    def _show_looking(self) -> None:
        self.looking.setVisible(self._machine.hardware is None and self._machine.problem is None)

    @Slot()
    def _show(self) -> None:
        hardware, problem = self._machine.hardware, self._machine.problem
        self.problem.setVisible(hardware is None and problem is not None)
        if problem is not None:
            self.problem.show_problem(problem.title, problem.hint, problem.details)
        if hardware is not None or problem is not None:
            self.looking.hide()
        self.pytorch.setVisible(not self._machine.on)
        self._runs.setText(
            self.tr("What it would run") if self._machine.on else self.tr("What runs here")
        )
        self._show_cards()
        if hardware is not None:
            self.note.show_sentences(hardware.problems)
            self._show_fast(speedups(hardware))
        self._judge()

    @Slot()
    def _show_cards(self) -> None:
        hardware = self._machine.hardware
        self.cards.setVisible(hardware is not None)
        if hardware is not None:
            self.cards.show_machine(hardware)

    @Slot(str)
    def _on_preference(self, key: str) -> None:
        if key in {"context", "reserve"}:
            self._judge()

    def _judge(self) -> None:
        """Work out what runs, aside; the old answers stay until there are new ones."""
        hardware = self._machine.hardware
        if hardware is not None:
            saved = self.context.preferences
            options = FitOptions(context=saved.context, reserve=saved.reserve)
            self._aside.ask(partial(outlook, hardware, options))

    @Slot(object)
    def _show_outlook(self, found: Outlook) -> None:
        self.table.show_outlook(found)
        self.advice.setText(self._advise(found))

    def _advise(self, found: Outlook) -> str:
        """The recommended format in one sentence."""
        best, generous = found.largest(USUAL), found.largest("Q8_0")
        if best is None:
            runs = found.runs(USUAL)
            if runs is None:
                return self.tr("Too little memory is free for any of these models.")
            text = self.tr("Take {}: models of up to {} weights run, though not fast.")
            return text.format(USUAL, runs.title)
        text = self.tr("Take {}: models of up to {} weights fit well.")
        sentence = text.format(USUAL, best.title)
        if generous is not None:
            more = self.tr("Up to {}, Q8_0 fits well too, and loses next to nothing.")
            sentence += " " + more.format(generous.title)
        return sentence

    def _show_fast(self, rows: tuple[Speedup, ...]) -> None:
        clear(self._fast)
        device = ""
        line = 0
        for row in rows:
            if row.device != device:
                device = row.device
                head = label(device, "strong")
                head.setContentsMargins(0, 8 if line else 0, 0, 0)
                self._fast.addWidget(head, line, 0, 1, 4)
                line += 1
            answer = self.tr("yes") if row.helps else self.tr("no")
            tone = "good" if row.helps else "secondary"
            sign = Picture("done" if row.helps else "stopped", tone, 16)
            for column, widget in enumerate((sign, label(row.name), label(answer, "quiet"))):
                self._fast.addWidget(widget, line, column)
            self._fast.addWidget(label(row.reason, "secondary", wrap=True), line, 3)
            line += 1

    # Doing

    @Slot(float)
    def _save_reserve(self, gigabytes: float) -> None:
        self.context.preferences.reserve = round(gigabytes * _GIB)

    @Slot()
    def _look_again(self) -> None:
        self._machine.watch()
        self.pytorch.ask()

    @Slot()
    def _copy(self) -> None:
        hardware: Machine | None = self._machine.real
        if hardware is None:
            self.context.desk.tell(Notice(self.tr("This computer has not been looked at yet.")))
            return
        text = f"{diagnostics(hardware)}\n{self.pytorch.accessibleName()}"
        QGuiApplication.clipboard().setText(text)
        self.context.desk.tell(Notice(self.tr("The diagnostics are on the clipboard.")))

    @override
    def leave(self) -> None:
        self.pytorch.close_probe()


class _Note(QFrame):
    """What could not be found out, and what to do about it."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "problem")
        self.text = label("", "", wrap=True)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 12, 16, 12)
        row.setSpacing(12)
        row.addWidget(Picture("alert", "careful", 20), 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.text, 1)
        self.hide()

    def show_sentences(self, sentences: tuple[str, ...]) -> None:
        """Show these, or nothing where there are none."""
        self.text.setText("\n".join(sentences))
        self.setVisible(bool(sentences))

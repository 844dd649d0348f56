"""Everything there is to say about one result."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QDateTime, QLocale, Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.core import words
from app.core.report import Quality, Report
from app.core.runtime import starts
from app.evaluation.breakdown import by_part, heat_map
from app.evaluation.verdict import figure, verdict
from app.ui.icons import Picture
from app.ui.widgets.clear import clear
from app.ui.widgets.folding import Folding
from app.ui.widgets.heat_map import HeatMap
from app.ui.widgets.part_bars import PartBars
from app.ui.widgets.run_lines import RunLines
from app.ui.widgets.samples import Samples
from app.ui.widgets.tensor_table import TensorTable
from app.ui.widgets.text import ElidedLabel, label
from app.ui.widgets.trade_off import Point, TradeOff

_PICTURES = (
    ("done", "good"), ("done", "good"), ("done", "good"),
    ("info", "careful"), ("alert", "bad"), ("alert", "bad"),
)  # fmt: skip


class VerdictCard(QFrame):
    """The verdict in words, then the figures it comes from."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "card")
        self._picture = Picture("done", "good", 24)
        self._word = label("", "section")
        self._detail = label("", "quiet", wrap=True)
        self._figures = [(ElidedLabel(role="secondary"), label("", "section")) for _ in range(4)]
        text = QVBoxLayout()
        text.setSpacing(4)
        text.addWidget(self._word)
        text.addWidget(self._detail)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignTop)
        head.addLayout(text, 1)
        self._row = QWidget()
        grid = QGridLayout(self._row)
        grid.setContentsMargins(36, 0, 0, 0)
        grid.setVerticalSpacing(2)
        grid.setHorizontalSpacing(20)
        for column, (caption, value) in enumerate(self._figures):
            grid.addWidget(caption, 0, column)
            grid.addWidget(value, 1, column)
            grid.setColumnStretch(column, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(14)
        layout.addLayout(head)
        layout.addWidget(self._row)

    def show_quality(self, quality: Quality | None) -> None:
        """Judge `quality`, or say that nothing was measured."""
        self._row.setVisible(quality is not None)
        if quality is None:
            self._picture.set_picture("info", "secondary")
            self._word.setText(self.tr("Not measured"))
            self._detail.setText(self.tr("Convert again with “Measure what is lost” to compare."))
            return
        found = verdict(quality)
        self._picture.set_picture(*_PICTURES[found.level])
        self._word.setText(found.word[:1].upper() + found.word[1:])
        self._detail.setText(found.detail)
        before, after = quality.perplexity_before, quality.perplexity_after
        values = (
            (self.tr("Perplexity"), f"{_surprise(before)} → {_surprise(after)}"),
            (self.tr("KL, mean"), figure(quality.kl_mean)),
            (self.tr("KL, worst 1 %"), figure(quality.kl_p99)),
            (self.tr("Same next word"), words.percent(quality.same_top)),
        )
        for (caption, value), (name, text) in zip(self._figures, values, strict=True):
            caption.setText(name)
            value.setText(text)
            value.setAccessibleName(f"{name}: {text}")


class ReportView(QWidget):
    """The content of the right side of the Reports page."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.headline = label("", "figure", wrap=True)
        self.subline = ElidedLabel(role="quiet")
        self.verdict = VerdictCard()
        self.parts = PartBars()
        self.map = HeatMap()
        self.map_text = label("", "secondary", wrap=True)
        self.tensors = TensorTable()
        self.samples = Samples()
        self.trade_off = TradeOff()
        self.notes = label("", "quiet", wrap=True)
        self.run_lines = RunLines()
        self._facts = QGridLayout()
        self._heads = {
            "run": label(self.tr("Run it"), "section"),
            "parts": label(self.tr("Size by part"), "section"),
            "map": label(self.tr("Error by layer"), "section"),
            "tensors": label(self.tr("Tensors"), "section"),
            "trade_off": label(self.tr("All results of this model"), "section"),
            "samples": label(self.tr("The same beginning, continued by both"), "section"),
        }
        self.map.pointed.connect(lambda text: self.map_text.setText(text or self.map.in_words()))
        self._build()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 24)
        layout.setSpacing(8)
        layout.addWidget(self.headline)
        layout.addWidget(self.subline)
        layout.addSpacing(8)
        layout.addWidget(self.verdict)
        layout.addWidget(self.notes)
        for name, widgets in (
            ("run", [self.run_lines]),
            ("parts", [self.parts]),
            ("map", [self.map, self.map_text]),
            ("trade_off", [self.trade_off]),
            ("samples", [self.samples]),
            ("tensors", [self.tensors]),
        ):
            head = self._heads[name]
            head.setContentsMargins(0, 16, 0, 4)
            layout.addWidget(head)
            for widget in widgets:
                layout.addWidget(widget)
        facts = QWidget()
        facts.setLayout(self._facts)
        self._facts.setContentsMargins(4, 0, 0, 0)
        self._facts.setHorizontalSpacing(24)
        self._facts.setColumnStretch(1, 1)
        layout.addSpacing(8)
        layout.addWidget(Folding(self.tr("How it was made"), facts))
        layout.addStretch()

    def show_report(self, report: Report) -> None:
        """Show all of it."""
        share = 100 * report.bytes_after / max(1, report.bytes_before)
        before, after = words.size(report.bytes_before), words.size(report.bytes_after)
        self.headline.setText(self.tr("{} → {}, {:.0f} %").format(before, after, share))
        self.subline.setText(
            "  ·  ".join(
                (
                    report.model,
                    report.preset,
                    self.tr("{:.2f} bits a weight").format(report.bits_per_weight),
                    self.tr("made in {}").format(words.duration(max(1, report.seconds))),
                    _day(report.created),
                )
            )
        )
        self.verdict.show_quality(report.quality)
        self.notes.setText("\n".join(report.notes))
        self.notes.setVisible(bool(report.notes))
        found = starts(report.runs_in, report.target)
        self.run_lines.show_starts(found)
        self._heads["run"].setVisible(bool(found))
        self.parts.show_parts(by_part(report.tensors))
        self.map.show_map(heat_map(report.tensors))
        self.map_text.setText(self.map.in_words())
        self.tensors.show_tensors(report.tensors)
        self.samples.show_samples(report.samples, report.preset)
        self.samples.setVisible(bool(report.samples))
        self._heads["samples"].setVisible(bool(report.samples))
        self._heads["map"].setVisible(bool(self.map.in_words()))
        self.map_text.setVisible(bool(self.map.in_words()))
        self._show_facts(report)

    def show_others(self, points: Sequence[Point], current: str) -> None:
        """Compare the measured results of the same model, where there are several."""
        several = len(points) > 1
        self._heads["trade_off"].setVisible(several)
        self.trade_off.setVisible(several)
        self.trade_off.show_points(points if several else (), current)

    def _show_facts(self, report: Report) -> None:
        clear(self._facts)
        facts = {
            self.tr("Model"): report.source,
            self.tr("Result"): report.target,
            self.tr("Architecture"): report.architecture,
            self.tr("Weights"): f"{report.weights:,}",
        }
        if report.quality:
            quality = report.quality
            facts[self.tr("Measured on")] = self.tr("{}: {:,} words' parts, context {:,}").format(
                quality.text, quality.tokens, quality.context
            )
        facts |= report.choices
        facts |= report.versions
        for row, (key, value) in enumerate(facts.items()):
            self._facts.addWidget(label(key, "secondary"), row, 0)
            text = QLabel(value, wordWrap=True, textFormat=Qt.TextFormat.PlainText)
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self._facts.addWidget(text, row, 1)


def _surprise(perplexity: float) -> str:
    return f"{perplexity:.2f}" if perplexity < 100 else f"{perplexity:.0f}"


def _day(created: str) -> str:
    moment = QDateTime.fromString(created, Qt.DateFormat.ISODate).toLocalTime()
    return QLocale().toString(moment, QLocale.FormatType.ShortFormat) or created

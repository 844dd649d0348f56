import pytest
from fake_answers import PROBES
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPushButton

from app.core.fit import FitOptions, FitWord
from app.devices.known import imagine
from app.ui.pages.computer import ComputerPage
from app.ui.typical import SHAPES, fits_by_weights, outlook
from app.ui.widgets.run_on import ImaginedBar, short_name


@pytest.fixture
def page(qtbot, context, theme):
    made = []

    def make(mode="patient"):
        page = ComputerPage(context(mode))
        page.context.machine.watch()
        made.append(page)
        qtbot.addWidget(page)
        page.resize(1000, 800)
        page.show()
        return page

    yield make
    for page in made:
        page.leave()


@pytest.fixture
def known(page, qtbot):
    """Makes pages that know their computer and what it runs."""

    def make(mode="patient"):
        shown = page(mode)
        qtbot.waitUntil(lambda: bool(shown.advice.text()))
        return shown

    return make


def card_texts(page):
    return [card.accessibleName() for card in page.cards.cards if card.isVisible()]


def test_that_looking_is_not_taken_for_having_no_graphics_card(qtbot, context, theme):
    page = ComputerPage(context())  # nobody looks
    qtbot.addWidget(page)
    page.show()
    qtbot.waitUntil(page.looking.isVisible)
    assert "Still looking" in page.looking.text()
    assert not page.cards.isVisible()
    page.leave()


def test_that_every_part_has_a_card(known):
    texts = card_texts(known())
    kinds = [text.partition(":")[0] for text in texts]
    assert kinds == ["Processor", "Memory", "Graphics", "Disks"]
    assert "8 cores, 16 threads" in texts[0]
    assert "NVIDIA GeForce RTX 4070. 8.9 GB of 12 GB free" in texts[2]


def test_that_a_computer_without_graphics_card_is_told_what_that_means(known):
    shown = known("no-gpu")
    assert "No graphics card found. Models run on the processor" in card_texts(shown)[2]
    assert "restart the computer" in shown.note.text.text()
    assert shown.note.isVisible()


def test_that_shared_memory_is_said_in_words(known):
    assert "Shares the computer's memory: up to 24 GB of 36 GB" in card_texts(known("mac"))[2]


def test_that_several_cards_stand_in_order_and_unused_ones_say_so(known):
    graphics = [text for text in card_texts(known("three-gpus")) if text.startswith("Graphics")]
    assert len(graphics) == 3
    assert "not used to convert" in graphics[2]


def test_that_what_pytorch_can_use_is_said(known, qtbot):
    shown = known()
    said = "Converts on: Processor, NVIDIA GeForce RTX 4070"
    qtbot.waitUntil(lambda: shown.pytorch.title.text() == said)


def test_that_a_pytorch_without_graphics_says_so(known, qtbot):
    shown = known("no-gpu")
    qtbot.waitUntil(lambda: PROBES["no-gpu"]["problems"][0] in shown.pytorch.text.text())


def test_that_a_pytorch_that_ends_the_process_is_explained(known, qtbot):
    shown = known("crash")
    qtbot.waitUntil(lambda: "does not work" in shown.pytorch.title.text())
    assert "update the driver" in shown.pytorch.text.text()


def test_that_the_table_says_what_runs(known):
    shown = known()
    found = {key: mark.accessibleName() for key, mark in shown.table.marks.items()}
    assert found["8 B", "Q4_K_M"] == "8 B, Q4_K_M: fits well"
    assert found["70 B", "F16"] == "70 B, F16: does not fit"
    assert "models of up to 8 B weights fit well" in shown.advice.text()


def test_that_keeping_memory_free_leaves_less(known, qtbot):
    shown = known()
    shown.reserve.setValue(5.0)
    mark = shown.table.marks["8 B", "Q4_K_M"]
    qtbot.waitUntil(lambda: "fits well" not in mark.accessibleName())
    assert shown.context.preferences.reserve == 5 * 2**30


def test_that_another_computer_can_be_imagined_and_given_back(known, qtbot):
    shown = known()
    shown.run_on.combo.setEditText("RTX 4090")
    qtbot.keyClick(shown.run_on.combo.lineEdit(), Qt.Key.Key_Return)
    (bar,) = shown.findChildren(ImaginedBar)
    qtbot.waitUntil(bar.isVisible)
    qtbot.waitUntil(lambda: "32 B" in shown.advice.text() or "14 B" in shown.advice.text())
    assert any("RTX 4090" in text for text in card_texts(shown))
    assert not shown.pytorch.isVisible()
    bar.back.click()
    qtbot.waitUntil(lambda: "up to 8 B" in shown.advice.text())
    assert not bar.isVisible()


def test_that_diagnostics_are_copied_without_a_name(known):
    shown = known()
    next(b for b in shown.findChildren(QPushButton) if b.text() == "Copy diagnostics").click()
    text = QGuiApplication.clipboard().text()
    assert "RTX 4070" in text
    assert "/home" not in text


def test_that_a_machine_that_cannot_be_asked_is_explained(page, qtbot):
    shown = page("leave")
    qtbot.waitUntil(shown.problem.isVisible)
    assert not shown.cards.isVisible()


@pytest.mark.parametrize("size", [QSize(836, 540), QSize(1080, 740)])
def test_that_nothing_is_cut_at_the_right(known, qtbot, size):
    shown = known("three-gpus")
    shown.resize(size)
    qtbot.waitUntil(lambda: shown.size() == size)
    assert shown.area.widget().minimumSizeHint().width() <= shown.area.viewport().width()


def test_that_more_memory_never_runs_less():
    worst_first = [FitWord.NOT, FitWord.MEMORY, FitWord.PARTLY, FitWord.TIGHT, FitWord.FITS]
    small = outlook(imagine("RTX 3060 12 GB"), FitOptions())
    large = outlook(imagine("A100 80 GB"), FitOptions())
    for key, fit in small.fits.items():
        assert worst_first.index(large.fits[key].word) >= worst_first.index(fit.word)
    assert large.largest("Q4_K_M") is SHAPES[-1]


def test_that_a_number_of_weights_is_enough_for_an_estimate():
    found = fits_by_weights([8_030_261_248, 0, 600_000_000_000], imagine("RTX 4090"), FitOptions())
    assert found[8_030_261_248].word is FitWord.FITS
    assert found[600_000_000_000].word is FitWord.NOT
    assert 0 not in found
    weights = next(need.nbytes for need in found[8_030_261_248].needs if need.name == "Weights")
    assert weights == pytest.approx(8.03e9 * 4.9 / 8, rel=0.1)


def test_that_cards_are_called_what_people_call_them():
    names = ("NVIDIA GeForce RTX 4070", "AMD Radeon RX 7900 XTX", "AMD Radeon Graphics")
    assert [short_name(name) for name in names] == [
        "RTX 4070",
        "RX 7900 XTX",
        "AMD Radeon Graphics",
    ]

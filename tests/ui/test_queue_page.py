import pytest
from fake_jobs import make_job
from PySide6.QtCore import QMimeData, QPointF, Qt
from PySide6.QtGui import QDragMoveEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import QPlainTextEdit

from app.core.events import Failed, Finished, Started
from app.core.job import State
from app.core.places import jobs_folder
from app.core.store import JobStore
from app.ui.pages.queue import QueuePage


@pytest.fixture
def page(qtbot, context, theme):
    def make(mode="patient"):
        page = QueuePage(context(mode))
        qtbot.addWidget(page)
        page.show()
        return page

    return make


def row(page, job_id):
    return page._rows[job_id]


def order(page, column):
    return [child.key for child in column._rows]


def test_that_an_empty_queue_leads_to_the_first_step(page, qtbot):
    shown = page()
    assert shown.empty.isVisible()
    with qtbot.waitSignal(shown.context.desk.page_wanted) as wanted:
        shown.empty.button.click()
    assert wanted.args[0] == "convert"


def test_that_a_job_is_shown_from_start_to_result(page, qtbot):
    shown = page("succeed")
    shown.context.queue.submit(make_job("a"))
    assert not shown.empty.isVisible()
    line = row(shown, "a")
    qtbot.waitUntil(lambda: line.text.text() == "5.0 GB  ·  very small loss")
    assert line.action.text() == "Open report"
    assert not line.bar.isVisible()
    assert "3 parts take a larger format." in line._notes.text()
    with qtbot.waitSignal(shown.context.desk.page_wanted) as wanted:
        qtbot.mouseClick(line.action, Qt.MouseButton.LeftButton)
    assert wanted.args == ["reports", "a"]
    menu = line.more.menu()
    menu.aboutToShow.emit()
    copy = next(one for one in menu.actions() if one.text() == "Copy the command that runs it")
    copy.trigger()
    assert QGuiApplication.clipboard().text() == "llama-server -m /models/Qwen3-8B-Q4_K_M.gguf"


def test_that_a_running_job_says_what_it_does_and_how_fast(page, qtbot):
    shown = page()
    shown.context.queue.submit(make_job("a"))
    line = row(shown, "a")
    qtbot.waitUntil(lambda: line.percent.text() == "25 %")
    assert line.text.text() == "Quantizing  ·  4.0 GB of 16.0 GB  ·  410 MB/s"
    assert line.bar.value() == 250
    assert "Running" in line.accessibleName()


def test_that_cancel_stops_a_job_and_it_can_start_again(page, qtbot):
    shown = page()
    shown.context.queue.submit(make_job("a"))
    line = row(shown, "a")
    qtbot.waitUntil(lambda: line.percent.text() == "25 %")
    qtbot.mouseClick(line.action, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: line.action.text() == "Start again")
    qtbot.waitUntil(lambda: not shown.context.queue.running())
    qtbot.mouseClick(line.action, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: line.percent.text() == "25 %")


def test_that_the_last_phase_can_be_skipped_and_not_cancelled(page, qtbot):
    shown = page("measure")
    shown.context.queue.submit(make_job("a"))
    qtbot.waitUntil(lambda: row(shown, "a").action.text() == "Skip measuring")
    assert row(shown, "a").text.text() == "Measuring what is lost  ·  layer 4 of 8"


def test_that_a_failure_says_what_happened_and_what_to_do(page, qtbot):
    shown = page("crash")
    shown.context.queue.submit(make_job("a"))
    line = row(shown, "a")
    qtbot.waitUntil(lambda: line.problem is not None)
    assert "memory ran out" in line.text.text()
    assert "Close other programs" in line.problem._hint.text()
    details = line.problem.findChild(QPlainTextEdit)
    assert not details.isVisible()
    line.problem._folding.button.click()
    assert details.isVisible()
    assert "CUDA went away" in details.toPlainText()


def test_that_the_log_can_be_read(page, qtbot):
    shown = page("crash")
    shown.context.queue.submit(make_job("a"))
    line = row(shown, "a")
    qtbot.waitUntil(lambda: not shown.context.queue.running())
    line.toggle_log()
    assert line.log.isVisible()
    assert "CUDA went away" in line.log.toPlainText()


def test_that_waiting_jobs_change_places_by_keyboard_and_by_drop(page, qtbot):
    shown = page()
    shown.pause.click()
    for name in "abc":
        shown.context.queue.submit(make_job(name))
    qtbot.keyClick(row(shown, "c"), Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert order(shown, shown.active) == ["a", "c", "b"]
    qtbot.keyClick(row(shown, "a"), Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert order(shown, shown.active) == ["c", "a", "b"]
    shown.active.moved.emit("b", "c")
    assert order(shown, shown.active) == ["b", "c", "a"]
    shown.active.moved.emit("b", "")
    assert order(shown, shown.active) == ["c", "a", "b"]


def test_that_a_dragged_job_lands_where_it_is_dropped(page):
    shown = page()
    shown.pause.click()
    for name in "abc":
        shown.context.queue.submit(make_job(name))
    shown.resize(900, 600)
    shown.active.layout().activate()
    data = QMimeData()
    data.setData("application/x-nibble-job", b"c")
    top = QPointF(row(shown, "a").geometry().center()) - QPointF(0, 5)
    none = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    move = QDragMoveEvent(top.toPoint(), Qt.DropAction.MoveAction, data, *none)
    shown.active.dragMoveEvent(move)
    assert move.isAccepted()
    assert shown.active._line.isVisible()
    shown.active.dropEvent(QDropEvent(top, Qt.DropAction.MoveAction, data, *none))
    assert order(shown, shown.active) == ["c", "a", "b"]
    assert not shown.active._line.isVisible()


def test_that_the_window_can_be_told_to_close_when_all_is_done(page, qtbot):
    shown = page("succeed")
    shown.quit_after.setChecked(True)
    shown.context.queue.submit(make_job("a"))
    qtbot.waitUntil(lambda: not shown.isVisible())


def test_that_pausing_says_so(page):
    shown = page()
    shown.pause.click()
    shown.context.queue.submit(make_job("a"))
    assert shown._paused_note.isVisible()
    assert row(shown, "a").text.text() == "Waiting"
    shown.pause.click()
    assert not shown._paused_note.isVisible()


def test_that_a_removed_job_comes_back_with_undo(page, qtbot):
    shown = page()
    shown.pause.click()
    shown.context.queue.submit(make_job("a"))
    with qtbot.waitSignal(shown.context.desk.notice_wanted) as notice:
        qtbot.keyClick(row(shown, "a"), Qt.Key.Key_Delete)
    assert shown.empty.isVisible()
    assert notice.args[0].action == "Undo"
    notice.args[0].run()
    assert order(shown, shown.active) == ["a"]


def test_that_clearing_keeps_reports_and_drops_failures(page, qtbot):
    store = JobStore(jobs_folder())
    for name, end in (("good", Finished()), ("bad", Failed("x", "No."))):
        store.create(make_job(name))
        store.append(name, Started(1, "cpu"))
        store.append(name, end)
    shown = page()
    assert order(shown, shown.done) == ["good", "bad"]
    shown._clear_done()
    assert order(shown, shown.done) == []
    assert [job.id for job in shown.context.queue.jobs()] == ["good"]
    assert shown.context.queue.job("good").state is State.FINISHED
    assert shown.empty.isVisible()
    shown.context.queue.empty_trash()
    assert page().empty.isVisible()  # and stays so


def test_that_a_menu_offers_only_what_makes_sense(page):
    shown = page()
    shown.pause.click()
    shown.context.queue.submit(make_job("a"))
    menu = row(shown, "a").more.menu()
    menu.aboutToShow.emit()
    texts = [action.text() for action in menu.actions() if action.text()]
    assert texts == ["Move to the front", "Move up", "Move down", "Show log", "Remove"]

import sys

import pytest
from fake_jobs import make_job
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QPalette
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QSpinBox, QWidget

from app.ui.application import _Alarm
from app.ui.context import Notice
from app.ui.pages.settings import SettingsPage
from app.ui.theme import DARK
from app.ui.window import pages

NAMES = ["convert", "find", "queue", "reports", "computer", "settings"]


def test_that_a_page_file_is_an_entry_of_the_navigation():
    assert list(pages()) == NAMES


@pytest.mark.parametrize(("number", "name"), list(enumerate(NAMES, 1)))
def test_that_a_key_opens_each_page(window, qtbot, number, name):
    shown = window()
    qtbot.keyClick(shown, Qt.Key(Qt.Key.Key_0.value + number), Qt.KeyboardModifier.ControlModifier)
    assert shown.stack.currentWidget() is shown.page(name)
    assert shown.navigation._buttons[name].isChecked()


def test_that_a_page_that_does_not_exist_yet_is_ignored(window):
    shown = window()
    shown.status.page_wanted.emit("attic")
    assert shown.stack.currentWidget() is shown.page("convert")


def test_that_the_machine_in_the_status_line_leads_to_its_page(window):
    shown = window()
    shown.status.memory.click()
    assert shown.stack.currentWidget() is shown.page("computer")


def test_that_the_primary_key_converts_and_leads_to_the_queue(window, qtbot):
    shown = window()
    shown.open_page("convert", "/models/Qwen3-8B")
    qtbot.waitUntil(shown.page("convert").convert.isEnabled)
    qtbot.keyClick(shown, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert shown.stack.currentWidget() is shown.page("queue")
    assert shown.navigation._buttons["queue"].badge.text() == "1"
    qtbot.waitUntil(lambda: "25 %" in shown.status.jobs.text())


def test_that_the_navigation_is_slim_in_a_small_window(window, qtbot):
    shown = window()
    shown.resize(1200, 700)
    qtbot.waitUntil(lambda: shown.navigation.width() == 200)
    shown.resize(900, 600)
    qtbot.waitUntil(lambda: shown.navigation.width() == 64)
    assert (shown.minimumWidth(), shown.minimumHeight()) == (900, 600)


def test_that_the_window_remembers_its_size(window, qtbot):
    first = window()
    first.resize(900, 640)  # the offscreen platform's screen is no wider
    first.close()
    assert window().height() == 640


def test_that_a_result_is_announced_with_a_way_to_its_report(window, qtbot):
    shown = window("succeed")
    with qtbot.waitSignal(shown.notified) as notified:
        shown._context.queue.submit(make_job("a"))
        shown.hide()  # not in front
    assert notified.args == ["a to Q4_K_M", "The result is ready."]
    shown.show()
    assert shown.notices.text.text() == "a to Q4_K_M is ready."
    shown.notices.action.click()
    assert shown.stack.currentWidget() is shown.page("reports")


def test_that_escape_closes_a_notice(window, qtbot):
    shown = window()
    shown.notices.tell(Notice("Done."))
    assert shown.notices.isVisible()
    qtbot.keyClick(shown, Qt.Key.Key_Escape)
    assert not shown.notices.isVisible()


def test_that_an_error_nobody_caught_is_a_calm_notice(window, qtbot, monkeypatch):
    shown = window()
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    _Alarm(shown, shown._context.desk).install()
    sys.excepthook(RuntimeError, RuntimeError("bits fell off"), None)
    assert "Your jobs are safe" in shown.notices.text.text()
    shown.notices.action.click()
    assert "bits fell off" in QGuiApplication.clipboard().text()


def test_that_the_help_of_every_page_opens_and_closes(window, qtbot):
    shown = window()
    for name in NAMES:
        shown.open_page(name)
        before = set(shown.page().findChildren(QWidget))
        qtbot.keyClick(shown, Qt.Key.Key_F1)
        (sheet,) = [
            child for child in set(shown.page().findChildren(QWidget)) - before if child.isWindow()
        ]
        assert sheet.isVisible()
        sheet.close()


def test_that_a_choice_of_colours_reaches_every_page(window, qtbot, theme):
    shown = window()
    saved = shown._context.preferences
    saved.changed.connect(lambda key: theme.follow(saved.appearance))
    settings = shown.page("settings")
    assert isinstance(settings, SettingsPage)
    settings.schemes["dark"].click()
    assert shown.palette().color(QPalette.ColorRole.Window).name().upper() == DARK.window
    settings.schemes["light"].click()


def test_that_settings_are_the_defaults_of_the_form(window, tmp_path):
    shown = window()
    settings, form = shown.page("settings"), shown.page("convert")
    settings.evaluate.click()
    settings.threads.setValue(1)
    settings.folder.setText(str(tmp_path / "elsewhere"))
    settings.folder.editingFinished.emit()
    assert (form.advanced.options.evaluate, form.advanced.options.threads) == (False, 1)
    assert form.advanced.is_usual
    assert shown._context.preferences.output_folder == str(tmp_path / "elsewhere")
    settings.folder.setText("not a path")
    settings.folder.editingFinished.emit()
    assert settings.folder.text() == str(tmp_path / "elsewhere")


def test_that_every_control_has_a_name_for_screen_readers(window, qtbot):
    shown = window()
    shown.open_page("convert", "/models/Qwen3-8B")
    qtbot.waitUntil(shown.page("convert").convert.isEnabled)
    for name in NAMES:
        shown.open_page(name)
    kinds = (QAbstractButton, QComboBox, QLineEdit, QSpinBox)
    controls = [child for kind in kinds for child in shown.findChildren(kind)]
    nameless = [
        child
        for child in controls
        if not child.accessibleName()
        and not getattr(child, "text", str)()
        and not isinstance(child.parent(), QComboBox | QSpinBox)
        and child.isVisibleTo(child.window())
    ]
    assert len(controls) > 30
    assert nameless == []


def test_that_closing_stops_the_worker_and_keeps_the_job(window, qtbot):
    shown = window()
    queue = shown._context.queue
    queue.submit(make_job("a"))
    qtbot.waitUntil(lambda: queue.job("a").pid > 0)
    shown.close()
    assert not queue.running()
    assert [job.state.value for job in queue.store.load()] == ["queued"]


def test_that_a_token_is_kept_and_no_longer_shown(window, qtbot, monkeypatch):
    kept = []
    monkeypatch.setattr("app.hub.token.save_token", lambda text: kept.append(text) or "It is kept.")
    field = window().page("settings").token
    qtbot.keyClicks(field.edit, "hf_secret")
    assert "hf_secret" not in field.edit.displayText()
    field.keep.click()
    qtbot.waitUntil(lambda: field.answer.text() == "It is kept.")
    assert (kept, field.edit.text()) == (["hf_secret"], "")


def test_that_what_is_no_token_is_explained(window, qtbot):
    field = window().page("settings").token
    field.edit.setText("two words")
    field.keep.click()
    qtbot.waitUntil(lambda: "not an access token" in field.answer.text())

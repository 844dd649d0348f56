import contextlib
import os
import time

import psutil
import pytest
from convert_form import MODEL
from fake_jobs import program
from PySide6.QtCore import QEvent, QThreadPool
from PySide6.QtWidgets import QApplication

from app.core.places import jobs_folder, user_data
from app.core.store import JobStore
from app.ui.context import Context, Desk
from app.ui.job_queue import JobQueue
from app.ui.machine import Machine
from app.ui.pages.convert import ConvertPage
from app.ui.preferences import Preferences
from app.ui.theme import Theme
from app.ui.window import Window


@pytest.fixture(autouse=True)
def clean():
    """Whatever a test starts has to be gone after it."""
    yield
    QThreadPool.globalInstance().waitForDone(5_000)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    deadline = time.monotonic() + 3
    mine = psutil.Process(os.getpid())
    while (left := mine.children(recursive=True)) and time.monotonic() < deadline:
        for child in left:
            with contextlib.suppress(psutil.Error):
                child.wait(0.1)
    left = [child.cmdline() for child in left if child.is_running()]
    assert not [words for words in left if any("fake_worker" in word for word in words)]


@pytest.fixture
def queue(qapp):
    """Makes queues over this test's jobs folder; each closes at the end."""
    made = []

    def make(mode):
        queue = JobQueue(JobStore(jobs_folder()), [*program(mode), "worker"])
        made.append(queue)
        return queue

    yield make
    for queue in made:
        queue.close()


@pytest.fixture
def context(qapp, queue, home, tmp_path):
    """Makes what a page needs; results go to a temporary folder."""
    made = []

    def make(mode="patient"):
        preferences = Preferences(user_data() / "settings.ini")
        preferences.output_folder = str(tmp_path / "results")
        machine = Machine(program(mode))
        made.append(machine)
        return Context(queue(mode), preferences, machine, Desk(), tuple(program(mode)))

    yield make
    for machine in made:
        machine.close()


@pytest.fixture(scope="session")
def theme(qapp):
    """The stylesheet, as the application has it; one, because setting it restyles everything."""
    return Theme(qapp, "light")


@pytest.fixture
def window(qtbot, context, theme):
    """Makes a shown window over a fake program."""

    def make(mode="patient"):
        window = Window(context(mode))
        qtbot.addWidget(window)
        with qtbot.waitActive(window):
            window.show()
            window.activateWindow()
        return window

    return make


@pytest.fixture
def page(qtbot, context, theme):
    """The page Convert; files about other pages have their own."""
    page = ConvertPage(context())
    qtbot.addWidget(page)
    page.show()
    yield page
    page.leave()


@pytest.fixture
def ready(page, qtbot):
    """The page with a model in it and everything checked."""
    page.model.open(MODEL)
    qtbot.waitUntil(page.convert.isEnabled)
    return page


@pytest.fixture
def judged(ready, qtbot):
    """The page once it knows what runs here."""
    qtbot.waitUntil(lambda: bool(ready.fits.found))
    return ready

"""Starts the window."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import (
    QCoreApplication,
    QLocale,
    QObject,
    QThreadPool,
    QTimer,
    QTranslator,
    Signal,
    Slot,
)
from PySide6.QtWidgets import QApplication, QMessageBox, QSystemTrayIcon

from app import __version__
from app.core.job import State
from app.core.places import jobs_folder, resources, sample_model, user_data
from app.core.store import JobStore
from app.ui.context import Context, Desk, Notice
from app.ui.icons import app_icon
from app.ui.instance import Instance
from app.ui.job_queue import JobQueue
from app.ui.machine import Machine
from app.ui.preferences import Preferences
from app.ui.programs import command
from app.ui.theme import Theme
from app.ui.window import Window

log = logging.getLogger(__name__)

_LOG_BYTES = 1_000_000


def run(argv: list[str]) -> int:
    """Open the window; returns when it is closed. `argv` may name a model to open."""
    app = QApplication(argv)
    app.setApplicationName("Nibble")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("nibble")
    app.setWindowIcon(app_icon())
    path = str(Path(argv[1]).absolute()) if len(argv) > 1 else ""
    instance = Instance(user_data(), app)
    if not instance.claim():
        return _leave_it_to_the_other(instance, path)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Qt's loop would never let Python see it
    _keep_log(user_data() / "window.log")
    _translate(app)
    preferences = Preferences(user_data() / "settings.ini", app)
    theme = Theme(app, preferences.appearance)
    preferences.changed.connect(
        lambda key: theme.follow(preferences.appearance) if key == "appearance" else None
    )
    context = make_context(preferences, command())
    window = Window(context)
    _Alarm(window, context.desk).install()
    _Notifier(window)
    instance.called.connect(lambda other: _come_forward(window, other))
    window.show()
    QTimer.singleShot(0, window, lambda: _begin(window, context, path))
    code = app.exec()
    QThreadPool.globalInstance().waitForDone(2_000)
    instance.release()
    sys.excepthook = sys.__excepthook__
    return code


def _leave_it_to_the_other(instance: Instance, path: str) -> int:
    if instance.call(path):
        return 0
    QMessageBox.information(
        None,
        "Nibble",
        QCoreApplication.translate(
            "Application", "Nibble is already running, but does not answer. End it, then try again."
        ),
    )
    return 1


def make_context(preferences: Preferences, program: list[str]) -> Context:
    """The services of the window; `program` starts our other programs."""
    queue = JobQueue(JobStore(jobs_folder()), [*program, "worker"], preferences)
    return Context(queue, preferences, Machine(program, preferences), Desk(), tuple(program))


def _begin(window: Window, context: Context, path: str) -> None:
    """What can wait until the window is seen."""
    going_on = sum(job.state is State.QUEUED for job in context.queue.jobs())
    context.queue.begin()
    if going_on and not context.queue.settings.paused:
        text = window.tr("Going on with what was not finished: {}").format(going_on)
        context.desk.tell(
            Notice(text, window.tr("Open queue"), lambda: window.open_page("queue"), page="queue")
        )
    recent = context.preferences.recent
    window.open_page("convert", path or (str(sample_model()) if not recent else None))
    context.machine.watch()


def _come_forward(window: Window, path: str) -> None:
    window.setWindowState(window.windowState() & ~window.windowState().WindowMinimized)
    window.show()
    window.raise_()
    window.activateWindow()
    if path:
        window.open_page("convert", path)


def _translate(app: QApplication) -> None:
    """Use the user's language where there is a translation into it."""
    translator = QTranslator(app)
    if translator.load(QLocale(), "nibble", "_", str(resources() / "translations")):
        app.installTranslator(translator)


def _keep_log(file: Path) -> None:
    handler = RotatingFileHandler(file, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger("app").addHandler(handler)
    logging.getLogger("app").setLevel(logging.INFO)


class _Notifier(QObject):
    """Tells the system's notification area what the window would have shown."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._window = window
        self._tray: QSystemTrayIcon | None = None
        window.notified.connect(self._tell)

    @Slot(str, str)
    def _tell(self, title: str, text: str) -> None:
        QApplication.alert(self._window)
        if not QSystemTrayIcon.isSystemTrayAvailable():
            return
        if self._tray is None:
            self._tray = QSystemTrayIcon(app_icon(), self)
            self._tray.setToolTip("Nibble")
            self._tray.messageClicked.connect(lambda: _come_forward(self._window, ""))
            self._tray.activated.connect(lambda: _come_forward(self._window, ""))
        self._tray.show()
        self._tray.showMessage(title, text, app_icon())


class _Alarm(QObject):
    """The last resort: an error nobody caught becomes a log entry and a calm notice.

    One of two places in the application where every exception is caught; the other one is
    the worker's process border. Jobs run in their own processes and are not touched by it.
    """

    _happened = Signal(str)

    def __init__(self, window: Window, desk: Desk) -> None:
        super().__init__(window)
        self._desk = desk
        self._happened.connect(self._tell)  # may come from another thread

    def install(self) -> None:
        """Catch from now on."""
        sys.excepthook = self._catch

    def _catch(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QApplication.quit()
            return
        log.critical("uncaught", exc_info=(kind, error, trace))
        self._happened.emit("".join(traceback.format_exception(kind, error, trace)))

    @Slot(str)
    def _tell(self, details: str) -> None:
        text = self.tr("The last step did not work. Your jobs are safe and go on.")
        self._desk.tell(Notice(text, details=details))

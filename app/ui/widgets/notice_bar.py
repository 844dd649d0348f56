"""A sentence at the lower edge that passes by."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from app.ui.context import Notice
from app.ui.icons import Button
from app.ui.widgets.text import label

SHOWN_MS = 7_000


class NoticeBar(QFrame):
    """Floats over its parent; the newest notice replaces the one before."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._over = parent
        self.setProperty("role", "notice")
        self._notice = Notice("")
        self.text = label("")
        self.action = Button("")
        self.action.clicked.connect(self._act)
        self._close = Button(self.tr("Close"))
        self._close.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 6, 8, 6)
        row.setSpacing(8)
        row.addWidget(self.text)
        row.addWidget(self.action)
        row.addWidget(self._close)
        self._timer = QTimer(self, interval=SHOWN_MS, singleShot=True)
        self._timer.timeout.connect(self.hide)
        self.hide()

    @Slot(object)
    def tell(self, notice: Notice) -> None:
        """Show `notice` for a while; one with details stays until it is closed."""
        self._notice = notice
        self.text.setText(notice.text)
        label_text = notice.action or (self.tr("Copy details") if notice.details else "")
        self.action.setText(label_text)
        self.action.setVisible(bool(label_text))
        self._close.setVisible(bool(notice.details))
        self.setAccessibleName(notice.text)
        self.place()
        self.show()
        self.raise_()
        if notice.details:
            self._timer.stop()
        else:
            self._timer.start()

    def forget(self, page: str) -> None:
        """The user has gone to `page`: what is seen there need not be said."""
        if self._notice.page == page:
            self.hide()

    def place(self) -> None:
        """Stand in the middle of the parent's lower edge."""
        self.adjustSize()
        room = self._over.size()
        self.move((room.width() - self.width()) // 2, room.height() - self.height() - 88)

    @Slot()
    def _act(self) -> None:
        if self._notice.run is not None:
            self._notice.run()
        elif self._notice.details:
            QGuiApplication.clipboard().setText(f"{self._notice.text}\n{self._notice.details}")
        self.hide()

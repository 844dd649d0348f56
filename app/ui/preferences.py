"""What the user has set, and what the window remembers of its last use."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QObject, QSettings, Signal

_RECENT = 6


class Preferences(QObject):
    """Typed access to one INI file; every change is announced by the name of its property."""

    changed = Signal(str)

    def __init__(self, file: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._store = QSettings(str(file), QSettings.Format.IniFormat, self)

    @property
    def appearance(self) -> str:
        """One of "system", "light" and "dark"."""
        return self._text("appearance", "system")

    @appearance.setter
    def appearance(self, value: str) -> None:
        self._save("appearance", value)

    @property
    def output_folder(self) -> str:
        """Where results go unless the user says otherwise."""
        return self._text("output_folder", str(Path.home() / "Models"))

    @output_folder.setter
    def output_folder(self, value: str) -> None:
        self._save("output_folder", value)

    @property
    def threads(self) -> int:
        """Processor threads of a job; 0 means all cores."""
        return self._number("threads", 0)

    @threads.setter
    def threads(self, value: int) -> None:
        self._save("threads", str(value))

    @property
    def evaluate(self) -> bool:
        """Whether results are measured unless the user says otherwise."""
        return self._text("evaluate", "yes") == "yes"

    @evaluate.setter
    def evaluate(self, value: bool) -> None:
        self._save("evaluate", "yes" if value else "no")

    @property
    def context(self) -> int:
        """Tokens that a model should be able to keep in mind, when it is asked whether it fits."""
        return self._number("context", 8_192)

    @context.setter
    def context(self, value: int) -> None:
        self._save("context", str(value))

    @property
    def runtime(self) -> str:
        """The kind of programs that results are for; "" until the user has said so."""
        return self._text("runtime", "")

    @runtime.setter
    def runtime(self, value: str) -> None:
        self._save("runtime", value)

    @property
    def reserve(self) -> int:
        """Bytes of memory to leave to other programs, beside what they use now."""
        return self._number("reserve", 0)

    @reserve.setter
    def reserve(self, value: int) -> None:
        self._save("reserve", str(value))

    @property
    def models_folder(self) -> str:
        """Where the user keeps models; "" until they have said so."""
        return self._text("models_folder", "")

    @models_folder.setter
    def models_folder(self, value: str) -> None:
        self._save("models_folder", value)

    @property
    def favourites(self) -> list[str]:
        """Models of the hub that the user has marked, newest first."""
        return self._list("favourites")

    def set_favourite(self, model: str, wanted: bool) -> None:
        """Mark a model of the hub, or take its mark away."""
        rest = [old for old in self.favourites if old != model]
        self._save_list("favourites", [model, *rest] if wanted else rest)

    @property
    def recent(self) -> list[str]:
        """Paths of the models last opened, newest first."""
        return self._list("recent")

    def remember_model(self, path: str) -> None:
        """Put a model in front of the recent ones."""
        rest = [old for old in self.recent if old != path]
        self._save_list("recent", [path, *rest][:_RECENT])

    def forget_model(self, path: str) -> None:
        """A model that is no longer there."""
        self._save_list("recent", [old for old in self.recent if old != path])

    @property
    def cleared(self) -> list[str]:
        """Ids of finished jobs that the queue no longer shows; their reports stay."""
        return self._list("cleared")

    def clear_jobs(self, ids: list[str]) -> None:
        """No longer show these finished jobs in the queue."""
        self._save_list("cleared", sorted({*self.cleared, *ids}))

    def geometry(self) -> QByteArray:
        """Size and place of the window when it was last closed; empty at first."""
        value = self._store.value("geometry")
        return value if isinstance(value, QByteArray) else QByteArray()

    def save_geometry(self, value: QByteArray) -> None:
        """Inverse of `geometry`."""
        self._store.setValue("geometry", value)

    def _text(self, key: str, default: str) -> str:
        value = self._store.value(key, default)
        return value if isinstance(value, str) else default

    def _number(self, key: str, default: int) -> int:
        text = self._text(key, str(default))
        return int(text) if text.isdecimal() else default

    def _list(self, key: str) -> list[str]:
        value = self._store.value(key, [])
        if isinstance(value, str):  # INI files cannot tell a list of one from a text
            return [value]
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def _save(self, key: str, value: str) -> None:
        if self._store.value(key) != value:
            self._store.setValue(key, value)
            self.changed.emit(key)

    def _save_list(self, key: str, value: list[str]) -> None:
        self._store.setValue(key, value)
        self.changed.emit(key)

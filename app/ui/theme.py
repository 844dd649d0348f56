"""Colours and sizes: two sets of tokens, one stylesheet, following the system live."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from string import Template

from PySide6.QtCore import QDir, QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontInfo, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from app.core.places import resources

_BODY = 13  # px, on systems whose own font is not larger
_LAST_RESORT = {"DejaVu Sans", "Bitstream Vera Sans", "FreeSans"}
_BETTER = ("Inter", "Noto Sans", "Cantarell", "Ubuntu", "Open Sans", "Roboto", "Liberation Sans")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The colours of one scheme, as #RRGGBB."""

    scheme: str
    window: str
    surface: str
    rail: str
    """Behind the navigation and the status line."""
    line: str
    control: str
    """Outline of what can be filled in or ticked."""
    text: str
    secondary: str
    disabled: str
    accent: str
    """Primary action, selection and progress only."""
    accent_hover: str
    on_accent: str
    hover: str
    selected: str
    good: str
    careful: str
    partly: str
    bad: str
    bad_wash: str
    """Behind the card of a failed job."""
    calm: str
    """Low end of the error scale; `bad` is the high end."""
    inverse: str
    """Behind a passing notice."""
    inverse_text: str
    inverse_accent: str


LIGHT = Tokens(
    scheme="light", window="#FAFAF8", surface="#FFFFFF", rail="#F4F3F0", line="#E4E3DE",
    control="#C6C4BC", text="#1F1F1D", secondary="#66655F", disabled="#A3A19A",
    accent="#2F6F5E", accent_hover="#275D4F", on_accent="#FFFFFF", hover="#F0EFEB",
    selected="#E3EEEA", good="#009E73", careful="#E69F00", partly="#56B4E9", bad="#D55E00",
    bad_wash="#FBEFE6", calm="#F6EEE4", inverse="#2B2B29", inverse_text="#F4F3EF",
    inverse_accent="#8FD3BD",
)  # fmt: skip
DARK = Tokens(
    scheme="dark", window="#191A19", surface="#222322", rail="#1E1F1E", line="#363734",
    control="#55564F", text="#ECEBE6", secondary="#A09F98", disabled="#6C6B65",
    accent="#6FBFA7", accent_hover="#84CDB7", on_accent="#10201B", hover="#2B2C2A",
    selected="#2A3B35", good="#1DB58A", careful="#E69F00", partly="#56B4E9", bad="#E8772E",
    bad_wash="#35281E", calm="#34302A", inverse="#ECEBE6", inverse_text="#22231F",
    inverse_accent="#1F5F4E",
)  # fmt: skip

#: Pairs of token names, text on background, that a person has to be able to read.
TEXT_PAIRS = (
    ("text", "window"), ("text", "surface"), ("text", "rail"), ("text", "hover"),
    ("text", "selected"), ("text", "bad_wash"), ("secondary", "window"), ("secondary", "surface"),
    ("secondary", "rail"), ("secondary", "hover"), ("secondary", "bad_wash"),
    ("accent", "window"), ("accent", "surface"), ("accent", "selected"),
    ("on_accent", "accent"), ("on_accent", "accent_hover"),
    ("inverse_text", "inverse"), ("inverse_accent", "inverse"),
)  # fmt: skip


def tokens() -> Tokens:
    """The colours in use; what paints itself asks for them every time."""
    dark = QGuiApplication.palette().color(QPalette.ColorRole.Window).lightness() < 128
    return DARK if dark else LIGHT


def blend(low: str, high: str, share: float) -> QColor:
    """The colour `share` (0 to 1) of the way from `low` to `high`."""
    start, end = QColor(low), QColor(high)
    return QColor.fromRgbF(
        start.redF() + (end.redF() - start.redF()) * share,
        start.greenF() + (end.greenF() - start.greenF()) * share,
        start.blueF() + (end.blueF() - start.blueF()) * share,
    )


def palette(colours: Tokens) -> QPalette:
    """What the parts of Qt use that no stylesheet reaches."""
    result = QPalette()
    role = QPalette.ColorRole
    for key, value in {
        role.Window: colours.window, role.WindowText: colours.text, role.Base: colours.surface,
        role.AlternateBase: colours.hover, role.Text: colours.text, role.Button: colours.surface,
        role.ButtonText: colours.text, role.Highlight: colours.accent,
        role.HighlightedText: colours.on_accent, role.ToolTipBase: colours.surface,
        role.ToolTipText: colours.text, role.PlaceholderText: colours.secondary,
        role.Link: colours.accent, role.Mid: colours.line, role.Accent: colours.accent,
    }.items():  # fmt: skip
        result.setColor(key, QColor(value))
    for key in (role.Text, role.WindowText, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, key, QColor(colours.disabled))
    return result


def stylesheet(colours: Tokens, body: int) -> str:
    """The stylesheet for one scheme, with `body` pixels of running text."""
    sizes = {
        "title": round(body * 22 / 13),
        "section": round(body * 15 / 13),
        "small": round(body * 12 / 13),
        "tiny": round(body * 11 / 13),
    }
    text = (resources() / "theme" / "window.qss").read_text(encoding="utf-8")
    return Template(text).substitute(asdict(colours) | sizes)


def _readable(font: QFont) -> QFont:
    """The system's font; a better one where the system has none of its own choice.

    A bare Linux answers with the font of last resort, which is as wide as nobody would want it.
    """
    if QFontInfo(font).family() in _LAST_RESORT:
        installed = set(QFontDatabase.families())
        better = next((family for family in _BETTER if family in installed), None)
        if better:
            font.setFamily(better)
    return font


def _system_is_dark(app: QApplication) -> bool:
    return app.styleHints().colorScheme() == Qt.ColorScheme.Dark


class Theme(QObject):
    """Keeps the application in the scheme that the system or the user asks for."""

    changed = Signal()

    def __init__(self, app: QApplication, appearance: str = "system") -> None:
        super().__init__(app)
        self._app = app
        self._appearance = appearance
        self._used: Tokens | None = None
        QDir.setSearchPaths("theme", [str(resources() / "theme")])
        app.setStyle("Fusion")
        font = _readable(app.font())
        self._body = max(_BODY, QFontInfo(font).pixelSize())
        font.setPixelSize(self._body)
        font.setFeature(QFont.Tag("tnum"), 1)  # digits of one width: nothing jumps
        app.setFont(font)
        app.styleHints().colorSchemeChanged.connect(self._apply)
        self.follow(appearance)

    def follow(self, appearance: str) -> None:
        """Use "light", "dark", or what the "system" has."""
        self._appearance = appearance
        schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
        self._app.styleHints().setColorScheme(schemes.get(appearance, Qt.ColorScheme.Unknown))
        self._apply()

    def _apply(self) -> None:
        dark = self._appearance == "dark"  # a platform may be unable to force a scheme
        if self._appearance == "system":
            dark = _system_is_dark(self._app)
        colours = DARK if dark else LIGHT
        if colours is self._used:  # the system may say the same thing twice
            return
        self._used = colours
        self._app.setPalette(palette(colours))
        self._app.setStyleSheet(stylesheet(colours, self._body))
        self.changed.emit()

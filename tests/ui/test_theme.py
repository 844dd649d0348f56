import re
from dataclasses import asdict
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

import app.ui
from app.core.places import resources
from app.ui import theme as theme_module
from app.ui.icons import app_icon, pixmap
from app.ui.theme import DARK, LIGHT, TEXT_PAIRS, Theme, blend, stylesheet, tokens

ICONS = sorted(file.stem for file in (resources() / "icons").glob("*.svg"))


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=lambda scheme: scheme.scheme)
@pytest.mark.parametrize("pair", TEXT_PAIRS, ids="-on-".join)
def test_that_text_can_be_read_on_its_ground(scheme, pair):
    text, ground = (getattr(scheme, name) for name in pair)
    assert contrast(text, ground) >= 4.5


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=lambda scheme: scheme.scheme)
@pytest.mark.parametrize("state", ["good", "bad", "accent", "secondary"])
def test_that_signs_stand_out_from_their_ground(scheme, state):
    assert contrast(getattr(scheme, state), scheme.surface) >= 3


def test_that_the_stylesheet_knows_every_token_it_names_and_has_no_colour_of_its_own():
    text = (resources() / "theme" / "window.qss").read_text()
    assert not re.findall(r"#[0-9A-Fa-f]{3,8}\b(?!\w)", re.sub(r"\w#\w+", "", text))
    for scheme in (LIGHT, DARK):
        assert "$" not in stylesheet(scheme, 13)


def test_that_the_tick_has_the_colour_of_text_on_the_accent():
    for scheme in (LIGHT, DARK):
        drawing = (resources() / "theme" / f"check-{scheme.scheme}.svg").read_text()
        assert scheme.on_accent in drawing


def test_that_every_token_is_a_colour():
    for scheme in (LIGHT, DARK):
        assert all(
            QColor(value).isValid() for key, value in asdict(scheme).items() if key != "scheme"
        )


def test_that_the_user_decides_between_light_and_dark(qapp):
    theme = Theme(qapp, "dark")
    assert tokens() is DARK
    theme.follow("light")
    assert tokens() is LIGHT
    assert LIGHT.surface in qapp.styleSheet()


def test_that_a_change_of_the_system_is_followed_live(qapp, monkeypatch):
    theme = Theme(qapp, "system")
    for dark, wanted in ((True, DARK), (False, LIGHT)):
        monkeypatch.setattr(theme_module, "_system_is_dark", lambda _, dark=dark: dark)
        qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Unknown)
        assert tokens() is wanted
    theme.follow("light")
    monkeypatch.setattr(theme_module, "_system_is_dark", lambda _: True)
    qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert tokens() is LIGHT


def test_that_the_error_scale_ends_where_it_says():
    assert blend("#000000", "#FF8000", 0).name() == "#000000"
    assert blend("#000000", "#FF8000", 1).name().upper() == "#FF8000"


@pytest.mark.parametrize("name", ICONS)
def test_that_an_icon_is_drawn_in_the_colour_it_is_given(qapp, name):
    picture = pixmap(name, "#FF0000", 48).toImage()
    points = [picture.pixelColor(x, y) for x in range(48) for y in range(48)]
    drawn = [point for point in points if point.alpha() > 200]
    assert drawn
    if name != "app":
        assert all(point.red() > 200 and point.green() < 60 for point in drawn)
        text = (resources() / "icons" / f"{name}.svg").read_text()
        assert 'stroke-width="1.5"' in text


def test_that_no_icon_is_left_over():
    sources = "".join(file.read_text() for file in Path(app.ui.__file__).parent.rglob("*.py"))
    assert [name for name in ICONS if f'"{name}"' not in sources] == []


def test_that_the_icon_of_the_application_is_not_a_blot_at_16_pixels(qapp):
    image = app_icon().pixmap(16, 16).toImage()
    shades = {image.pixelColor(x, y).lightness() // 64 for x in range(16) for y in range(16)}
    assert len(shades) >= 3

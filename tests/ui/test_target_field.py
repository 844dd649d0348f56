from dataclasses import replace

from app.core.needs import JobNeeds, TimeSpan
from app.ui.target import Target
from app.ui.widgets.target_field import TargetField


def shown(field):
    return field._text.text()


def test_that_the_field_says_what_the_conversion_takes(qtbot, tmp_path, theme):
    field = TargetField()
    qtbot.addWidget(field)
    field.look_at(Target(str(tmp_path / "out.gguf"), ".gguf", 5_000_000, "model"))
    qtbot.waitUntil(lambda: "5.0 MB" in shown(field))
    needs = JobNeeds(5_000_000, 10**9, 600_000_000, 300_000_000, 10**9)
    field.show_needs(needs)
    assert "600 MB of memory" in shown(field)
    assert "are free" not in shown(field)
    field.show_needs(replace(needs, memory_free=400_000_000))
    assert "600 MB of memory, of which 400 MB are free" in shown(field)
    field.show_needs(needs)
    assert "about" not in shown(field)
    field.show_needs(replace(needs, seconds=TimeSpan(100, 260)))
    assert "about 2 min to 4 min" in shown(field)
    field.show_needs(replace(needs, seconds=TimeSpan(100, 260, guessed=True)))
    assert "perhaps 2 min to 4 min" in shown(field)
    field.show_needs(None)
    assert "memory" not in shown(field)

from app.core.fit import ConversionCost
from app.ui.target import Target
from app.ui.widgets.target_field import TargetField


def shown(field):
    return field._text.text()


def test_that_the_field_says_what_the_conversion_takes(qtbot, tmp_path, theme):
    field = TargetField()
    qtbot.addWidget(field)
    field.look_at(Target(str(tmp_path / "out.gguf"), ".gguf", 5_000_000, "model"))
    qtbot.waitUntil(lambda: "5.0 MB" in shown(field))
    field.show_cost(ConversionCost(600_000_000))
    assert "600 MB of memory" in shown(field)
    assert "about" not in shown(field)
    field.show_cost(ConversionCost(600_000_000, (100.0, 260.0)))
    assert "about 2 min to 4 min" in shown(field)
    field.show_cost(None)
    assert "memory" not in shown(field)

import pytest

from app.ui.preferences import Preferences


@pytest.fixture
def file(tmp_path):
    return tmp_path / "new" / "settings.ini"


def test_that_everything_is_remembered(qapp, file):
    first = Preferences(file)
    first.appearance = "dark"
    first.output_folder = "/somewhere/with, comma"
    first.threads = 3
    first.evaluate = False
    first.remember_model("/models/a")
    del first
    again = Preferences(file)
    assert (again.appearance, again.threads, again.evaluate) == ("dark", 3, False)
    assert again.output_folder == "/somewhere/with, comma"
    assert again.recent == ["/models/a"]


def test_that_the_last_six_models_are_kept_newest_first(qapp, file):
    saved = Preferences(file)
    for name in "abcdefgc":
        saved.remember_model(f"/models/{name}")
    assert saved.recent == [f"/models/{name}" for name in "cgfedb"]
    saved.forget_model("/models/g")
    assert "/models/g" not in saved.recent


def test_that_a_damaged_file_means_the_defaults(qapp, file):
    file.parent.mkdir()
    file.write_text("[General]\nthreads=many\nevaluate=@Invalid()\ngeometry=3\n")
    saved = Preferences(file)
    assert (saved.threads, saved.appearance) == (0, "system")
    assert saved.geometry().isEmpty()


def test_that_only_a_real_change_is_announced(qapp, file, qtbot):
    saved, seen = Preferences(file), []
    saved.changed.connect(seen.append)
    saved.threads = 2
    saved.threads = 2
    assert seen == ["threads"]

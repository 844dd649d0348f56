"""The form for folders: programs, and where a folder goes. Few tests, as each builds the page."""

from pathlib import Path

import pytest
from convert_form import place_of, rows, type_path
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from app.core.runtime import Runtime


def choose(page, runtime):
    combo = page.runtime
    combo.setCurrentIndex(combo.findData(str(runtime)))
    combo.activated.emit(combo.currentIndex())


@pytest.fixture
def folders(judged, qtbot):
    """The form for vLLM, with a format chosen and everything checked."""
    choose(judged, Runtime.VLLM)
    judged.quality.formats.choose("w4a16-g128")
    qtbot.waitUntil(judged.convert.isEnabled)
    return judged


def test_that_formats_are_those_of_the_chosen_programs_and_greyed_without_the_hardware(
    judged, qtbot
):
    judged.quality.all.setChecked(True)
    assert "Q4_K_M" in {row[0] for row in rows(judged)}
    choose(judged, Runtime.VLLM)
    names = {row[0] for row in rows(judged)}
    assert {"fp8", "w4a16-g128", "bf16-folder"} <= names
    assert not {"Q4_K_M", "mlx-4bit", "bnb-nf4-dq"} & names
    assert judged.quality.choice.preset in names
    assert judged.context.preferences.runtime == "vllm"

    choose(judged, Runtime.MLX)
    qtbot.waitUntil(lambda: "Needs a Mac" in judged.quality.notes.fit_text.text())
    assert "can be made" in judged.quality.notes.fit_text.text()
    row = next(row for row in rows(judged) if row[0] == "mlx-4bit")
    assert "Needs a Mac with Apple silicon" in row[-1]
    judged.quality.formats.choose("mlx-4bit")
    qtbot.waitUntil(judged.convert.isEnabled)
    assert place_of(judged, "mlx-4bit").flags() & Qt.ItemFlag.ItemIsEnabled

    judged.model.open("/models/old-Q6_K.gguf")
    qtbot.waitUntil(lambda: "from a GGUF file" in judged.bar.summary.text())
    assert not judged.convert.isEnabled()
    choose(judged, Runtime.LLAMA_CPP)
    assert judged.quality.choice.preset == "Q4_K_M"
    assert "from a GGUF file" not in judged.bar.summary.text()


def test_that_a_folder_is_named_moved_and_replaced_as_a_folder(
    folders, qtbot, monkeypatch, tmp_path
):
    name = Path(folders.target.path).name
    assert name == "Qwen3-8B-w4a16-g128"
    assert folders._job().outputs[0].target == folders.target.path
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    folders.target.choose.click()
    assert folders.target.path == str(tmp_path / name)

    type_path(qtbot, folders, tmp_path / "mine.v2")
    choose(folders, Runtime.LLAMA_CPP)
    assert folders.target.path == str(tmp_path / "mine.v2.gguf")
    choose(folders, Runtime.VLLM)
    assert folders.target.path == str(tmp_path / "mine.v2")

    taken = tmp_path / "there"
    taken.mkdir()
    (taken / "config.json").touch()
    type_path(qtbot, folders, taken)
    qtbot.waitUntil(folders.target.replace.isVisible)
    assert not folders.convert.isEnabled()
    folders.target.replace.setChecked(True)
    assert folders.convert.isEnabled()

    (tmp_path / "diary.txt").touch()
    type_path(qtbot, folders, tmp_path)
    qtbot.waitUntil(lambda: "diary.txt" in folders.target._text.text())
    assert not folders.target.replace.isVisible()
    assert not folders.convert.isEnabled()


def test_that_a_method_and_its_options_are_in_the_job_and_the_command(folders):
    method, form = folders.method, folders.advanced.method
    method.choose("gptq")
    assert "●" not in folders.more.text()
    form.options.editors["damping"].value = "0.05"
    form.calibration.samples.setValue(64)
    job = folders._job()
    assert (job.recipe.method, job.recipe.options) == ("gptq", (("damping", "0.05"),))
    assert job.samples == 64
    assert "--method gptq --set damping=0.05" in folders._command_line()
    assert "--samples 64" in folders._command_line()
    assert "●" in folders.more.text()
    method.choose("")
    assert "●" not in folders.more.text()
    assert folders._job().samples == 0

    kinds = folders.advanced.recipe
    folders.more.setChecked(True)
    assert not kinds.output.isVisibleTo(folders)
    assert kinds.split.isVisibleTo(folders)
    kinds.overrides.add_rule("ffn_down", "Q6_K")
    assert folders._job().recipe.overrides == ()
    choose(folders, Runtime.LLAMA_CPP)
    assert kinds.output.isVisibleTo(folders)


def test_that_what_the_very_job_takes_is_shown_before_it_starts(folders, qtbot):
    text, method = folders.target._text.text, folders.method
    qtbot.waitUntil(lambda: "about 3 min to 5 min  ·  1.1 GB of memory" in text())
    method.choose("gptq")
    assert "of memory" not in text()  # what it was is not true any more
    qtbot.waitUntil(lambda: "perhaps 1 h 30 min to 4 h  ·  9.3 GB of memory" in text())
    method.choose("")
    qtbot.waitUntil(lambda: "1.1 GB of memory" in text())

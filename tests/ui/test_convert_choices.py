from pathlib import Path

import pytest
from convert_form import MODEL, place_of, rows, type_path
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QPushButton

from app.core.recipe import AUTOMATIC, Recipe
from app.ui.widgets.importance_choice import Origin


def ticked(page):
    return [choice.preset for choice in page.quality.choices]


def click(qtbot, page, preset, x, modifier=Qt.KeyboardModifier.NoModifier):
    formats = page.quality.formats
    place = formats.visualRect(place_of(page, preset))
    qtbot.mouseClick(
        formats.viewport(),
        Qt.MouseButton.LeftButton,
        modifier,
        QPoint(place.left() + x, place.center().y()),
    )


def test_that_a_click_chooses_one_format_and_a_click_on_its_box_one_more(ready, qtbot):
    click(qtbot, ready, "Q8_0", 100)
    assert ticked(ready) == ["Q8_0"]
    click(qtbot, ready, "IQ3_M", 20)
    assert ticked(ready) == ["Q8_0", "IQ3_M"]
    click(qtbot, ready, "Q4_K_M", 100, Qt.KeyboardModifier.ControlModifier)
    assert ticked(ready) == ["Q8_0", "Q4_K_M", "IQ3_M"]
    click(qtbot, ready, "IQ2_M", 100)  # with several ticked, a click only looks
    assert len(ticked(ready)) == 3
    assert ready.quality.choice.preset == "IQ2_M"


def test_that_formats_can_be_chosen_with_the_keyboard(ready, qtbot):
    formats = ready.quality.formats
    qtbot.keyClick(formats, Qt.Key.Key_Down)
    assert ticked(ready) == ["IQ3_M"]
    qtbot.keyClick(formats, Qt.Key.Key_Space)
    assert ticked(ready) == ["IQ3_M"]  # the last tick cannot be taken away
    formats.tick("Q8_0")
    qtbot.keyClick(formats, Qt.Key.Key_Down)
    qtbot.keyClick(formats, Qt.Key.Key_Space)
    assert ticked(ready) == ["Q8_0", "Q4_K_M", "IQ3_M"]


def test_that_several_formats_are_one_job_in_one_folder(ready, qtbot, tmp_path):
    ready.quality.formats.tick("IQ3_M")
    qtbot.waitUntil(ready.convert.isEnabled)
    assert ready.quality.together.text() == "2 formats chosen, 8.8 GB together"
    assert ready.bar.summary.text() == "16.4 GB to 2 formats, 8.8 GB together"
    assert ready.target.path == str(tmp_path / "results")
    ready.primary()
    (job,) = ready.context.queue.jobs()
    assert [Path(output.target).name for output in job.outputs] == [
        "Qwen3-8B-Q4_K_M.gguf",
        "Qwen3-8B-IQ3_M.gguf",
    ]
    assert job.presets == ("Q4_K_M", "IQ3_M")
    qtbot.waitUntil(lambda: "Qwen3-8B-IQ3_M-2.gguf" in "".join(ready.target.paths))


def test_that_a_file_becomes_its_folder_and_back_again(ready, qtbot, tmp_path):
    type_path(qtbot, ready, tmp_path / "mine.gguf")
    qtbot.waitUntil(ready.convert.isEnabled)
    ready.quality.formats.tick("IQ3_M")
    qtbot.waitUntil(lambda: ready.target.path == str(tmp_path))
    ready.quality.formats.tick("IQ3_M", wanted=False)
    qtbot.waitUntil(lambda: ready.target.path == str(tmp_path / "Qwen3-8B-Q4_K_M.gguf"))


def test_that_all_formats_stand_under_folds_that_open_with_a_key(ready, qtbot):
    ready.quality.all.click()
    formats, model = ready.quality.formats, ready.quality.formats.model()
    height = formats.height()
    small = model.index(2, 0)
    assert small.data() == "small"
    assert not formats.isExpanded(small)
    formats.setCurrentIndex(small)
    assert ticked(ready) == ["Q4_K_M"]
    qtbot.keyClick(formats, Qt.Key.Key_Right)
    assert formats.isExpanded(small)
    assert formats.height() > height
    qtbot.keyClick(formats, Qt.Key.Key_Space)
    assert formats.height() == height


def test_that_a_filter_keeps_what_it_finds_in_names_and_words(ready, qtbot):
    ready.quality.all.click()
    qtbot.keyClicks(ready.quality.filter, "visible")
    assert [row[0] for row in rows(ready)] == ["Q4_0", "IQ3_M"]
    assert ticked(ready) == ["Q4_K_M"]
    ready.quality.all.click()
    assert [row[0] for row in rows(ready)] == ["Q8_0", "Q4_K_M", "IQ3_M", "IQ2_M"]


def test_that_one_button_makes_it_fit_and_says_why(judged, qtbot):
    judged.quality.formats.choose("Q8_0")
    qtbot.mouseClick(judged.quality.fitting, Qt.MouseButton.LeftButton)
    assert ticked(judged) == ["Q4_K_M"]
    assert "best quality that fits well with a context of 8,192" in judged.quality.advice.text()
    judged.quality.formats.choose("IQ3_M")
    assert not judged.quality.advice.isVisible()


def test_that_a_format_that_needs_importances_gets_them(judged, qtbot):
    assert judged.importance.list.currentIndex() == Origin.NONE
    judged.quality.formats.choose("IQ2_M")
    sentence = judged.importance.sentence.text
    assert "IQ2_M cannot do without" in sentence()
    qtbot.waitUntil(lambda: "takes about 25 min to 55 min; it is kept" in sentence())
    qtbot.waitUntil(judged.convert.isEnabled)
    judged.primary()
    assert judged.context.queue.jobs()[0].recipe.importance == AUTOMATIC


def test_that_no_importances_stay_none_but_where_a_format_needs_them(ready):
    ready.importance.choose(Origin.NONE)
    ready.quality.formats.choose("IQ2_M")
    assert ready.importance.used is Origin.SHIPPED
    assert not ready.importance.list.model().item(Origin.NONE).isEnabled()
    ready.quality.formats.choose("IQ3_M")
    assert ready.importance.used is Origin.NONE
    assert ready.importance.list.model().item(Origin.NONE).isEnabled()


def test_that_importances_are_suggested_where_bits_are_few(ready):
    assert "Q4_K_M would be clearly better" in ready.importance.sentence.text()
    ready.quality.all.click()
    ready.quality.formats.choose("Q6_K")
    assert "changes little" in ready.importance.sentence.text()
    ready.quality.formats.choose("IQ3_M")
    assert "IQ3_M would be clearly better" in ready.importance.sentence.text()
    ready.quality.formats.choose("Q8_0")
    assert not ready.importance.isVisible()


def test_that_importances_go_to_the_formats_that_have_use_for_them(ready, qtbot, tmp_path):
    ready.quality.formats.tick("Q8_0")
    ready.importance.choose(Origin.OWN_TEXT, str(tmp_path / "chats.jsonl"))
    qtbot.waitUntil(ready.convert.isEnabled)
    ready.primary()
    (job,) = ready.context.queue.jobs()
    assert [output.recipe.importance for output in job.outputs] == ["", AUTOMATIC]
    assert job.calibration == str(tmp_path / "chats.jsonl")


def test_that_importances_give_way_to_a_method_that_sees_the_model(ready, tmp_path):
    ready.importance.choose(Origin.OWN_TEXT, str(tmp_path / "chats.jsonl"))
    ready.method.choose("gptq")
    assert not ready.importance.isVisible()
    assert ready._job().recipe == Recipe("Q4_K_M", "gptq")
    assert ready._job().calibration == ""
    ready.quality.formats.tick("IQ2_M")  # which cannot do without
    assert ready.importance.isVisible()
    recipes = [output.recipe for output in ready._job().outputs]
    assert [(one.method, one.importance) for one in recipes] == [
        ("gptq", ""),
        ("nearest", AUTOMATIC),
    ]
    ready.method.choose("")
    assert ready._job().recipe.importance == AUTOMATIC


def test_that_the_lists_of_methods_and_importances_begin_at_one_place(ready):
    method, importance = (
        part.list.mapTo(ready, QPoint()) for part in (ready.method, ready.importance)
    )
    assert method.x() == importance.x()
    assert method.y() < importance.y()


def test_that_the_tab_key_reaches_quality_method_importances_and_place_in_this_order(ready):
    lists = (ready.method.list, ready.importance.list)
    wanted = [ready.quality.formats, *lists, ready.target.edit]
    reached, widget = [], ready.quality.formats
    while widget not in reached:
        reached.append(widget)
        widget = widget.nextInFocusChain()
    assert [widget for widget in reached if widget in wanted] == wanted


def test_that_a_matrix_in_a_file_is_of_one_model_only(ready, qtbot):
    ready.importance.choose(Origin.FILE, "/matrices/qwen.gguf")
    assert ready.importance.importance_for(ready.quality.choice) == "/matrices/qwen.gguf"
    ready.model.open("/models/Another")
    qtbot.waitUntil(lambda: ready.importance.list.currentIndex() == Origin.NONE)
    assert ready.importance.importance_for(ready.quality.choice) == ""


@pytest.fixture
def opened(ready, qtbot):
    """The page with the advanced panel, once that knows the tensors."""
    ready.more.click()
    qtbot.waitUntil(lambda: "5.0 GB" in ready.advanced.result.text())
    return ready


def test_that_a_rule_counts_its_tensors_and_changes_the_size(opened, qtbot):
    rules = opened.advanced.recipe.overrides
    qtbot.mouseClick(rules.add, Qt.MouseButton.LeftButton)
    rule = rules._rules[0]
    qtbot.keyClicks(rule.pattern, "FFN_down")
    assert rule._count.text() == "36 tensors"
    rule.pattern.setText("ffn_down")
    rule.kind.setCurrentText("Q6_K")
    qtbot.waitUntil(lambda: "2.2 GB more than usual" in opened.advanced.result.text())
    assert opened.bar.summary.text().startswith("16.4 GB to 7.2 GB")
    assert opened.more.text().endswith("●")
    second = rules.add_rule("ffn", "Q8_0")
    assert second._count.text() == "36 tensors"  # the first rule has taken the others
    qtbot.waitUntil(opened.convert.isEnabled)
    opened.primary()
    assert opened.context.queue.jobs()[0].recipe.overrides == (
        ("ffn_down", "Q6_K"),
        ("ffn", "Q8_0"),
    )


def test_that_a_rule_that_cannot_work_is_explained_before_the_start(opened, qtbot):
    rule = opened.advanced.recipe.overrides.add_rule("[", "Q6_K")
    assert "no pattern" in opened.bar.summary.text()
    assert not opened.convert.isEnabled()
    rule.pattern.setText("nowhere")
    assert rule._count.text() == "0 tensors"
    qtbot.waitUntil(lambda: "No tensor" in opened.bar.summary.text())
    assert not opened.convert.isEnabled()
    rule.findChild(QPushButton).click()
    qtbot.waitUntil(opened.convert.isEnabled)
    assert opened.advanced.recipe.overrides.overrides == ()


def test_that_types_and_sizes_of_files_go_into_the_recipe(opened, qtbot):
    form = opened.advanced.recipe
    form.output.setCurrentIndex(form.output.findText("Q8_0"))
    form.embedding.setCurrentIndex(form.embedding.findText("Q6_K"))
    form.split.setCurrentIndex(form.split.findText("Files of at most 2.0 GB"))
    form.leave_output.setChecked(True)
    qtbot.waitUntil(lambda: "3 files" in opened.advanced.result.text())
    qtbot.waitUntil(opened.convert.isEnabled)
    opened.primary()
    assert opened.context.queue.jobs()[0].recipe == Recipe(
        "Q4_K_M", output="Q8_0", embedding="Q6_K", split_bytes=2 * 10**9, leave_output=True
    )


def test_that_every_tensor_can_be_looked_at(opened):
    assert opened.advanced.tensors.model().index(0, 0).data() == "blk.*.ffn_down.weight"
    assert opened.advanced.tensors.model().index(0, 1).data() == "36"


def test_that_a_quantized_model_is_converted_only_where_that_is_wanted(page, qtbot):
    page.model.open("/models/Qwen3-8B-Q6_K.gguf")
    qtbot.waitUntil(page.quality.twice.isVisible)
    assert "quantized already" in page.bar.summary.text()
    assert not page.convert.isEnabled()
    page.quality.twice.click()
    qtbot.waitUntil(page.convert.isEnabled)
    page.primary()
    assert page.context.queue.jobs()[0].recipe.requantize
    page.model.open(MODEL)
    qtbot.waitUntil(lambda: not page.quality.twice.isChecked())
    assert not page.quality.twice.isVisibleTo(page.quality)

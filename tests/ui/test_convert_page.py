import json
from pathlib import Path

from convert_form import MODEL, place_of, rows, type_path
from fake_answers import inspection
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QPushButton

from app.core.job import State
from app.core.model import Inspection
from app.ui.pages.convert import ConvertPage
from app.ui.widgets.run_on import ImaginedBar


def test_that_the_empty_page_offers_the_first_step_and_nothing_else(page):
    assert page.model.drop_zone.isVisible()
    assert not page.form.isVisible()
    assert not page.convert.isEnabled()


def test_that_a_model_appears_with_its_qualities(ready):
    assert "Qwen3" in ready.model.card.accessibleName()
    assert "8.2 B weights" in ready.model.card.accessibleName()
    usual = ["Q4_K_M", "5.0 GB", "31 %", "4.9", "small loss, the usual choice"]
    assert usual in [row[:5] for row in rows(ready)]


def test_that_the_recommended_quality_is_chosen(ready):
    assert ready.quality.formats.choice().preset == "Q4_K_M"
    assert ready.target.path.endswith("Qwen3-8B-Q4_K_M.gguf")
    assert ready.bar.summary.text() == "16.4 GB to 5.0 GB, 31 % of the original"


def test_that_the_short_list_has_one_row_a_size_class_and_all_are_one_click_away(ready, qtbot):
    assert [row[0] for row in rows(ready)] == ["Q8_0", "Q4_K_M", "IQ3_M", "IQ2_M"]
    qtbot.mouseClick(ready.quality.all, Qt.MouseButton.LeftButton)
    assert len(rows(ready)) == 11
    assert ready.quality.choice.preset == "Q4_K_M"


def test_that_an_impossible_quality_says_why_and_cannot_be_chosen(ready, qtbot):
    ready.quality.all.click()
    ready.quality.formats.choose("TQ1_0")
    ready.quality.formats.tick("TQ1_0")
    assert [choice.preset for choice in ready.quality.choices] == ["Q4_K_M"]
    place = place_of(ready, "TQ1_0", 6)
    assert not place.flags() & Qt.ItemFlag.ItemIsEnabled
    assert "not trained for it" in place.data()


def test_that_another_quality_changes_the_suggested_name(ready, qtbot):
    ready.quality.formats.choose("Q4_0")
    qtbot.waitUntil(ready.convert.isEnabled)
    assert ready.target.path.endswith("Qwen3-8B-Q4_0.gguf")


def test_that_figures_give_way_where_there_is_no_room(ready, qtbot):
    for width, hidden in ((1200, False), (800, True), (1200, False)):
        ready.resize(width, 700)
        qtbot.waitUntil(lambda hidden=hidden: ready.quality.formats.isColumnHidden(2) is hidden)
        assert ready.quality.formats.columnWidth(6) > 180


def test_that_the_list_is_sorted_by_a_click_on_its_heading(ready):
    ready.quality.formats.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert [row[1] for row in rows(ready)][:2] == ["2.9 GB", "3.7 GB"]


def test_that_parts_which_take_a_larger_format_are_named(ready):
    assert "3 of 399 tensors" in ready.quality.notes._notes.text()
    assert "3 tensors" in ready.quality.notes._folding.button.text()
    ready.quality.notes._folding.button.click()
    assert "blk.0.ffn_down.weight: Q5_0 instead of Q4_K" in ready.quality.notes._list.text()


def test_that_a_file_in_the_way_needs_a_tick(ready, qtbot, tmp_path):
    taken = tmp_path / "mine.gguf"
    taken.touch()
    type_path(qtbot, ready, taken)
    qtbot.waitUntil(ready.target.replace.isVisible)
    assert not ready.convert.isEnabled()
    assert "There is already a file" in ready.bar.summary.text()
    ready.target.replace.click()
    assert ready.convert.isEnabled()
    ready.primary()
    assert ready.context.queue.jobs()[0].overwrite


def test_that_both_files_can_be_kept(ready, qtbot, tmp_path):
    taken = tmp_path / "mine.gguf"
    taken.touch()
    type_path(qtbot, ready, taken)
    qtbot.waitUntil(ready.target.keep_both.isVisible)
    ready.target.keep_both.click()
    qtbot.waitUntil(ready.convert.isEnabled)
    assert ready.target.path == str(tmp_path / "mine-2.gguf")


def test_that_a_bad_name_is_explained_while_it_is_typed(ready, qtbot):
    type_path(qtbot, ready, "/models/result.bin")
    qtbot.waitUntil(lambda: "end in .gguf" in ready.bar.summary.text())
    assert not ready.convert.isEnabled()


def test_that_convert_queues_what_the_form_says(ready, qtbot, tmp_path):
    ready.advanced.threads.setValue(1)
    ready.advanced.evaluate.setChecked(False)
    ready.advanced.recipe.pure.setChecked(True)
    with qtbot.waitSignal(ready.context.desk.page_wanted) as wanted:
        qtbot.mouseClick(ready.convert, Qt.MouseButton.LeftButton)
    job = ready.context.queue.jobs()[0]
    assert wanted.args == ["queue", job.id]
    assert (job.source, job.recipe.preset, job.recipe.pure) == (MODEL, "Q4_K_M", True)
    assert (job.threads, job.evaluate, job.device, job.overwrite) == (1, False, "cpu", False)
    assert Path(job.target) == tmp_path / "results" / "Qwen3-8B-Q4_K_M.gguf"
    assert Path(job.target).parent.is_dir()
    assert job.state is State.RUNNING


def test_that_the_next_job_gets_a_name_of_its_own(ready, qtbot):
    ready.primary()
    qtbot.waitUntil(lambda: ready.target.path.endswith("Qwen3-8B-Q4_K_M-2.gguf"))
    qtbot.waitUntil(ready.convert.isEnabled)


def test_that_a_dot_marks_what_differs_from_the_default(ready):
    assert "●" not in ready.more.text()
    ready.advanced.recipe.pure.setChecked(True)
    assert ready.more.text().endswith("●")


def test_that_the_command_says_the_same_as_the_form(ready, qtbot):
    ready.more.click()
    ready.advanced.evaluate.setChecked(False)
    ready.advanced.copy_wanted.emit()
    assert QGuiApplication.clipboard().text() == (
        f"nibble quantize {MODEL} --format Q4_K_M --out {ready.target.path} --no-evaluate"
    )


def test_that_escape_closes_the_advanced_panel(ready):
    ready.more.click()
    assert ready.advanced.isVisible()
    assert ready.escape()
    assert not ready.advanced.isVisible()
    assert not ready.escape()


def test_that_a_file_that_is_no_model_is_explained_and_another_can_be_taken(page, qtbot):
    page.model.open("/models/broken")
    qtbot.waitUntil(page.model.problem.isVisible)
    assert "is not a model" in page.model.problem.accessibleName()
    assert page.model.drop_zone.isVisible()
    page.model.open(MODEL)
    qtbot.waitUntil(page.convert.isEnabled)
    assert not page.model.problem.isVisible()


def test_that_a_slow_model_shows_its_outline_and_gives_way_to_another(page, qtbot):
    page.model.open("/models/slow")
    qtbot.waitUntil(page.model.skeleton.isVisible)
    page.model.open(MODEL)
    qtbot.waitUntil(page.convert.isEnabled)
    assert not page.model.skeleton.isVisible()


def test_that_a_dropped_file_stands_for_its_checkpoint(page, qtbot):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(f"{MODEL}/model-00001-of-00002.safetensors")])
    drop = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    page.model.drop_zone.dropEvent(drop)
    qtbot.waitUntil(page.convert.isEnabled)
    assert page.context.preferences.recent == [MODEL]


def test_that_the_empty_page_offers_the_models_of_last_time(qtbot, context, theme):
    services = context()
    services.preferences.remember_model(MODEL)
    page = ConvertPage(services)
    qtbot.addWidget(page)
    page.show()
    (button,) = [
        button
        for button in page.model.drop_zone.findChildren(QPushButton)
        if button.text() == "Qwen3-8B"
    ]
    button.click()
    qtbot.waitUntil(page.convert.isEnabled)
    page.leave()


def test_that_recent_models_are_offered(ready):
    ready.context.preferences.remember_model("/models/Other-1.5B")
    ready.model.card.change.menu().aboutToShow.emit()
    assert "Other-1.5B" in [action.text() for action in ready.model.card.change.menu().actions()]


def fit_words(page):
    return {row[0]: row[6] for row in rows(page)}


def test_that_every_quality_says_whether_it_runs_here(judged):
    words = fit_words(judged)
    assert words["Q4_K_M"] == "● fits well"
    judged.quality.all.click()
    assert fit_words(judged)["Q6_K"] == "◐ fits tightly"
    assert fit_words(judged)["BF16"] == "✕ does not fit"
    assert fit_words(judged)["Q8_0"] == "◑ partly on the GPU (18 of 36 layers)"
    assert fit_words(judged)["TQ1_0"] == "This model was not trained for it."


def test_that_the_parts_of_an_answer_are_its_tip(judged):
    tip = judged.quality.formats.currentIndex().data(Qt.ItemDataRole.ToolTipRole)
    assert "Weights 4.7 GB, Context 1.1 GB" in tip
    assert "context of 8,192" in tip
    assert "Loss: 0.041 (KL divergence). With an importance matrix: 0.033." in tip


def test_that_more_context_takes_more_room(judged, qtbot):
    judged.tokens.setCurrentIndex(judged.tokens.findData(40_960))
    judged.tokens.activated.emit(judged.tokens.currentIndex())
    qtbot.waitUntil(lambda: fit_words(judged)["Q4_K_M"].startswith("◑"))
    assert judged.context.preferences.context == 40_960


def test_that_no_more_context_is_assumed_than_the_model_was_made_for(judged, qtbot):
    judged.context.preferences.context = 131_072
    qtbot.waitUntil(lambda: judged.fits.found["Q4_K_M"].options.context == 40_960)
    assert judged.tokens.currentText() == "40,960"


def test_that_an_imagined_computer_is_marked_and_given_back(judged, qtbot):
    judged.run_on.combo.setEditText("RTX 4090")
    qtbot.keyClick(judged.run_on.combo.lineEdit(), Qt.Key.Key_Return)
    (bar,) = judged.findChildren(ImaginedBar)
    qtbot.waitUntil(bar.isVisible)
    assert bar.text.text() == "Imagined: RTX 4090"
    qtbot.waitUntil(lambda: fit_words(judged)["Q8_0"] == "● fits well")
    assert judged.quality.formats.choice().preset == "Q8_0"
    bar.back.click()
    qtbot.waitUntil(lambda: fit_words(judged)["Q8_0"].startswith("◑"))
    assert not bar.isVisible()
    assert judged.quality.formats.choice().preset == "Q4_K_M"


def test_that_a_quality_the_user_chose_stays_chosen(judged, qtbot):
    judged.quality.formats.choose("Q6_K")
    judged.context.machine.imagine("RTX 4090")
    qtbot.waitUntil(lambda: fit_words(judged)["Q8_0"] == "● fits well")
    assert judged.quality.formats.choice().preset == "Q6_K"


def test_that_looking_at_the_computer_again_asks_again(judged, qtbot):
    before = judged.fits.found
    judged.context.machine.watch()
    qtbot.waitUntil(lambda: judged.fits.found is not before)
    assert judged.quality.formats.choice().preset == "Q4_K_M"


def test_that_a_computer_nobody_knows_is_explained(judged, qtbot):
    judged.context.machine.imagine("nonsense")
    qtbot.waitUntil(judged.run_on.trouble.isVisible)
    assert "not in the list" in judged.run_on.trouble.text()
    assert judged.context.machine.on == ""


def test_that_a_name_of_the_hub_can_be_pasted(page, qtbot):
    qtbot.keyClicks(page.model.drop_zone.name, "https://huggingface.co/Qwen/Qwen3-8B")
    qtbot.keyClick(page.model.drop_zone.name, Qt.Key.Key_Return)
    qtbot.waitUntil(page.convert.isEnabled)
    promise = "Downloads 16.4 GB, then 16.4 GB to 5.0 GB, 31 % of the original"
    assert page.bar.summary.text() == promise
    page.primary()
    assert page.context.queue.jobs()[0].source == "Qwen/Qwen3-8B"


def test_that_another_model_can_be_named_while_one_is_shown(ready, qtbot):
    QGuiApplication.clipboard().setText("https://huggingface.co/Qwen/Qwen3-4B-Instruct-2507")
    ready.model.ask_for_name()
    assert ready.model.drop_zone.name.text() == "Qwen/Qwen3-4B-Instruct-2507"
    assert not ready.convert.isEnabled()
    assert ready.escape()
    assert ready.model.card.isVisible()
    assert ready.convert.isEnabled()
    ready.model.ask_for_name()
    ready.model.drop_zone.take.click()
    qtbot.waitUntil(lambda: ready.model.path == "Qwen/Qwen3-4B-Instruct-2507")
    qtbot.waitUntil(ready.convert.isEnabled)


def test_that_a_model_of_the_hub_that_cannot_be_converted_says_why(page, qtbot):
    page.model.open("someone/unsized-experiment")
    qtbot.waitUntil(page.model.problem.isVisible)
    assert "no weights in a format that is safe" in page.model.problem.accessibleName()


def test_that_graphics_cards_are_offered_when_they_are_known(ready, qtbot):
    ready.context.machine.watch()
    qtbot.waitUntil(lambda: ready.advanced.device.count() == 2)
    ready.advanced.device.setCurrentIndex(1)
    ready.primary()
    assert ready.context.queue.jobs()[0].device == "cuda:0"


def test_that_a_full_disk_at_the_start_is_said(ready, qtbot, monkeypatch):
    def full(job):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ready.context.queue, "submit", full)
    with qtbot.waitSignal(ready.context.desk.notice_wanted) as notice:
        ready.primary()
    assert "Make room" in notice.args[0].text


def test_that_the_fake_speaks_the_protocol():
    answer = json.loads(json.dumps(inspection(Path(MODEL))))
    assert Inspection.from_json(answer).model.layers == 36

import json

import pytest
from example_report import example_report, folder_report
from fake_jobs import make_job
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication

from app.core.events import Failed, Finished, ResultDone, Started
from app.core.places import jobs_folder
from app.core.store import JobStore
from app.ui.icons import IconButton
from app.ui.pages.reports import ReportsPage
from app.ui.table import ROW_ROLE
from app.ui.widgets.samples import marked


def store_result(name, preset="Q4_K_M", **rest):
    store = JobStore(jobs_folder())
    store.create(make_job(name, preset=preset))
    report = store.folder(name) / "report-0.json"
    example_report(preset, **rest).save(report)
    store.append(name, Started(1, "cpu"))
    store.append(name, ResultDone(0, str(report)))
    store.append(name, Finished())
    return report


@pytest.fixture
def page(qtbot, context, theme):
    def make(mode="succeed"):
        page = ReportsPage(context(mode))
        qtbot.addWidget(page)
        page.resize(1000, 700)
        page.show()
        return page

    return make


def titles(page):
    return [page.entries.index(row, 0).data() for row in range(page.entries.rowCount())]


def test_that_the_page_says_what_will_be_here(page):
    assert page().empty.isVisible()


def test_that_a_report_is_told_in_words_and_numbers(page):
    store_result("a")
    view = page().view
    assert view.headline.text() == "16.4 GB → 5.0 GB, 31 %"
    assert view.verdict._word.text() == "Very small loss"
    figures = {name.text(): value.text() for name, value in view.verdict._figures}
    assert figures["Perplexity"] == "9.71 → 9.87"
    assert figures["Same next word"] == "93.4 %"
    assert "Feed-forward: 10.9 GB to 3.3 GB" in view.parts.accessibleDescription()


def test_that_a_folder_is_reported_with_the_lines_that_run_it(page, qtbot):
    path = store_result("a", "w4a16-g128")
    folder_report("w4a16-g128", "vLLM, transformers").save(path)
    view = page().view
    assert "Feed-forward: 10.9 GB to 3.3 GB" in view.parts.accessibleDescription()
    assert "layer 0, Feed-forward, gate" in view.map_text.text()
    buttons = view.run_lines.findChildren(IconButton)
    assert len(buttons) == 2
    qtbot.mouseClick(buttons[0], Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "vllm serve /models/Qwen3-8B-w4a16-g128"


def test_that_a_result_that_was_not_measured_says_so(page):
    store_result("a", measured=False)
    view = page().view
    assert view.verdict._word.text() == "Not measured"
    assert not view.samples.isVisible()


def test_that_the_newest_result_is_on_top_and_shown(page, qtbot):
    store_result("2026-a", "Q2_K")
    store_result("2026-b", "Q8_0")
    shown = page()
    assert titles(shown) == ["2026-b to Q8_0", "2026-a to Q2_K"]
    qtbot.waitUntil(
        lambda: "practically the original" in shown.entries.index(0, 0).data(ROW_ROLE).text
    )
    shown.show_subject("2026-a")
    assert shown.view.verdict._word.text() == "Heavy loss"


def test_that_the_results_of_one_model_are_compared(page, qtbot):
    store_result("a", "Q2_K")
    shown = page()
    qtbot.waitUntil(lambda: shown.entries.index(0, 0).data(ROW_ROLE).text != "")
    assert not shown.view.trade_off.isVisible()
    store_result("b", "Q8_0")
    shown.context.queue.refresh()
    qtbot.waitUntil(shown.view.trade_off.isVisible)
    text = shown.view.trade_off.accessibleDescription()
    assert "Q2_K: 3.3 GB, KL 0.51" in text
    assert "Q8_0: 8.7 GB, KL 0.0012" in text


def test_that_a_job_that_finishes_appears_at_once(page, qtbot):
    shown = page()
    shown.context.queue.submit(make_job("a"))
    qtbot.waitUntil(lambda: titles(shown) == ["a to Q4_K_M"])
    assert shown.view.isVisible()


def test_that_every_result_of_a_job_has_its_report(page, qtbot):
    shown = page()
    shown.context.queue.submit(make_job("a", preset="Q8_0,Q2_K"))
    qtbot.waitUntil(lambda: titles(shown) == ["a to Q8_0", "a to Q2_K"])
    qtbot.waitUntil(shown.view.trade_off.isVisible)
    assert shown.view.verdict._word.text() == "Practically the original"
    shown.list.setCurrentIndex(shown.entries.index(1, 0))
    assert shown.view.verdict._word.text() == "Heavy loss"
    with qtbot.waitSignal(shown.context.desk.notice_wanted) as notice:
        shown._remove()
    assert notice.args[0].text == "The reports of this job are removed; the results stay."
    assert shown.empty.isVisible()


def test_that_results_of_a_job_that_failed_later_are_listed(page):
    store_result("a")
    store = JobStore(jobs_folder())
    report = store_result("b", "Q8_0,Q4_0")
    store.requeue(store.read("b"))
    store.append("b", Started(1, "cpu"))
    store.append("b", ResultDone(0, str(report)))
    store.append("b", Failed("space", "The disk is full."))
    assert titles(page()) == ["b to Q8_0", "a to Q4_K_M"]


def test_that_the_error_map_speaks_where_it_is_pointed_at(page, qtbot):
    store_result("a")
    shown = page()
    view = shown.view
    assert view.map_text.text().startswith("The largest error is 13.7 % in layer 0")
    shown.area.verticalScrollBar().setValue(view.map.y())

    def point():
        for place in (QPoint(300, 5), QPoint(152, 5)):  # the first may only enter
            qtbot.mouseMove(view.map, place)
        return view.map_text.text().startswith("Layer 0, Attention, query:")

    qtbot.waitUntil(point)
    view.map.setFocus()
    qtbot.keyClick(view.map, Qt.Key.Key_Right)
    assert view.map_text.text().startswith("Layer 1, Attention, query:")
    assert view.map.accessibleDescription() == view.map_text.text()


def test_that_the_worst_tensors_come_first(page):
    store_result("a")
    table = page().view.tensors.model()
    errors = [float(table.index(row, 5).data().rstrip(" %")) for row in range(table.rowCount())]
    assert errors == sorted(errors, reverse=True)
    assert table.index(0, 0).data() == "blk.0.ffn_gate"


def test_that_differing_words_are_marked_and_markup_is_not_obeyed(qapp):
    before, after = marked("a <b>cat</b> sat", "a <b>dog</b> sat")
    assert "&lt;b&gt;cat&lt;/b&gt;</span>" in before
    assert "dog" in after
    assert "<b>" not in before + after


@pytest.mark.parametrize(("kind", "sign"), [("HTML", "<h1>"), ("Markdown", "# "), ("JSON", "{")])
def test_that_a_report_can_be_taken_elsewhere(page, tmp_path, kind, sign):
    store_result("a")
    target = tmp_path / "report"
    page().save(target, kind)
    text = target.read_text()
    assert sign in text
    assert "Qwen3-8B" in text
    if kind == "JSON":
        assert json.loads(text)["preset"] == "Q4_K_M"


def test_that_a_report_that_cannot_be_saved_is_said(page, qtbot, tmp_path):
    store_result("a")
    shown = page()
    with qtbot.waitSignal(shown.context.desk.notice_wanted) as notice:
        shown.save(tmp_path / "missing" / "report.html", "HTML")
    assert "Choose another folder" in notice.args[0].text


def test_that_markdown_goes_to_the_clipboard(page):
    store_result("a")
    page()._copy()
    assert QGuiApplication.clipboard().text().startswith("# ")


def test_that_a_damaged_report_is_explained_and_the_others_are_fine(page):
    store_result("b")
    store_result("a").write_text("{")
    shown = page()
    shown.show_subject("a")
    assert shown.problem.isVisible()
    assert not shown.view.isVisible()
    shown.show_subject("b")
    assert shown.view.isVisible()


def test_that_a_removed_report_comes_back_with_undo(page, qtbot):
    store_result("a")
    shown = page()
    with qtbot.waitSignal(shown.context.desk.notice_wanted) as notice:
        shown._remove()
    assert shown.empty.isVisible()
    notice.args[0].run()
    assert titles(shown) == ["a to Q4_K_M"]


def test_that_nothing_runs_under_the_scroll_bar_in_the_smallest_window(page, qtbot):
    path = store_result("a")
    document = json.loads(path.read_text())
    document["samples"][0]["before"] = "na" * 400
    document["quality"]["perplexity_before"] = document["quality"]["perplexity_after"] = 123456789.0
    path.write_text(json.dumps(document))
    shown = page()
    shown.resize(836, 540)
    area = shown.area
    qtbot.waitUntil(lambda: shown.width() == 836 and area.width() < 560)
    assert area.widget().width() <= area.viewport().width()

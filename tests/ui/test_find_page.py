import pytest
from fake_answers import CARD
from fake_jobs import program
from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QTextDocument

from app.core.fit import Fit, FitOptions, FitWord
from app.core.hub import HubModel
from app.ui.hub_search import HubSearch, Question
from app.ui.local_models import local_models
from app.ui.pages.find import FindPage
from app.ui.table import ROW_ROLE
from app.ui.widgets.card_view import CardView, readable
from app.ui.widgets.search_filters import SearchFilters

QWEN = "Qwen/Qwen3-8B"


@pytest.fixture
def page(qtbot, context, theme):
    made = []

    def make(mode="patient"):
        page = FindPage(context(mode))
        made.append(page)
        qtbot.addWidget(page)
        page.resize(1000, 800)
        page.show()
        return page

    yield make
    for page in made:
        page.leave()


@pytest.fixture
def filled(page, qtbot):
    """Makes pages with the first results."""

    def make(mode="patient"):
        shown = page(mode)
        qtbot.waitUntil(lambda: bool(keys(shown)) and not shown.search.is_busy)
        return shown

    return make


def listed(page):
    model = page.list.model()
    return [model.index(row, 0).data(ROW_ROLE) for row in range(model.rowCount())]


def keys(page):
    return [row.key for row in listed(page)]


@pytest.fixture
def opened(filled, qtbot):
    """Makes pages that show a model."""

    def make(key=QWEN, kind=2):
        shown = filled()
        shown.filters.kind.setCurrentIndex(kind)
        qtbot.waitUntil(lambda: key in keys(shown) or shown.search.has_more)
        if key not in keys(shown):
            shown.more.click()
            qtbot.waitUntil(lambda: key in keys(shown))
        shown.list.choose(key)
        qtbot.waitUntil(shown.details.answer.isVisible)
        return shown

    return make


def test_that_the_hub_is_not_asked_before_the_page_is_opened(qtbot, context, theme):
    page = FindPage(context())
    qtbot.addWidget(page)
    assert page.search.question is None
    page.leave()


def test_that_the_first_look_lists_what_is_popular(filled):
    shown = filled()
    assert QWEN in keys(shown)
    assert "bartowski/Qwen_Qwen3-8B-GGUF" not in keys(shown)  # originals only, at first
    first = listed(shown)[0]
    assert (first.title, first.facts) == (
        "Qwen3-8B",
        "Qwen  ·  8.2 B  ·  16.4 GB  ·  4.8 M downloads",
    )


def test_that_results_come_while_typing_and_the_newest_question_wins(filled, qtbot):
    shown = filled()
    qtbot.keyClicks(shown.edit, "slow")  # its process hangs
    qtbot.wait(0)
    shown.edit.clear()
    qtbot.keyClicks(shown.edit, "qwen3 4b")
    qtbot.waitUntil(lambda: keys(shown) == ["Qwen/Qwen3-4B-Instruct-2507"])


def test_that_a_pause_in_typing_is_waited_for(qtbot, qapp):
    search = HubSearch(program("ok"))
    answers = []
    search.changed.connect(lambda: answers.append(search.models) if not search.is_busy else None)
    for text in ("m", "mi", "mis", "mistral"):
        search.ask(Question(text))
    qtbot.waitUntil(lambda: bool(answers))
    assert [model.id for model in answers[0]] == ["mistralai/Mistral-Small-24B"]
    assert len(answers) == 1
    search.close()


def test_that_a_slow_answer_shows_the_outline_of_a_list(page, qtbot):
    shown = page()
    shown.edit.setText("slow")
    qtbot.waitUntil(shown.outline.isVisible)
    assert not shown.empty.isVisible()


def test_that_further_results_are_one_click_away(filled, qtbot):
    shown = filled()
    assert len(keys(shown)) == 5
    shown.more.click()
    qtbot.waitUntil(lambda: len(keys(shown)) == 6)
    assert not shown.more.isVisible()


def test_that_nothing_found_is_said(filled, qtbot):
    shown = filled()
    shown.edit.setText("no such model")
    qtbot.waitUntil(shown.empty.isVisible)
    assert "fewer words" in shown.empty.text()


def test_that_being_offline_is_explained_and_can_be_tried_again(page, qtbot):
    shown = page("offline")
    qtbot.waitUntil(shown.problem.isVisible)
    assert "cannot be reached" in shown.problem.accessibleName()
    assert not shown.empty.isVisible()


def test_that_rows_say_whether_the_model_runs_here(filled, qtbot):
    shown = filled()
    shown.context.machine.watch()
    qtbot.waitUntil(lambda: all(row.fit for row in listed(shown)[:5]))
    words = {row.key: row.fit.word for row in listed(shown)}
    assert words["HuggingFaceTB/SmolLM2-135M"] is FitWord.FITS
    assert words["mistralai/Mistral-Small-24B"] is not FitWord.FITS


def test_that_filters_and_orders_apply_to_what_came(qtbot):
    filters = SearchFilters()
    qtbot.addWidget(filters)
    small = HubModel("a/small", parameters=10**9, licence="mit")
    large = HubModel("a/large", parameters=8 * 10**9, licence="llama3.1", gated="auto")
    huge = HubModel("a/huge", parameters=70 * 10**9, licence="apache-2.0")
    models, options = (small, huge, large), FitOptions()
    fits = {
        small.parameters: Fit(FitWord.FITS, options),
        large.parameters: Fit(FitWord.FITS, options),
        huge.parameters: Fit(FitWord.NOT, options),
    }
    filters.order.setCurrentIndex(4)
    assert filters.sifted(models, fits) == [large, small, huge]
    filters.runs.setChecked(True)
    assert filters.sifted(models, fits) == [large, small]
    filters.runs.setChecked(False)
    filters.licence.setCurrentIndex(1)
    assert filters.sifted(models, fits) == [small, huge]
    filters.licence.setCurrentIndex(0)
    filters.open.setChecked(True)
    assert filters.sifted(models, fits) == [small, huge]
    filters.size_band.setCurrentIndex(1)
    assert filters.sifted(models, fits) == [small]
    assert filters.question(" qwen ").text == "qwen"


def test_that_a_chosen_model_says_whether_it_can_be_converted(opened):
    shown = opened()
    assert shown.details.answer.text() == "Nibble can convert this"
    assert shown.details.convert.isEnabled()
    assert "apache-2.0" in shown.details._facts.text()

    def formats():
        grid = shown.details._grid
        cells = (grid.itemAtPosition(row, 0) for row in range(grid.rowCount()))
        return {cell.widget().text().partition(" ")[0] for cell in cells if cell}

    assert "Q4_K_M" in formats()
    shown.context.preferences.runtime = "vllm"
    assert "w4a16-g128" in formats()
    assert "Q4_K_M" not in formats()


def test_that_limits_and_files_that_are_there_are_named(opened, qtbot):
    shown = opened("bartowski/Qwen_Qwen3-8B-GGUF")
    assert shown.details.answer.text().endswith("with limits")
    texts = [shown.details._existing.itemAt(i).widget().text() for i in range(3)]
    assert texts[1:] == ["Qwen3-8B-Q4_K_M.gguf  (5.0 GB)", "Qwen3-8B-Q8_0.gguf  (8.7 GB)"]


def test_that_a_model_that_cannot_be_converted_says_why(opened):
    shown = opened("someone/unsized-experiment")
    assert shown.details.answer.text() == "Nibble cannot convert this"
    assert "no weights in a format that is safe" in shown.details._reasons.text()
    assert not shown.details.convert.isEnabled()


def test_that_a_gated_model_comes_with_the_steps(opened):
    shown = opened("meta-llama/Llama-3.1-8B-Instruct")
    assert "agree to the terms" in shown.details._reasons.text()
    assert "by hand" in shown.details._reasons.text()


def test_that_convert_goes_on_to_the_form(opened, qtbot):
    shown = opened()
    with qtbot.waitSignal(shown.context.desk.page_wanted) as wanted:
        shown.details.convert.click()
    assert wanted.args == ["convert", QWEN]


def test_that_a_download_ends_with_an_offer_to_convert(opened, qtbot):
    shown = opened()
    with qtbot.waitSignal(shown.context.desk.notice_wanted) as notice:
        shown.details.download.click()
        assert not shown.details.download.isEnabled()
        qtbot.waitUntil(lambda: "left" in shown.details.progress.text())
        assert shown.details.progress.text() == "Downloading  ·  3.2 GB left  ·  41.0 MB/s"
    assert notice.args[0].text == f"{QWEN} is on this computer."
    with qtbot.waitSignal(shown.context.desk.page_wanted) as wanted:
        notice.args[0].run()
    assert wanted.args == ["convert", "/models/x"]


def test_that_favourites_are_kept(opened, qtbot):
    shown = opened()
    shown.details.star.click()
    assert shown.context.preferences.favourites == [QWEN]
    shown.places["favourites"].click()
    assert keys(shown) == [QWEN]
    assert listed(shown)[0].is_favourite
    shown.details.star.click()
    assert keys(shown) == []
    assert "star" in shown.empty.text()


def test_that_models_on_this_computer_are_listed_and_lead_to_the_form(filled, qtbot, tmp_path):
    shown = filled()
    folder = tmp_path / "mine" / "Tiny-1B"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    shown.context.preferences.models_folder = str(tmp_path / "mine")
    shown.places["local"].click()
    qtbot.waitUntil(lambda: keys(shown) == [str(folder)])
    shown.list.choose(str(folder))
    assert shown.local.name.text() == "Tiny-1B"
    shown.places["favourites"].click()  # it stays in sight, and works
    with qtbot.waitSignal(shown.context.desk.page_wanted) as wanted:
        shown.local.convert.click()
    assert wanted.args == ["convert", str(folder)]


def test_that_what_is_typed_applies_to_every_place(opened, qtbot):
    shown = opened()
    shown.details.star.click()
    shown.places["favourites"].click()
    shown.edit.setText("mistral")
    assert keys(shown) == []
    shown.edit.setText("qwen")
    assert keys(shown) == [QWEN]
    shown.edit.setText("mistral")
    shown.places["hub"].click()
    qtbot.waitUntil(lambda: keys(shown) == ["mistralai/Mistral-Small-24B"])


def test_that_the_shared_cache_is_looked_into(tmp_path, monkeypatch, home):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--Qwen--Qwen3-0.6B" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model-1.safetensors", "model-2.safetensors"):
        (snapshot / name).write_bytes(bytes(10))
    (tmp_path / "alone.gguf").write_bytes(bytes(7))
    (tmp_path / "broken.gguf").symlink_to(tmp_path / "nowhere")
    found = [(model.name, model.nbytes) for model in local_models([])]
    assert found == [("alone", 7), ("Qwen3-0.6B", 20)]


def test_that_a_page_by_a_stranger_loads_nothing_and_runs_nothing(qtbot, monkeypatch):
    view = CardView()
    qtbot.addWidget(view)
    view.show_card(CARD)
    assert "alert" not in view.toPlainText()
    assert "license: apache" not in view.toPlainText()
    assert "thinks before it answers" in view.toPlainText()
    assert "tracker.example" not in view.toHtml()
    picture = QTextDocument.ResourceType.ImageResource
    assert view.loadResource(picture, QUrl("https://tracker.example/pixel.png")) is None
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    for link in ("javascript:alert(1)", "file:///etc/passwd", "https://example.org/report"):
        view.anchorClicked.emit(QUrl(link))
    assert [link.toString() for link in opened] == ["https://example.org/report"]


@pytest.mark.parametrize(
    "card",
    ["<" * 50_000, "![" * 20_000, "---\n" * 20_000, "<script>" * 9_000, "# " * 30_000],
    ids=["angles", "pictures", "rules", "scripts", "headings"],
)
def test_that_no_page_takes_long_to_clean(card):
    assert len(readable(card)) <= 45_000

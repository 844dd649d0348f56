import pytest
from fake_jobs import program

from app.ui import probe as probe_module
from app.ui.probe import Probe


@pytest.fixture
def ask(qapp):
    """Makes probes that leave nothing behind."""
    made = []

    def make(*command):
        made.append(Probe(list(command)))
        return made[-1]

    yield make
    for probe in made:
        probe.close()


@pytest.fixture
def probe(ask):
    return ask(*program("ok"))


def test_that_an_answer_arrives_as_data(probe, qtbot):
    with qtbot.waitSignal(probe.answered) as answer:
        probe.ask("inspect", "/models/Qwen3-8B", "--json")
    assert answer.args[0]["model"]["name"] == "Qwen3-8B"
    assert not probe.is_busy


def test_that_a_stated_error_keeps_its_words(probe, qtbot):
    with qtbot.waitSignal(probe.failed) as failed:
        probe.ask("inspect", "/models/broken", "--json")
    error = failed.args[0]
    assert (error.title, error.hint) == ("The file broken is not a model.", "Choose another.")


def test_that_garbage_is_explained_and_not_shown(probe, qtbot):
    with qtbot.waitSignal(probe.failed) as failed:
        probe.ask("inspect", "/models/garbage", "--json")
    assert "did not answer" in failed.args[0].title


def test_that_a_missing_program_is_explained(ask, qtbot):
    probe = ask("/no/such/program")
    with qtbot.waitSignal(probe.failed) as failed:
        probe.ask("hardware")
    assert "/no/such/program" in failed.args[0].details


def test_that_the_newest_question_wins(probe, qtbot):
    answers = []
    probe.answered.connect(answers.append)
    probe.ask("inspect", "/models/slow", "--json")
    probe.ask("inspect", "/models/first", "--json")
    with qtbot.waitSignal(probe.answered):
        probe.ask("inspect", "/models/second", "--json")
    assert [answer["model"]["name"] for answer in answers] == ["second"]


def test_that_patience_ends(ask, qtbot, monkeypatch):
    monkeypatch.setattr(probe_module, "PATIENCE_MS", 200)
    probe = ask(*program("ok"))
    with qtbot.waitSignal(probe.failed) as failed:
        probe.ask("inspect", "/models/slow", "--json")
    assert "too long" in failed.args[0].title

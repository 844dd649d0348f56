"""What a model card says once its job is done."""

import pytest

from app.core.report import Quality, Report
from app.evaluation.card import with_results

CARD = "| | |\n|---|---|\n| Format | w4a16-g128 |\n"
PLAIN = {"preset": "w4a16-g128", "method": "nearest", "options": [], "device": "cpu", "threads": 2}
SHOWN = {**PLAIN, "text": "mine.txt", "samples": 1200, "length": 512, "seed": 0}


@pytest.fixture
def report():
    def make(recipe, quality=None):
        sizes = {"bytes_before": 2, "bytes_after": 1, "weights": 1, "bits_per_weight": 8.0}
        words = dict.fromkeys(
            ("model", "architecture", "preset", "source", "target", "created"), ""
        )
        return Report(**sizes, **words, seconds=1.0, recipe=recipe, quality=quality)

    return make


def test_that_a_card_stays_where_there_is_nothing_to_add(report):
    assert with_results(CARD, report(PLAIN)) == CARD


def test_that_a_calibrated_result_says_what_it_was_shown(report):
    row = "| Calibrated with | mine.txt: at most 1,200 pieces of 512 tokens |\n"
    assert with_results(CARD, report(SHOWN)) == CARD + row
    assert "512 tokens, seed 3 |" in with_results(CARD, report({**SHOWN, "seed": 3}))


def test_that_names_of_files_cannot_break_the_card(report):
    recipe = {**SHOWN, "text": "a|b\n# <script>.txt", "adapters": [["x|y", 0.5]]}
    added = with_results(CARD, report(recipe)).removeprefix(CARD)
    assert "a_b__ _script_.txt: at most" in added
    assert "| Adapters merged | x_y, scale 0.5 |" in added
    assert len(added.splitlines()) == 2


def test_that_a_measured_result_has_a_table_of_what_was_lost(report):
    quality = Quality(2040, 512, "evaluation", 11.234, 11.523, 0.0213, 0.21, 0.934)
    text = with_results(CARD, report(PLAIN, quality))
    assert text.startswith(CARD + "\n## What was lost\n\n|")
    assert "| Perplexity | 11.234 | 11.523 |" in text
    assert "| | 0.021 nats |" in text
    assert "| | 93.4 % |" in text
    assert "2,040 tokens" in text

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.report import Quality
from app.evaluation.verdict import LEVELS, figure, verdict

QUALITY = Quality(2040, 512, "evaluation", 10.0, 10.1, 0.0, 0.0, 1.0)

# SmolLM2-135M against its 16-bit file: on the shipped text, and by llama.cpp's perplexity tool.
MEASURED = {
    "Q8_0": (0.0010, 0.976, "practically the original"),
    "Q6_K": (0.0041, 0.948, "practically the original"),
    "Q4_K_M": (0.041, 0.855, "small loss"),
    "Q4_K_S": (0.045, 0.847, "small loss"),
    "Q4_0": (0.26, 0.679, "visible loss"),
    "Q8_0 by llama.cpp": (0.0033, 0.974, "practically the original"),
    "Q4_K_M with importance by llama.cpp": (0.025, 0.930, "very small loss"),
    "Q4_K_M by llama.cpp": (0.038, 0.899, "small loss"),
    "Q4_0 by llama.cpp": (0.205, 0.826, "visible loss"),
    "Q2_K by llama.cpp": (0.320, 0.798, "visible loss"),
}


@pytest.mark.parametrize("name", MEASURED)
def test_that_known_formats_get_the_word_they_are_known_for(name):
    kl, same_top, word = MEASURED[name]
    assert verdict(replace(QUALITY, kl_mean=kl, same_top=same_top)).word == word


@given(st.tuples(st.floats(0, 20), st.floats(0, 1)), st.tuples(st.floats(0, 20), st.floats(0, 1)))
def test_that_worse_figures_never_earn_a_better_word(one, other):
    better = min(one[0], other[0]), max(one[1], other[1])
    worse = max(one[0], other[0]), min(one[1], other[1])
    levels = [
        verdict(replace(QUALITY, kl_mean=kl, same_top=top)).level for kl, top in (better, worse)
    ]
    assert levels[0] <= levels[1]


def test_that_every_word_can_be_earned():
    found = [
        verdict(replace(QUALITY, kl_mean=min(level.kl, 5), same_top=level.same_top)).word
        for level in LEVELS
    ]
    assert found == [level.word for level in LEVELS]


@pytest.mark.parametrize(
    "broken",
    [
        {"kl_mean": math.nan, "perplexity_after": math.nan},
        {"kl_mean": math.inf},
        {"perplexity_after": math.inf},
        {"same_top": 0.01, "kl_mean": 7.0},
    ],
    ids=str,
)
def test_that_a_result_without_sense_is_called_broken(broken):
    assert verdict(replace(QUALITY, **broken)).word == "broken"


def test_that_the_sentence_has_the_numbers():
    found = verdict(replace(QUALITY, kl_mean=0.0213, same_top=0.934))
    assert found.detail.startswith("KL 0.021, same next word 93.4 %")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3e-6, "below 0.0001"),
        (0.00034, "0.0003"),
        (0.0034, "0.0034"),
        (0.0213, "0.021"),
        (0.999, "1.00"),
        (12.34, "12.3"),
        (math.nan, "not a number"),
        (math.inf, "infinite"),
    ],
)
def test_that_small_numbers_keep_two_digits(value, text):
    assert figure(value) == text

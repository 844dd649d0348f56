"""Which method each format gets, and what follows from that."""

from pathlib import Path

import pytest
from fake_answers import inspection

from app.core.model import Inspection
from app.ui.methods import ChosenMethods, method_title

FOUND = Inspection.from_json(inspection(Path("/models/Qwen3-8B")))
CHOICES = {choice.preset: choice for choice in FOUND.choices}
KNOWN = {method.name: method for method in FOUND.methods}


def chosen(*presets, wish=""):
    return ChosenMethods([CHOICES[preset] for preset in presets], KNOWN, wish)


def gets(methods):
    return {choice.preset: methods.name_for(choice) for choice in methods.choices}


def test_that_joined_methods_are_called_by_both_names():
    assert method_title("awq+gptq") == "AWQ, then GPTQ"


def test_that_a_format_gets_the_wish_where_it_suits_and_its_own_method_elsewhere():
    assert gets(chosen("w4a16-g128", "fp8", wish="gptq")) == {
        "w4a16-g128": "gptq",
        "fp8": "nearest",
    }
    assert gets(chosen("w4a16-g128", "gptq-4bit-g128")) == {
        "w4a16-g128": "nearest",
        "gptq-4bit-g128": "gptq",
    }


@pytest.mark.parametrize(
    ("presets", "wish", "common"),
    [
        (("w4a16-g128", "fp8"), "", "nearest"),
        (("w4a16-g128", "gptq-4bit-g128"), "", ""),
        (("w4a16-g128", "gptq-4bit-g128"), "gptq", "gptq"),
        (("fp8",), "gptq", "nearest"),
        (("gptq-4bit-g128",), "", "gptq"),
        ((), "gptq", ""),
    ],
)
def test_that_a_method_is_common_to_the_formats_that_it_suits(presets, wish, common):
    assert chosen(*presets, wish=wish).common == common


def test_that_nothing_is_offered_where_no_format_leaves_a_choice():
    assert chosen("bf16-folder").offered == ()
    assert chosen("bf16-folder", "bnb-nf4-dq").offered == ()
    assert chosen("bf16-folder", "Q4_K_M").offered == ("nearest", "gptq")


def test_that_a_matrix_counts_where_nothing_better_is_known_and_where_it_is_needed():
    weighed = chosen("Q4_K_M", "IQ2_M", "IQ3_M", wish="gptq").weighed
    assert [choice.preset for choice in weighed] == ["IQ2_M", "IQ3_M"]
    assert len(chosen("Q4_K_M", "IQ2_M", "IQ3_M").weighed) == 3
    assert chosen("gptq-4bit-g128").weighed == ()


def test_that_a_text_is_shown_for_a_calibrated_method_chosen_or_own():
    assert not chosen("w4a16-g128", wish="clipped").is_shown_text
    assert chosen("w4a16-g128", wish="gptq").is_shown_text
    assert chosen("gptq-4bit-g128").is_shown_text
    assert not chosen("gptq-4bit-g128", wish="nearest").is_shown_text
    assert chosen("fp8-static").is_shown_text  # for the ranges of inputs


def test_that_formats_that_keep_their_own_method_are_known():
    unsuited = chosen("w4a16-g128", "fp8", "gptq-4bit-g128", wish="gptq").unsuited
    assert [choice.preset for choice in unsuited] == ["fp8"]
    assert chosen("w4a16-g128", "gptq-4bit-g128").unsuited == ()

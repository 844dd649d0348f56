"""Models in programs other than llama.cpp: what goes where, and whether there is room."""

import itertools
from dataclasses import replace

import pytest
from computers import GB, card, computer, part
from test_assess import MODEL

from app.advisor import assess, fits_of
from app.advisor.serving import PROGRAMS, Serving
from app.core.fit import FitOptions, FitWord
from app.core.runtime import Runtime
from app.devices.known import imagine
from app.models import open_model

USUAL = FitOptions()
ORDER = [FitWord.NOT, FitWord.MEMORY, FitWord.PARTLY, FitWord.TIGHT, FitWord.FITS]
SHARED = (Runtime.VLLM, Runtime.TRANSFORMERS)


def judge(runtime, machine, options=USUAL, model=MODEL):
    question = Serving(PROGRAMS[runtime], model, model.geometry, machine)
    return assess(model, machine, options, question=question)


def weights(fit):
    return next(need.nbytes for need in fit.needs if need.name == "Weights")


@pytest.mark.parametrize("runtime", SHARED)
def test_that_a_model_with_room_on_a_card_fits_with_all_its_weights_there(runtime):
    fit = judge(runtime, computer(32 * GB, card(24 * GB)))
    assert fit.word is FitWord.FITS
    assert weights(fit) == MODEL.weights
    assert fit.layers_on_gpu == 32
    cache = next(need.nbytes for need in fit.needs if need.name == "Context")
    assert cache == 32 * 2 * 8 * 128 * 2 * USUAL.context  # keys and values, 8 heads of 128


@pytest.mark.parametrize("runtime", SHARED)
def test_that_more_memory_never_makes_it_worse(runtime):
    words = [judge(runtime, computer(64 * GB, card(room * GB))).word for room in range(1, 40)]
    places = [ORDER.index(word) for word in words]
    assert places == sorted(places)
    assert len(set(words)) > 2


def test_that_transformers_leaves_in_memory_what_a_card_has_no_room_for():
    fit = judge(Runtime.TRANSFORMERS, computer(32 * GB, card(5 * GB)))
    assert fit.word is FitWord.PARTLY
    assert 0 < fit.layers_on_gpu < 32
    assert weights(fit) == MODEL.weights
    assert judge(Runtime.TRANSFORMERS, computer(2 * GB, card(5 * GB))).word is FitWord.NOT


def test_that_vllm_wants_everything_on_cards_and_leaves_a_tenth_of_them():
    assert judge(Runtime.VLLM, computer(64 * GB, card(5 * GB))).word is FitWord.NOT
    machine = computer(64 * GB, card(12 * GB, total=13 * GB))
    assert judge(Runtime.VLLM, machine).budget == round(0.9 * 13 * GB)


def test_that_vllm_takes_as_many_cards_that_are_alike_as_a_power_of_two():
    one = card(14 * GB)
    alone = judge(Runtime.VLLM, computer(64 * GB, one))
    pair = judge(Runtime.VLLM, computer(64 * GB, one, one))
    three = judge(Runtime.VLLM, computer(64 * GB, one, one, one))
    assert pair.budget == three.budget == 2 * alone.budget
    assert pair.word is FitWord.FITS
    assert pair.tokens_per_second[1] > 1.5 * alone.tokens_per_second[1]
    other = judge(Runtime.VLLM, computer(64 * GB, one, card(4 * GB)))
    assert other.budget == alone.budget


def test_that_programs_run_in_memory_without_a_card():
    fit = judge(Runtime.TRANSFORMERS, computer(32 * GB))
    assert fit.word is FitWord.MEMORY
    assert judge(Runtime.TRANSFORMERS, computer(4 * GB)).word is FitWord.NOT


def test_that_mlx_works_in_the_memory_that_graphics_may_have():
    mac = computer(36 * GB, part(24 * GB))
    fit = judge(Runtime.MLX, mac)
    assert fit.word is FitWord.FITS
    assert fit.budget == 24 * GB
    assert judge(Runtime.MLX, computer(36 * GB, part(4 * GB))).word is FitWord.NOT


def test_that_a_longer_context_takes_more_until_it_no_longer_fits():
    machine = computer(64 * GB, card(16 * GB))
    for runtime in SHARED:
        fits = [judge(runtime, machine, FitOptions(2**power)) for power in range(10, 18)]
        assert all(one.high < two.high for one, two in itertools.pairwise(fits))
        largest = fits[0].largest_context
        assert judge(runtime, machine, FitOptions(largest)).word in {FitWord.FITS, FitWord.TIGHT}
        after = judge(runtime, machine, FitOptions(largest + 256)).word
        assert after not in {FitWord.FITS, FitWord.TIGHT}


def test_that_each_kind_of_programs_has_its_own_formats_and_sizes():
    sample = open_model("sample")
    machine = imagine("RTX 3060 12 GB")
    by_runtime = {one: fits_of(sample, machine, USUAL, runtime=one) for one in Runtime}
    assert "Q4_K_M" in by_runtime[Runtime.LLAMA_CPP]
    assert "fp8" not in by_runtime[Runtime.LLAMA_CPP]
    packed = by_runtime[Runtime.VLLM]["w4a16-g128"]
    unpacked = by_runtime[Runtime.TRANSFORMERS]["w4a16-g128"]
    assert weights(unpacked) > 2 * weights(packed)
    assert weights(unpacked) == weights(by_runtime[Runtime.TRANSFORMERS]["bf16-folder"])
    mac_only = by_runtime[Runtime.MLX]["mlx-4bit"]
    assert mac_only.word is FitWord.ELSEWHERE
    assert "Mac" in mac_only.reason


def test_that_the_type_of_llama_cpps_cache_does_not_reach_other_programs():
    sample, machine = open_model("sample"), imagine("RTX 3060 12 GB")
    small = replace(USUAL, cache_type="q4_0")
    fits = [fits_of(sample, machine, one, runtime=Runtime.VLLM)["fp8"] for one in (USUAL, small)]
    assert fits[0].needs == fits[1].needs

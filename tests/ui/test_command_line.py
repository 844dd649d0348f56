"""What the window asks and copies is read by the commands' own parsers."""

import argparse
from dataclasses import replace

import pytest

from app.commands.quantize import Quantize
from app.commands.recipe import recipe_of
from app.core.job import Job, Output
from app.core.recipe import AUTOMATIC, Recipe
from app.formats import find_preset
from app.ui.command_line import job_words, plan_words

EVERYTHING = Recipe(
    "Q4_K_M",
    pure=True,
    overrides=(("ffn_down=x|blk.0", "Q6_K"), ("attn_v", "Q8_0")),
    output="Q6_K",
    embedding="Q3_K",
    leave_output=True,
    importance=AUTOMATIC,
    requantize=True,
    split_bytes=2_000_000_000,
    metadata=(("general.name", "str:My = model"),),
)


@pytest.fixture
def parse():
    parser = argparse.ArgumentParser()
    Quantize().configure(parser)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args


@pytest.mark.parametrize(
    "recipe",
    [
        EVERYTHING,
        Recipe("Q8_0"),
        Recipe("IQ2_M", importance=AUTOMATIC),
        Recipe("Q2_K", importance="/tmp/matrix.gguf"),
        Recipe("Q4_K_M", split_bytes=512_000_001),
        Recipe("w4a16-g128", "gptq", (("damping", "0.05"), ("refit", "no"))),
        Recipe("w8a8-int8-static", "smoothquant", percentile=99.99),
        Recipe("hqq-4bit-g64"),  # whose own method is another one
    ],
)
def test_that_the_question_for_a_plan_has_the_whole_recipe(parse, recipe):
    args = parse(plan_words("/models/x", recipe)[1:])
    assert args.dry_run
    assert args.json
    assert [recipe_of(args, find_preset(name)[1]) for name in args.format] == [recipe]


def test_that_the_command_of_a_job_is_the_job(parse):
    recipes = (EVERYTHING, replace(EVERYTHING, preset="IQ3_M"))
    outputs = tuple(Output(f"/out/{recipe.preset}.gguf", recipe) for recipe in recipes)
    job = Job("x", "/models/x", outputs, "cuda:0", 3, evaluate=False, overwrite=True)
    args = parse(job_words(replace(job, calibration="/texts/my text.txt"), "/out", {})[2:])
    assert [recipe_of(args, find_preset(name)[1]) for name in args.format] == [*recipes]
    assert (args.device, args.threads, args.no_evaluate, args.overwrite) == (
        "cuda:0",
        3,
        True,
        True,
    )
    assert (str(args.out), str(args.calibration)) == ("/out", "/texts/my text.txt")


def test_that_a_usual_job_is_a_short_command():
    job = Job("x", "/models/x", (Output("/out/x.gguf", Recipe("Q8_0")),))
    words = "nibble quantize /models/x --format Q8_0 --out /out/x.gguf"
    assert job_words(job, "/out", {"Q8_0": "nearest"}) == words.split()


def test_that_a_method_of_ones_own_and_its_text_are_in_the_command(parse):
    own = {"w4a16-g128": "nearest", "fp8": "nearest", "hqq-4bit-g64": "hqq"}
    recipes = (Recipe("fp8"), Recipe("w4a16-g128", "gptq", (("damping", "0.05"),)))
    outputs = tuple(Output(f"/out/{recipe.preset}", recipe) for recipe in recipes)
    job = Job("x", "/models/x", outputs, samples=64, length=256, seed=3)
    args = parse(job_words(job, "/out", own)[2:])
    assert (args.method, args.options) == ("gptq", [("damping", "0.05")])
    assert (args.samples, args.length, args.seed) == (64, 256, 3)
    plain = replace(job, outputs=(Output("/out/h", Recipe("hqq-4bit-g64", "hqq")),), samples=0)
    assert "--method" not in job_words(plain, "/out", own)


def test_that_options_of_a_formats_own_method_are_in_the_command(parse):
    recipes = (Recipe("fp8"), Recipe("hqq-4bit-g64", "hqq", (("norm", "0.5"),)))
    outputs = tuple(Output(f"/out/{recipe.preset}", recipe) for recipe in recipes)
    words = job_words(
        Job("x", "/models/x", outputs), "/out", {"fp8": "nearest", "hqq-4bit-g64": "hqq"}
    )
    assert parse(words[2:]).options == [("norm", "0.5")]

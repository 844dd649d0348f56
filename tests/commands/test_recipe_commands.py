"""Recipes on the command line: what is asked for, planned, split and merged."""

from __future__ import annotations

import json

import pytest

from app.commands.terminal import byte_count
from app.core.job import Job, Output
from app.core.recipe import Recipe
from app.models.gguf_file import GgufFile


@pytest.fixture
def plan(say):
    """The document of a dry run of the sample."""

    def ask(*options):
        code, out, err = say("quantize", "sample", "--dry-run", "--json", *options)
        assert code == 0, err
        return json.loads(out)

    return ask


def types(document):
    return {tensor["name"]: tensor["encoding"] for tensor in document["tensors"]}


def test_that_a_dry_run_sizes_the_file_that_is_then_written(say, plan, tmp_path):
    options = ("--format", "Q4_0", "--tensor", "ffn_down=Q8_0", "--embedding-type", "q5_0")
    planned = plan(*options)
    assert list(tmp_path.iterdir()) == []
    target = tmp_path / "m.gguf"
    code, _, err = say("quantize", "sample", *options, "--no-evaluate", "--out", target)
    assert code == 0, err
    assert target.stat().st_size == planned["bytes_after"]
    written = GgufFile(target).tensors
    assert {name: info.dtype for name, info in written.items()} == types(planned)
    assert written["token_embd.weight"].dtype == "Q5_0"
    assert {written[f"blk.{layer}.ffn_down.weight"].dtype for layer in range(8)} == {"Q8_0"}


def test_that_the_first_pattern_that_is_found_counts(plan):
    options = ("--tensor", r"blk\.[0-3]\.ffn_up=Q6_K", "--tensor", "ffn_up=Q8_0", "--pure")
    found = types(plan("--format", "Q4_K_M", *options))
    assert [found[f"blk.{layer}.ffn_up.weight"] for layer in range(8)] == ["Q6_K"] * 4 + [
        "Q8_0"
    ] * 4
    assert found["blk.0.attn_v.weight"] == "Q4_K"


def test_that_a_dry_run_names_groups_fallbacks_and_files(say):
    code, out, _ = say("quantize", "sample", "--dry-run", "--format", "Q4_K_M", "--split", "2M")
    assert code == 0
    assert "blk.*.attn_q.weight" in out
    assert "2 files: 2.0 MB, " in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tensor", "ffn_down=Q9_Z"), "no type called 'Q9_Z'"),
        (("--tensor", "ffn_(=Q8_0"), "no pattern"),
        (("--tensor", "ffn_sideways=Q8_0"), "No tensor of this model"),
        (("--tensor", "_norm=Q8_0"), "stay as they are"),
        (("--output-type", "four"), "no type called 'four'"),
        (("--metadata", "general.name=int:x"), "no value of the type int"),
        (("--metadata", "general.name=text:x"), "no type 'text'"),
        (("--metadata", "x.y=float:1e300"), "no value of the type float"),
        (("--metadata", "x.y=float:inf"), "no value of the type float"),
        (("--metadata", "x.y=int:99999999999999999999"), "no value of the type int"),
        (("--metadata", "general.alignment=int:64"), "cannot be set"),
        (("--metadata", "split.count=int:2"), "cannot be set"),
    ],
)
def test_that_what_cannot_be_is_refused_with_a_way_out(options, words, say):
    code, out, err = say("quantize", "sample", "--dry-run", "--format", "Q4_0", *options)
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    "options",
    [("--tensor", "ffn_down"), ("--tensor", "=Q8_0"), ("--metadata", "a=b"), ("--split", "0")],
)
def test_that_options_of_the_wrong_form_are_a_matter_of_usage(options, say):
    with pytest.raises(SystemExit) as caught:
        say("quantize", "sample", "--dry-run", "--format", "Q4_0", *options)
    assert caught.value.code == 2


def test_that_choices_without_effect_are_noted(plan):
    options = ("--leave-output", "--embedding-type", "Q8_0", "--tensor", "token_embd=Q4_0")
    notes = plan("--format", "Q4_0", *options)["notes"]
    assert "This model has no output layer of its own that could be left as it is." in notes
    assert any("token_embd=Q4_0 changes nothing" in note for note in notes)


def test_that_entries_of_the_file_can_be_set_and_keep_their_types(say, tmp_path):
    target = tmp_path / "m.gguf"
    entries = ("general.name=str:A: b=c", "llama.context_length=int:128", "x.y=int:-3")
    options = [word for entry in (*entries, "x.z=bool:true") for word in ("--metadata", entry)]
    done = say("quantize", "sample", "--format", "Q4_0", "--no-evaluate", "--out", target, *options)
    assert done[0] == 0, done
    header = GgufFile(target).header
    assert header.get("general.name") == "A: b=c"
    found = {key: header.metadata[key] for key in ("llama.context_length", "x.y", "x.z")}
    kinds = {key: (value.type.name, value.value) for key, value in found.items()}
    assert kinds == {
        "llama.context_length": ("UINT32", 128),
        "x.y": ("INT32", -3),
        "x.z": ("BOOL", True),
    }


def test_that_a_quantized_file_is_quantized_again_only_when_that_is_allowed(say, tmp_path):
    first = tmp_path / "q4.gguf"
    options = ("--no-evaluate", "--out")
    assert say("quantize", "sample", "--format", "Q4_K_M", *options, first)[0] == 0
    again = ("quantize", first, "--format", "Q4_0", *options, tmp_path / "again.gguf")
    code, _, err = say(*again)
    assert code == 2
    assert "already quantized" in err
    code, _, err = say(*again, "--allow-requantize")
    assert code == 0, err
    assert "accuracy is lost twice" in err


def test_that_a_file_is_cut_and_joined_again(say, tmp_path):
    whole = tmp_path / "m.gguf"
    done = say("quantize", "sample", "--format", "Q4_0", "--no-evaluate", "--out", whole)
    assert done[0] == 0, done
    code, out, _ = say("split", whole, "--size", "2M", "--json")
    assert code == 0
    parts = [row["path"] for row in json.loads(out)["files"]]
    assert parts[0] == str(tmp_path / f"m-00001-of-{len(parts):05}.gguf")
    before = whole.read_bytes()
    code, _, err = say("merge", parts[0])
    assert (code, "m.gguf already" in err) == (2, True)
    folder = tmp_path / "sub"
    folder.mkdir()
    code, out, _ = say("merge", parts[0], "--out", folder, "--json")
    assert json.loads(out)["files"][0]["path"] == str(folder / "m.gguf")
    code, out, _ = say("split", whole, "--size", "2M", "--out", folder / "x", "--json")
    assert json.loads(out)["files"][0]["path"].endswith(f"x-00001-of-{len(parts):05}.gguf")
    whole.unlink()
    code, out, _ = say("merge", parts[1])
    assert code == 0
    assert str(whole) in out
    assert whole.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("2G", 2 * 10**9), ("500 MB", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("70k", 70_000), ("9", 9)],
)
def test_that_sizes_are_read_as_people_write_them(text, nbytes):
    assert byte_count(text) == nbytes


def test_that_a_recipe_survives_the_way_to_a_worker():
    recipe = Recipe(
        "Q4_K_M",
        overrides=(("a", "Q8_0"), ("b", "F16")),
        importance="auto",
        split_bytes=5,
        metadata=(("k", "int:1"),),
    )
    job = Job("j", "s", (Output("t", recipe),))
    assert Job.from_request(job.request()) == job
    assert Recipe.from_json({"preset": "Q4_0", "method": "nearest", "pure": True}).pure


def test_that_several_formats_go_into_one_folder(say, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog, and then it rains. " * 80)
    options = ("--format", "q4_0,IQ2_XS", "--format", "Q8_0", "--calibration", text)
    place = tmp_path / "made"
    code, out, err = say("quantize", "sample", *options, "--no-evaluate", "--out", place)
    assert code == 0, err
    names = [path.name for path in sorted(place.iterdir())]
    assert [name.rpartition("sample-")[2] for name in names] == [
        "IQ2_XS.gguf", "Q4_0.gguf", "Q8_0.gguf",
    ]  # fmt: skip
    blocks = out.strip().split("\n\n")
    assert [block.splitlines()[0].rpartition("-")[2] for block in blocks] == [
        "Q4_0.gguf", "IQ2_XS.gguf", "Q8_0.gguf",
    ]  # fmt: skip
    assert "Q4_0, IQ2_XS, Q8_0: made with an importance matrix of text.txt" in err
    (job,) = json.loads(say("jobs", "--json")[1])
    assert [result["recipe"]["importance"] for result in job["results"]] == ["auto"] * 3
    assert "Q4_0, IQ2_XS, Q8_0" in say("jobs")[1]


def test_that_formats_that_need_importances_get_them_by_themselves(say, tmp_path):
    code, out, _ = say("quantize", "sample", "--dry-run", "--json", "--format", "Q8_0,IQ2_XS")
    assert code == 0
    assert [document["calibrates"] for document in json.loads(out)["results"]] == [False, True]
    matrix = tmp_path / "missing.gguf"
    options = ("--format", "IQ2_XS", "--imatrix", matrix, "--out", tmp_path / "x.gguf")
    code, _, err = say("quantize", "sample", *options)
    assert code == 2
    assert "missing.gguf" in err


def test_that_several_results_do_not_go_into_one_file(say, tmp_path):
    target = tmp_path / "x.gguf"
    target.write_text("precious")
    code, _, err = say("quantize", "sample", "--format", "Q8_0,Q4_0", "--out", target)
    assert code == 2
    assert "need a folder" in err
    assert target.read_text() == "precious"


@pytest.mark.parametrize(
    ("text", "scale"), [("adapter", 1.0), ("adapter=0.5", 0.5), ("a=b/adapter", 1.0)]
)
def test_that_an_adapter_may_have_a_scale(say, tmp_path, text, scale):
    from app.commands.quantize import adapter

    path, found = adapter(str(tmp_path / text))
    assert found == scale
    assert path == str(tmp_path / text.removesuffix("=0.5"))


def test_that_an_adapter_that_is_none_is_told(say, tmp_path):
    (tmp_path / "nothing").mkdir()
    options = ("--format", "Q8_0", "--out", tmp_path / "x.gguf", "--lora", tmp_path / "nothing")
    code, _, err = say("quantize", "sample", *options)
    assert code == 2
    assert "nothing" in err

"""Results that are folders: complete or absent, and nothing else is touched."""

import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoints import write_llama
from safetensors.torch import load_file, save_file
from tiny_models import stacked_mixture

from app.core.errors import BadModelFile, Unsupported
from app.core.events import Finished, ResultDone, TensorDone, decode
from app.core.job import Job, Output
from app.core.places import jobs_folder
from app.core.recipe import Recipe
from app.core.report import load_report
from app.core.store import JobStore
from app.encodings import FOLDER_ENCODINGS
from app.evaluation.tensor_error import measure_tensors
from app.formats import FORMATS
from app.formats.safetensors.schemes import SCHEMES
from app.models import open_model
from app.worker import folder as folders
from app.worker.convert import convert, discard, is_measuring

USUAL = (
    "w4a16-g128", "fp8", "nvfp4a16", "gptq-4bit-asym-v2-g128", "awq-4bit-g128", "bnb-nf4-dq",
    "bnb-int8", "fp8-block", "mlx-3bit", "f16-folder",
)  # fmt: skip
OTHERS = [name for name, one in SCHEMES.items() if not one.families and name not in USUAL]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "job"
    made.mkdir()
    return made


@pytest.fixture
def sample(tmp_path):
    """A model that takes less time than the sample."""
    write_llama(tmp_path / "source", layers=2, hidden=256, inner=512)
    return tmp_path / "source"


@pytest.fixture
def job(make_job, tmp_path):
    return make_job("w4a16-g128", target=tmp_path / "out" / "m")


def contents(place):
    """Every file below a folder."""
    return {path.name: path.read_bytes() for path in Path(place).iterdir()}


def beside(job):
    return sorted(path.name for path in Path(job.target).parent.iterdir())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    place = tmp_path_factory.mktemp("source")
    write_llama(place, layers=2, hidden=256, inner=512)
    return place


@pytest.fixture(scope="module")
def made_of(source, tmp_path_factory):
    """Makes formats from one reading of the source: their places, and their reports."""

    def make(names):
        place, folder = tmp_path_factory.mktemp("several"), tmp_path_factory.mktemp("job")
        outputs = tuple(Output(str(place / name), Recipe(name)) for name in names)
        shown = {"samples": 2, "length": 64}
        list(convert(Job("j", str(source), outputs, threads=2, evaluate=False, **shown), folder))
        reports = [load_report(folder / f"report-{number}.json") for number in range(len(names))]
        return {name: (place / name, one) for name, one in zip(names, reports, strict=True)}

    return make


@pytest.fixture(scope="module")
def several(made_of):
    """One format of each kind."""
    return made_of(USUAL)


#: How far the worst tensor may be off; half a step of each grid and a little.
WORST = {"2bit": 0.45, "3bit": 0.22, "4bit": 0.12, "4a16": 0.12, "nf4": 0.1, "fp4": 0.14}


def assert_read_back(preset, source, place, report):
    """Read by the readers of published models, which know nothing of what has written it."""
    errors = {row.name: row.error for row in report.tensors}
    limit = next((most for part, most in WORST.items() if part in preset), 0.06)
    assert max(errors.values()) < limit
    assert errors["model.norm.weight"] == 0
    sizes = {path.name: path.stat().st_size for path in place.iterdir()}
    added = sum(sizes.values()) - report.bytes_after
    assert added == 0 or ("text" in report.recipe and 0 < added < 200)  # the card names the text
    assert report.target == str(place)
    assert open_model(place).tensors.keys() == open_model(source).tensors.keys()


@pytest.mark.parametrize("preset", USUAL)
def test_that_a_format_is_made_and_read_back(several, source, preset):
    assert_read_back(preset, source, *several[preset])


@pytest.mark.slow
def test_that_all_formats_are_made_and_read_back(made_of, source):
    for preset, found in made_of(OTHERS).items():
        assert_read_back(preset, source, *found)


def test_that_q_k_v_and_gate_up_share_the_scale_of_all_of_them(several, source):
    place, _ = several["nvfp4a16"]
    stored = load_file(place / "model.safetensors")
    weights = load_file(source / "model.safetensors")
    layer = "model.layers.1."
    for names in (
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        ("mlp.gate_proj", "mlp.up_proj"),
        ("mlp.down_proj",),
    ):
        largest = max(weights[f"{layer}{name}.weight"].abs().max() for name in names)
        for name in names:
            assert stored[f"{layer}{name}.weight_global_scale"] == 448 * 6 / largest.float()


def test_that_each_expert_of_a_stack_is_stored_in_its_place(make_job, folder, tmp_path):
    source = stacked_mixture(tmp_path / "mixture")
    job = make_job("mlx-4bit", source=str(source), target=tmp_path / "out" / "m")
    list(convert(job, folder))
    stored = load_file(Path(job.target) / "model.safetensors")
    weights = load_file(source / "model.safetensors")
    up = weights["model.layers.0.mlp.experts.gate_up_proj"].float()[:, 128:]
    for number in range(4):
        for part, expected in FOLDER_ENCODINGS["mlx-4bit-g64"].encode(up[number]).items():
            found = stored[f"model.layers.0.mlp.switch_mlp.up_proj.{part}"][number]
            assert found.view(torch.uint8).equal(expected.view(torch.uint8))


@pytest.mark.parametrize("changed", [False, True])
def test_that_the_card_tells_what_was_shown_and_lost_unless_somebody_wrote_another(
    make_job, folder, tmp_path, changed
):
    recipe = Recipe("w4a16-g128", "gptq", (("damping", "0.05"),))
    job = make_job("w4a16-g128", target=tmp_path / "out" / "m")
    shown = {"samples": 2, "length": 64, "seed": 3, "evaluate": True}
    job = replace(job, outputs=(replace(job.outputs[0], recipe=recipe),), **shown)
    card = Path(job.target) / "README.md"
    for event in convert(job, folder):
        if changed and is_measuring(event):
            card.write_text("mine")
    if changed:
        assert card.read_text() == "mine"
        return
    text = card.read_text()
    assert "| Method | gptq, damping=0.05 |" in text
    assert "| Calibrated with | mixed.txt: at most 2 pieces of 64 tokens, seed 3 |" in text
    report = load_report(folder / "report-0.json")
    assert f"| Perplexity | {report.quality.perplexity_before:.3f} |" in text
    assert (report.recipe["samples"], report.recipe["length"]) == (2, 64)
    files = contents(job.target)
    list(convert(job, folder))
    assert contents(job.target) == files


def test_that_nothing_has_the_final_name_before_the_end(job, folder):
    for event in convert(job, folder):
        if not isinstance(event, ResultDone | Finished):
            assert not Path(job.target).exists() or is_measuring(event)
    assert beside(job) == ["m"]
    left = [name for name in contents(job.target) if name.endswith((".lock", ".journal"))]
    assert not left


@pytest.mark.parametrize(
    ("preset", "stop_after"),
    [
        ("w4a16-g128", 1),
        ("w4a16-g128", 6),
        ("w4a16-g128", 20),
        ("fp8-static", 5),
        ("fp8-static", 15),
    ],
)
def test_that_a_job_stopped_anywhere_ends_in_the_same_bytes(
    make_job, folder, tmp_path, preset, stop_after
):
    shown = {"samples": 2, "length": 64}
    job = make_job(preset, target=tmp_path / "out" / "m", **shown)
    whole = make_job(preset, target=tmp_path / "whole" / "m", **shown)
    list(convert(whole, folder))
    (folder / "written-0.json").unlink()
    events = convert(job, folder)
    for _ in range(stop_after):
        next(events)
    events.close()
    assert beside(job) == ["m.partial"] if Path(job.target).parent.exists() else True
    list(convert(job, folder))
    assert contents(job.target) == contents(whole.target)
    assert beside(job) == ["m"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_that_a_crash_while_a_folder_is_replaced_loses_nothing(
    make_job, folder, tmp_path, monkeypatch, renames
):
    job = make_job("fp8", target=tmp_path / "out" / "m", overwrite=True)
    list(convert(make_job("w8a16", target=job.target), folder))
    (folder / "written-0.json").unlink()
    before = contents(job.target)
    done = 0

    def rename(source, target):
        nonlocal done
        if done == renames:
            raise KeyboardInterrupt
        done += 1
        source.rename(target)

    with monkeypatch.context() as patched:
        patched.setattr(folders, "_rename", rename)
        if renames < 2:
            with pytest.raises(KeyboardInterrupt):
                list(convert(job, folder))
        else:
            patched.setattr(folders, "_remove_folder", lambda place: None)
            list(convert(job, folder))
    where = {0: "m", 1: "m.replaced", 2: "m.replaced"}[renames]
    assert contents(Path(job.target).with_name(where)) == before
    again = list(convert(job, folder))
    assert not any(isinstance(event, TensorDone) for event in again)
    assert "float-quantized" in (Path(job.target) / "config.json").read_text()
    assert "m.partial" not in beside(job)


def test_that_a_model_is_replaced_only_where_it_may(make_job, folder, tmp_path):
    job = make_job("fp8", target=tmp_path / "out" / "m")
    list(convert(job, folder))
    (folder / "written-0.json").unlink()
    with pytest.raises(Unsupported, match="a folder called m already"):
        list(convert(job, folder))
    other = make_job("w8a16", target=job.target, overwrite=True)
    list(convert(other, folder))
    assert "pack-quantized" in (Path(job.target) / "config.json").read_text()
    assert beside(job) == ["m"]


@pytest.mark.parametrize(
    "name", ["diary.txt", "model.safetensors/diary.txt", ".git/config", "README.md"]
)
def test_that_a_folder_with_something_else_in_it_is_never_replaced(
    make_job, folder, tmp_path, name
):
    job = make_job("fp8", target=tmp_path / "out" / "m", overwrite=True)
    precious = Path(job.target) / name
    precious.parent.mkdir(parents=True)
    if name != "README.md":  # which is also found elsewhere
        (Path(job.target) / "config.json").write_text("{}")
    precious.write_text("dear")
    with pytest.raises(Unsupported, match="belong to no model"):
        list(convert(job, folder))
    assert precious.read_text() == "dear"
    assert beside(job) == ["m"]


def test_that_an_empty_folder_may_be_filled(job, folder):
    Path(job.target).mkdir(parents=True)
    list(convert(job, folder))
    assert (Path(job.target) / "config.json").exists()
    assert beside(job) == ["m"]


def test_that_the_source_is_never_the_target(make_job, sample, folder):
    job = make_job("fp8", target=sample, overwrite=True)
    with pytest.raises(Unsupported, match="replace the model that it is made from"):
        list(convert(job, folder))


def test_that_a_given_up_job_leaves_nothing(job, folder):
    events = convert(job, folder)
    for _ in range(12):
        next(events)
    events.close()
    assert beside(job) == ["m.partial"]
    discard(job)
    assert beside(job) == []


def test_that_a_job_that_has_finished_does_nothing_again(job, folder):
    list(convert(job, folder))
    before = Path(job.target).stat().st_mtime_ns
    again = list(convert(job, folder))
    assert not any(isinstance(event, TensorDone) for event in again)
    assert Path(job.target).stat().st_mtime_ns == before


def test_that_a_folder_is_held_against_its_plan(job, folder):
    list(convert(job, folder))
    form = FORMATS["safetensors"]
    conversion = form.prepare(open_model(Path(job.source)))
    plan = conversion.plan(job.recipe)
    list(measure_tensors(conversion, plan, form.open(Path(job.target))))
    for name, found, instead in (
        ("model.safetensors", b"model.norm.weight", b"model.nork.weight"),
        ("config.json", b"pad_token_id", b"bad_token_id"),
        ("tokenizer.json", b"a", b"b"),
    ):
        path = Path(job.target) / name
        before = path.read_bytes()
        path.write_bytes(before.replace(found, instead, 1))
        with pytest.raises(BadModelFile, match="not what was planned"):
            list(measure_tensors(conversion, plan, form.open(Path(job.target))))
        path.write_bytes(before)


def test_that_a_number_beyond_half_precision_is_named_and_nothing_written(
    make_job, sample, folder, tmp_path
):
    path = sample / "model.safetensors"
    weights = load_file(path)
    name = "model.layers.1.mlp.down_proj.weight"
    weights[name][3, 4] = 70000.0
    save_file(weights, path, metadata={"format": "pt"})
    job = make_job("f16-folder", target=tmp_path / "out" / "m")
    with pytest.raises(BadModelFile, match=r"layers\.1\.mlp\.down_proj\.weight contains 7.01e\+04"):
        list(convert(job, folder))
    assert not Path(job.target).exists()
    list(convert(make_job("bf16-folder", target=tmp_path / "out" / "b"), folder))


def test_that_a_source_in_single_precision_becomes_half_as_large(
    make_job, sample, folder, tmp_path
):
    config = json.loads((sample / "config.json").read_text())
    config["dtype"] = config["torch_dtype"] = "float32"
    (sample / "config.json").write_text(json.dumps(config))
    weights = load_file(sample / "model.safetensors")
    weights = {name: one.float() + 1e-4 for name, one in weights.items()}
    save_file(weights, sample / "model.safetensors")
    job = make_job("w8a16", target=tmp_path / "out" / "m")
    list(convert(job, folder))
    stored = load_file(Path(job.target) / "model.safetensors")
    norm = stored["model.norm.weight"]
    assert norm.equal(weights["model.norm.weight"].to(torch.bfloat16))
    after = json.loads((Path(job.target) / "config.json").read_text())
    assert after["dtype"] == after["torch_dtype"] == "bfloat16"
    assert "The source is in F32" in load_report(folder / "report-0.json").notes[-1]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    place = tmp_path_factory.mktemp("model")
    write_llama(place, layers=8, hidden=512, inner=1536)
    return place


def kill_at_random_moments(job, kills, seconds):
    """Start a worker and kill it, so many times; how often its folder was left unfinished."""
    generator, unfinished = random.Random(3), 0
    JobStore(jobs_folder()).folder(job.id).mkdir(parents=True, exist_ok=True)
    for _ in range(kills):
        command = [sys.executable, "-m", "app", "worker"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as worker:
            worker.stdin.write(job.request().encode() + b"\n")
            worker.stdin.flush()
            wanted = TensorDone | ResultDone | Finished
            next(one for one in map(decode, worker.stdout) if isinstance(one, wanted))
            time.sleep(generator.uniform(0, seconds))
            worker.kill()
        place = Path(job.target)
        unfinished += place.with_name("m.partial").exists()
        if place.exists():
            assert not place.with_name("m.partial").exists()
            assert (place / "config.json").exists()
    return unfinished


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "method", "seconds"),
    [("gptq-4bit-g128", "nearest", 0.4), ("w8a8-int8-static", "smoothquant+gptq", 6)],
)
def test_that_a_killed_job_goes_on_and_ends_in_the_same_bytes(
    model, tmp_path, folder, preset, method, seconds
):
    recipe = Recipe(preset, method, split_bytes=5_000_000)
    shown = {"samples": 4, "length": 64}
    job, whole = (
        Job(
            name, str(model), (Output(str(tmp_path / name / "m"), recipe),), evaluate=False, **shown
        )
        for name in ("killed", "whole")
    )
    assert kill_at_random_moments(job, 20, seconds)
    list(convert(job, JobStore(jobs_folder()).folder(job.id)))
    list(convert(whole, folder))
    assert contents(job.target) == contents(whole.target)
    assert len(list(Path(job.target).glob("*.safetensors"))) > 2

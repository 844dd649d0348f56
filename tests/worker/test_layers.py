"""Jobs whose methods see the model at work, layer by layer."""

import hashlib
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from checkpoint_models import random_family
from safetensors.torch import load_file, save_file
from tiny_models import copy_tokenizer, random_model
from transformers import AutoModelForCausalLM

from app.calibration.checkpoint import LayerCheckpoint
from app.core.errors import BadModelFile, NotEnoughSpace, Unsupported
from app.core.events import Note, Progress, TensorDone
from app.core.job import Job, Output
from app.core.machine import Space
from app.core.recipe import Recipe
from app.core.report import load_report
from app.encodings import ENCODINGS
from app.evaluation.tokenizer import open_tokenizer
from app.formats import FORMATS
from app.methods.gptq import Gptq
from app.models import open_model, scratch
from app.models.named_weights import NamedWeights
from app.worker.convert import convert, discard
from app.worker.work import Work

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTH, SAMPLES = 64, 12


def slow(value):
    return pytest.param(value, marks=pytest.mark.slow)


GPTQ = Recipe("Q4_0", method="gptq")
FROM_ORIGINAL = replace(GPTQ, options=(("quantized_inputs", "no"),))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"hidden_size": 128, "intermediate_size": 160, "num_attention_heads": 4}
    random_model(folder, model_type="llama", num_hidden_layers=3, **sizes)
    return folder


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """The digest of what a job makes that nobody stops."""
    place = tmp_path_factory.mktemp("whole")
    list(convert(job_of(model, place, GPTQ), place))
    return hashlib.sha256((place / "0.gguf").read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "job"
    made.mkdir()
    return made


def job_of(model, tmp_path, *recipes, **fields):
    outputs = tuple(
        Output(str(tmp_path / f"{number}.gguf"), recipe) for number, recipe in enumerate(recipes)
    )
    settings = {"threads": 2, "evaluate": False, "samples": SAMPLES, "length": LENGTH} | fields
    return Job("j", str(model), outputs, **settings)


@pytest.fixture
def told(monkeypatch):
    """What GPTQ is told of the inputs, in the order of its calls: (second moment, rows)."""
    calls = []
    real = Gptq.choose

    def choose(self, weight, encoding, statistics):
        calls.append((statistics.second_moment, len(weight)))
        return real(self, weight, encoding, statistics)

    monkeypatch.setattr(Gptq, "choose", choose)
    return calls


def windows_of(model):
    """The tokens that a job shows to the model, cut without the application's own cutter."""
    path = Path(__file__).parents[2] / "resources" / "text" / "mixed.txt"
    tokenizer = open_tokenizer(open_model(model))
    ids = [] if tokenizer.opening is None else [tokenizer.opening]
    ids += tokenizer.encode(path.read_text(encoding="utf-8"))
    windows = torch.tensor(ids[: SAMPLES * LENGTH]).view(SAMPLES, LENGTH)
    if tokenizer.opening is not None:
        windows[:, 0] = tokenizer.opening
    return windows


def moment_seen(model, module, windows):
    """The sum of x x^T over what a module is given in a transformers model, in float64."""
    seen = []
    hook = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(0, -2)))
    with torch.no_grad():
        model(windows)
    hook.remove()
    rows = torch.cat(seen).double()
    return (rows.mT @ rows).float()


def as_written(model, target, layers):
    """The source with the weights of its first layers as a result has them."""
    changed = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    source = NamedWeights(open_model(model))
    result = NamedWeights(FORMATS["gguf"].open(target), source.description)
    with torch.no_grad():
        for name, weight in changed.named_parameters():
            if any(name.startswith(f"model.layers.{index}.") for index in range(layers)):
                weight.copy_(result.weight(name))
    return changed


@pytest.mark.parametrize(("recipe", "written"), [(GPTQ, True), (FROM_ORIGINAL, False)])
def test_that_a_layer_is_fitted_to_what_the_layers_before_it_compute(
    model, folder, tmp_path, told, recipe, written
):
    job = job_of(model, tmp_path, recipe, threads=1)
    list(convert(job, folder))
    windows = windows_of(model)
    moments = [moment for moment, rows in told if len(moment) == 160]  # the down projections
    assert len(moments) == 3
    for layer, moment in enumerate(moments):
        shown = as_written(model, tmp_path / "0.gguf", layer if written else 0)
        expected = moment_seen(shown, shown.model.layers[layer].mlp.down_proj, windows)
        torch.testing.assert_close(moment, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
    if written:
        other = as_written(model, tmp_path / "0.gguf", 0)
        wrong = moment_seen(other, other.model.layers[2].mlp.down_proj, windows)
        assert (moments[2] - wrong).norm() > 0.02 * wrong.norm()


def test_that_matrices_with_the_same_inputs_are_told_of_one_statistic(
    model, folder, tmp_path, told
):
    list(convert(job_of(model, tmp_path, GPTQ, threads=1), folder))
    kinds = {}
    for moment, rows in told:
        kinds.setdefault(id(moment), []).append(rows)
    # q, k, v; o; gate, up; down; and the output matrix, in 3 layers
    alike = sorted(tuple(rows) for rows in kinds.values())
    assert len(alike) >= 3 * 4
    assert (128, 64, 64) in {tuple(sorted(rows, reverse=True)) for rows in alike}


def test_that_gptq_changes_what_layers_compute_less_than_rounding(model, folder, tmp_path):
    """In transformers, on text that was not calibrated with."""
    recipes = (GPTQ, Recipe("Q4_0"))
    list(convert(job_of(model, tmp_path, *recipes), folder))
    generator = torch.Generator().manual_seed(5)
    windows = windows_of(model)[:, torch.randperm(LENGTH, generator=generator)]
    states = [
        as_written(model, path, 3)(windows, output_hidden_states=True).hidden_states[-2].detach()
        for path in (tmp_path / "0.gguf", tmp_path / "1.gguf")
    ]
    source = as_written(model, tmp_path / "0.gguf", 0)
    expected = source(windows, output_hidden_states=True).hidden_states[-2].detach()
    losses = [float((state - expected).square().mean()) for state in states]
    assert losses[0] < 0.8 * losses[1]


def test_that_results_with_and_without_a_text_are_made_by_one_job(
    model, folder, tmp_path, digest, whole
):
    job = job_of(model, tmp_path, Recipe("Q8_0"), GPTQ, FROM_ORIGINAL)
    events = list(convert(job, folder))
    assert digest(tmp_path / "1.gguf") == whole
    assert digest(tmp_path / "1.gguf") != digest(tmp_path / "2.gguf")
    done = [(event.output, event.tensor) for event in events if isinstance(event, TensorDone)]
    assert len(done) == len(set(done)) == 3 * (3 * 9 + 3)
    shares = [event.overall for event in events if isinstance(event, Progress)]
    assert all(one <= other + 1e-9 for one, other in pairwise(shares))
    assert shares[-1] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("stop_after", [3, slow(9), 17, slow(30)])
def test_that_a_job_stopped_anywhere_goes_on_to_the_same_bytes(
    model, folder, tmp_path, digest, whole, stop_after
):
    job = job_of(model, tmp_path, GPTQ)
    events = convert(job, folder)
    for _ in range(stop_after):
        next(events)
    events.close()
    assert not Path(job.target).exists()
    again = list(convert(job, folder))
    assert digest(Path(job.target)) == whole
    done = [event.tensor for event in again if isinstance(event, TensorDone)]
    assert len(done) == len(set(done)) == 3 * 9 + 3
    assert not list(tmp_path.glob("*.partial*"))


def keep_every_state(monkeypatch):
    real = LayerCheckpoint.__init__

    def eager(self, path, seconds=0, key=""):
        real(self, path, 0, key)

    monkeypatch.setattr(LayerCheckpoint, "__init__", eager)


def stopped_in_layer(job, folder, layer):
    """Run a job until its text gets to a layer, and stop it there."""
    events = convert(job, folder)
    for event in events:
        if isinstance(event, Progress) and event.item.startswith(f"layer {layer} "):
            break
    events.close()


def test_that_layers_whose_outcome_was_kept_are_not_computed_again(
    model, folder, tmp_path, digest, whole, monkeypatch
):
    keep_every_state(monkeypatch)
    job = job_of(model, tmp_path, GPTQ)
    stopped_in_layer(job, folder, 3)
    events = list(convert(job, folder))
    read = [e.item for e in events if isinstance(e, Progress) and e.phase == "calibrate"]
    assert {item for item in read if item} == {"layer 3 of 3", "output"}
    assert digest(Path(job.target)) == whole


@pytest.mark.parametrize("other", [{"samples": 5}, slow({"recipe": FROM_ORIGINAL})])
def test_that_what_was_kept_of_another_job_is_not_used(
    model, folder, tmp_path, digest, monkeypatch, other
):
    keep_every_state(monkeypatch)
    settings = dict(other)
    stopped_in_layer(job_of(model, tmp_path, GPTQ), folder, 3)
    recipe = settings.pop("recipe", GPTQ)
    job = job_of(model, tmp_path, recipe, **settings)
    events = list(convert(job, folder))
    read = [e.item for e in events if isinstance(e, Progress) and e.phase == "calibrate"]
    assert "layer 1 of 3" in read
    (tmp_path / "whole").mkdir()
    list(convert(job_of(model, tmp_path / "whole", recipe, **settings), tmp_path / "whole"))
    assert digest(Path(job.target)) == digest(tmp_path / "whole" / "0.gguf")


@pytest.mark.parametrize("stopped_in", [slow("layer 2 of 3"), "verify"])
def test_that_a_smoothed_result_is_the_same_and_verified_after_a_stop(
    model, folder, tmp_path, digest, stopped_in
):
    """The factors are those of the first run: what is verified are the weights that were scaled."""
    recipe = Recipe("Q4_0", method="awq+gptq", options=(("powers", "4"),))
    (tmp_path / "whole").mkdir()
    list(convert(job_of(model, tmp_path / "whole", recipe), tmp_path / "whole"))
    job = job_of(model, tmp_path, recipe)
    events = convert(job, folder)
    for event in events:
        if isinstance(event, Progress) and stopped_in in {event.item, event.phase}:
            break
    events.close()
    list(convert(job, folder))
    assert digest(Path(job.target)) == digest(tmp_path / "whole" / "0.gguf")
    reports = [load_report(place / "report-0.json") for place in (folder, tmp_path / "whole")]
    assert reports[0].tensors == reports[1].tensors
    assert max(row.error for row in reports[0].tensors) < 0.2


def test_that_a_smoothed_model_is_the_source_but_for_rounding(model, folder, tmp_path):
    """At 8 bits next to nothing is rounded, so that a wrong fold would be seen."""
    few = (("powers", "4"),)
    list(convert(job_of(model, tmp_path, Recipe("Q8_0", method="awq", options=few)), folder))
    windows = windows_of(model)
    with torch.no_grad():
        found, expected = (
            as_written(model, tmp_path / "0.gguf", layers)(windows).logits for layers in (3, 0)
        )
    assert (found - expected).norm() < 0.03 * expected.norm()
    source, written = (NamedWeights(open_model(path)) for path in (model, tmp_path / "0.gguf"))
    norm = "model.layers.1.input_layernorm.weight"
    assert not torch.allclose(source.weight(norm), written.weight(norm), rtol=0.05)


def test_that_giving_up_leaves_nothing(model, folder, tmp_path, monkeypatch):
    keep_every_state(monkeypatch)
    job = job_of(model, tmp_path, GPTQ)
    stopped_in_layer(job, folder, 3)
    assert list(tmp_path.glob("*.layers"))
    discard(job)
    assert list(tmp_path.iterdir()) == [folder]


def test_that_a_gguf_file_is_a_source_too(model, folder, tmp_path, told):
    """What the first layer computes is the same in both conventions."""
    (tmp_path / "first").mkdir()
    list(convert(job_of(model, tmp_path / "first", Recipe("F16")), folder))
    (folder / "written-0.json").unlink()
    list(convert(job_of(tmp_path / "first" / "0.gguf", tmp_path, GPTQ, threads=1), folder))
    of_file = told.copy()
    told.clear()
    (tmp_path / "second").mkdir()
    place = tmp_path / "second"
    list(convert(job_of(model, place, GPTQ, threads=1), place))
    assert [rows for _, rows in of_file] == [rows for _, rows in told]
    for (one, _), (other, _) in list(zip(of_file, told, strict=True))[:3]:
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.002 * float(other.max()))


def test_that_tensors_that_the_method_cannot_fill_are_told_and_rounded_with_importances(
    model, folder, tmp_path
):
    recipe = replace(GPTQ, overrides=(("ffn_down", "IQ4_NL"),))
    events = list(convert(job_of(model, tmp_path, recipe), folder))
    (note,) = [event.text for event in events if isinstance(event, Note) and "IQ4_NL" in event.text]
    assert note.startswith("3 of 23 quantized tensors are IQ4_NL, which gptq cannot fill")
    windows = windows_of(model)
    shown = as_written(model, tmp_path / "0.gguf", 0)
    down = shown.model.layers[0].mlp.down_proj
    importance = moment_seen(shown, down, windows).diagonal()
    stored = FORMATS["gguf"].open(tmp_path / "0.gguf").tensor("blk.0.ffn_down.weight")
    encoding = ENCODINGS["IQ4_NL"]
    weight = down.weight.detach()

    def loss(found):
        return float(((found - weight).square() * importance).sum())

    shape = tuple(weight.shape)
    weighed = encoding.decode(encoding.encode(weight, importance), shape)
    plain = encoding.decode(encoding.encode(weight), shape)
    assert loss(stored) == pytest.approx(loss(weighed), rel=0.01)
    assert loss(stored) < loss(plain)


@pytest.mark.parametrize(
    ("preset", "method", "words"),
    [
        ("IQ4_NL", "hqq", "hqq cannot choose the numbers of the format IQ4_NL"),
        ("BF16", "gptq", "nothing to choose"),
    ],
)
def test_that_a_method_that_fits_nothing_is_refused_before_any_work(
    model, tmp_path, preset, method, words
):
    with pytest.raises(Unsupported, match=words):
        Work.of(job_of(model, tmp_path, Recipe(preset, method=method)))


def test_that_too_short_a_text_is_told_with_the_width_of_the_layers(model, folder, tmp_path):
    events = convert(job_of(model, tmp_path, GPTQ, samples=2), folder)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("128 tokens" in note and "160 columns" in note for note in notes)
    enough = convert(job_of(model, tmp_path, GPTQ, overwrite=True), folder)
    assert not any("columns" in event.text for event in enough if isinstance(event, Note))


def test_that_a_text_too_long_for_the_memory_waits_on_the_disk(
    model, folder, tmp_path, digest, whole, monkeypatch
):
    made = []
    real = scratch._mapped
    monkeypatch.setattr(scratch, "_mapped", lambda *args: made.append(args) or real(*args))
    keep_every_state(monkeypatch)
    monkeypatch.setattr("app.worker.device.memory", lambda: Space("Memory", 10**9, 10**6))
    job = job_of(model, tmp_path, GPTQ)
    stopped_in_layer(job, folder, 3)
    list(convert(job, folder))
    assert [nbytes for _, nbytes in made] == 2 * [SAMPLES * LENGTH * 128 * 4]
    assert digest(Path(job.target)) == whole


@pytest.mark.parametrize("too_large", ["states", "states and the result"])
def test_that_a_text_too_long_for_memory_and_disk_is_refused(
    model, folder, tmp_path, monkeypatch, too_large
):
    """The second: there is room for each of them only."""
    monkeypatch.setattr("app.worker.device.memory", lambda: Space("Memory", 10**9, 1000))
    if too_large == "states":
        monkeypatch.setattr(scratch, "free_bytes", lambda _: 10**6)
        words = "too much for the memory"
    else:
        real = scratch._mapped
        taken = []
        monkeypatch.setattr(scratch, "_mapped", lambda *args: taken.append(args) or real(*args))
        monkeypatch.setattr("app.core.partial.free_bytes", lambda _: 100 if taken else 10**9)
        words = "100 bytes are free"
    with pytest.raises(NotEnoughSpace, match=words):
        list(convert(job_of(model, tmp_path, GPTQ), folder))


def test_that_experts_that_met_few_tokens_are_rounded_and_counted(folder, tmp_path, told):
    made = random_family("qwen3_moe", vocab_size=4096, num_experts=24, moe_intermediate_size=32)
    source = tmp_path / "mixture"
    made.save_pretrained(source)
    copy_tokenizer(source)
    job = job_of(source, tmp_path, replace(GPTQ, pure=True), samples=4, length=32, threads=1)
    events = list(convert(job, folder))
    (note,) = [event.text for event in events if isinstance(event, Note) and "met" in event.text]
    assert int(note.split()[0]) > 10
    experts = [rows for moment, rows in told if rows == 32 and len(moment) == 64]
    assert len(experts) % 2 == 0
    assert all(bool(moment.isfinite().all()) for moment, _ in told)


@pytest.mark.parametrize("value", [torch.nan, 1e38])
@pytest.mark.parametrize(
    ("preset", "method"), [("Q4_0", "gptq"), ("w4a16-g32", "gptq"), ("w4a16-g32", "awq")]
)
def test_that_a_damaged_source_is_named_before_anything_is_fitted_to_it(
    model, folder, tmp_path, preset, method, value
):
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    weights = load_file(damaged / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][5, 7] = value
    save_file(weights, damaged / "model.safetensors")
    with pytest.raises(BadModelFile, match="model computes values"):
        list(convert(job_of(damaged, tmp_path, Recipe(preset, method)), folder))


def test_that_pieces_longer_than_the_model_reads_are_refused(model, folder, tmp_path):
    with pytest.raises(Unsupported, match="this model reads 512 at most"):
        list(convert(job_of(model, tmp_path, GPTQ, length=513), folder))

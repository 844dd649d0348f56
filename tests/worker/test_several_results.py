"""Jobs with several results, results of several files, and results made with importances."""

import json
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file

from app.core.errors import AppError, BadModelFile, NotEnoughSpace, Unsupported
from app.core.events import Finished, Note, Progress, ResultDone, TensorDone
from app.core.job import Output
from app.core.partial import PartialFile
from app.core.recipe import AUTOMATIC, Recipe
from app.core.report import load_report
from app.formats.gguf.imatrix import ImportanceMatrix, Squares
from app.models import open_model
from app.models.gguf_file import GgufFile
from app.worker.convert import SkipMeasuring, convert, discard, is_measuring

THREE = ("Q8_0", "Q4_K_M", "Q4_0")
SPLIT = Recipe("Q8_0", split_bytes=2_000_000)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "job"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def known():
    """Digests of what jobs of one result made, by recipe: each is made once."""
    return {}


@pytest.fixture
def alone(make_job, tmp_path, digest, known):
    """What jobs of one result each make of the same recipes: digests by file name."""

    def of(*wanted):
        found = {}
        for recipe in wanted:
            key = str(recipe)  # a matrix has the path of its test in it
            if key not in known:
                known[key] = made(make_job(recipe))
            found |= known[key]
        return found

    def made(job):
        (output,) = job.outputs
        place = tmp_path / "alone" / output.recipe.preset
        place.mkdir(parents=True)
        target = str(place / Path(output.target).name)
        list(convert(replace(job, outputs=(replace(output, target=target),)), tmp_path / "alone"))
        return digests(place, digest)

    return of


def digests(folder, digest):
    return {path.name: digest(path) for path in sorted(folder.iterdir())}


def test_that_several_results_are_those_of_several_jobs(make_job, folder, alone, digest, tmp_path):
    wanted = (*THREE, replace(SPLIT, preset="F16"))
    events = list(convert(make_job(*wanted), folder))
    assert digests(tmp_path / "out", digest) == alone(*wanted)
    done = [event for event in events if isinstance(event, ResultDone)]
    assert [event.output for event in done] == [0, 1, 2, 3]
    for event, preset in zip(done, (*THREE, "F16"), strict=True):
        report = load_report(Path(event.report))
        assert (report.preset, Path(report.target).exists()) == (preset, True)
    assert events[-1] == Finished()
    shares = [event.overall for event in events if isinstance(event, Progress)]
    assert shares == sorted(shares)


@pytest.mark.parametrize("stop_after", [3, 60, 150])
def test_that_a_job_of_three_formats_stopped_anywhere_ends_in_the_same_bytes(
    make_job, folder, alone, digest, tmp_path, stop_after
):
    job = make_job(*THREE)
    events = convert(job, folder)
    for _ in range(stop_after):
        next(events)
    events.close()
    assert not [path for path in (tmp_path / "out").glob("*.gguf") if path.stat().st_size == 0]
    list(convert(job, folder))
    assert digests(tmp_path / "out", digest) == alone(*THREE)


def test_that_results_in_place_are_not_made_again(make_job, folder):
    job = make_job(*THREE)
    events = convert(job, folder)
    next(event for event in events if isinstance(event, ResultDone))
    events.close()
    first, *others = (Path(output.target) for output in job.outputs)
    before = first.stat().st_mtime_ns
    assert not any(path.exists() for path in others)
    again = list(convert(job, folder))
    assert {event.output for event in again if isinstance(event, TensorDone)} == {1, 2}
    assert [event.output for event in again if isinstance(event, ResultDone)] == [0, 1, 2]
    assert first.stat().st_mtime_ns == before


def test_that_all_results_are_measured_with_one_reading_of_the_source(make_job, folder):
    """What was skipped is made up for the next time."""
    job = make_job(*THREE, evaluate=True)
    events = convert(job, folder)
    while not is_measuring(next(events)):
        pass
    assert [events.throw(SkipMeasuring()), *events][-1] == Finished()
    paths = [folder / f"report-{number}.json" for number in range(3)]
    assert not any(load_report(path).quality for path in paths)
    events = list(convert(job, folder))
    assert not any(isinstance(event, TensorDone) for event in events)
    reports = [load_report(path) for path in paths]
    losses = [report.quality.kl_mean for report in reports]
    assert losses[0] < losses[1] < losses[2] < 0.1
    assert len({report.quality.perplexity_before for report in reports}) == 1
    assert len({report.samples[0].before for report in reports}) == 1
    assert all(report.tensors for report in reports)
    steps = [event for event in events if is_measuring(event) and "layer" in event.item]
    assert steps[-1].done == steps[-1].total == 4 * 8 * (4096 // 512)  # models, layers, windows


def test_that_the_first_part_is_there_only_once_all_are(make_job, folder, tmp_path, monkeypatch):
    real, seen = PartialFile.commit, []

    def commit(self):
        seen.append(sorted(path.name[-14:-5] for path in self.target.parent.glob("*.gguf")))
        real(self)

    monkeypatch.setattr(PartialFile, "commit", commit)
    list(convert(make_job(SPLIT), folder))
    assert [len(names) for names in seen] == [0, 1, 2, 3]
    assert not any("00001-of" in name for names in seen for name in names)
    assert len(GgufFile(tmp_path / "out" / "Q8_0-00001-of-00004.gguf").files) == 4


@pytest.mark.parametrize("named", [1, 3])
def test_that_a_job_cut_off_between_two_names_only_gives_the_others(
    make_job, folder, alone, digest, monkeypatch, named
):
    real, count = PartialFile.commit, []

    def commit(self):
        if len(count) == named:
            raise KeyboardInterrupt
        count.append(self)
        real(self)

    job = make_job(SPLIT)
    place = Path(job.target).parent
    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "commit", commit)
        with pytest.raises(KeyboardInterrupt):
            list(convert(job, folder))
    assert len(list(place.glob("*.gguf"))) == named
    again = list(convert(job, folder))
    assert not any(isinstance(event, TensorDone) for event in again)
    assert digests(place, digest) == alone(SPLIT)
    assert load_report(folder / "report-0.json").tensors


def test_that_parts_of_another_file_are_replaced_only_when_allowed(make_job, folder, tmp_path):
    precious = tmp_path / "out" / "Q8_0-00003-of-00004.gguf"
    precious.parent.mkdir()
    precious.write_text("precious")
    with pytest.raises(Unsupported, match="00003-of-00004"):
        list(convert(make_job("Q4_0", SPLIT), folder))
    assert list(precious.parent.iterdir()) == [precious]
    list(convert(make_job(SPLIT, overwrite=True), folder))
    assert precious.read_bytes()[:4] == b"GGUF"


def test_that_giving_up_leaves_no_part_of_any_result(make_job, folder, tmp_path):
    job = make_job("Q4_0", SPLIT)
    events = convert(job, folder)
    next(event for event in events if isinstance(event, TensorDone))
    events.close()
    neighbour = tmp_path / "out" / "other-00001-of-00002.gguf.partial"
    neighbour.write_text("of another job")
    discard(job)
    assert list((tmp_path / "out").iterdir()) == [neighbour]


def test_that_two_results_do_not_share_a_name(make_job, folder, tmp_path):
    with pytest.raises(Unsupported, match="Two results"):
        list(convert(make_job("Q8_0", "Q4_0", target=tmp_path / "x.gguf"), folder))


def test_that_the_disk_must_take_all_results(make_job, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("app.core.partial.free_bytes", lambda _: 7_000_000)  # for either, not both
    with pytest.raises(NotEnoughSpace, match="are needed"):
        list(convert(make_job("Q8_0", "Q4_0"), folder))
    assert not (tmp_path / "out").exists()
    list(convert(make_job("Q8_0"), folder))


@pytest.fixture
def text(tmp_path):
    """Two windows of 512 tokens."""
    path = tmp_path / "short.txt"
    path.write_text("The quick brown fox jumps over the lazy dog, and then it rains. " * 80)
    return path


def metadata(path):
    return gguf.GGUFReader(path).fields


def test_that_a_matrix_is_computed_first_where_a_recipe_wants_it(
    make_job, folder, text, tmp_path, home
):
    wanted = (Recipe("IQ2_XS", importance=AUTOMATIC), Recipe("Q8_0"))
    job = make_job(*wanted, calibration=str(text))
    events = list(convert(job, folder))
    phases = [event.phase for event in events if isinstance(event, Progress)]
    assert list(dict.fromkeys(phases)) == ["prepare", "calibrate", "quantize", "verify"]
    shares = [event.overall for event in events if isinstance(event, Progress)]
    assert shares == sorted(shares)
    fields = metadata(tmp_path / "out" / "IQ2_XS.gguf")
    assert fields["quantize.imatrix.dataset"].contents() == "short.txt"
    assert fields["quantize.imatrix.entries_count"].contents() == 8 * 7 + 1
    assert fields["quantize.imatrix.file"].contents().endswith(".imatrix.gguf")
    assert "quantize.imatrix.file" not in metadata(tmp_path / "out" / "Q8_0.gguf")
    assert any(isinstance(event, Note) and "IQ2_XS" in event.text for event in events)


def test_that_a_kept_matrix_from_a_file_gives_the_same_bytes(
    make_job, folder, text, tmp_path, home
):
    """And that it is the matrix that decides them."""
    computed = make_job(
        Recipe("Q4_0", importance=AUTOMATIC), calibration=str(text), target=tmp_path / "a.gguf"
    )
    list(convert(computed, folder))
    (kept,) = (home / "importance").glob("*.gguf")
    from_file = make_job(Recipe("Q4_0", importance=str(kept)), target=tmp_path / "b.gguf")
    plain = make_job(Recipe("Q4_0"), target=tmp_path / "c.gguf")
    for number, job in enumerate((from_file, plain)):
        place = tmp_path / f"job{number}"
        place.mkdir()
        events = list(convert(job, place))
        assert not any(
            isinstance(event, Progress) and event.phase == "calibrate" for event in events
        )
    a, b, c = (GgufFile(tmp_path / f"{name}.gguf") for name in "abc")
    name = "blk.3.ffn_up.weight"
    assert torch.equal(a.stored(name), b.stored(name))
    assert not torch.equal(a.stored(name), c.stored(name))


def matrix_file(path, sample, *, without=(), width=0):
    """A matrix whose columns are all alike."""
    from app.formats import find_preset

    plan = find_preset("Q4_0")[0].prepare(open_model(sample)).plan(Recipe("Q4_0"))
    tensors = {
        tensor.name: Squares(torch.ones(1, width or tensor.shape[-1]), torch.ones(1))
        for tensor in plan.tensors
        if len(tensor.shape) > 1 and not any(part in tensor.name for part in without)
    }
    ImportanceMatrix(tensors, ("text",), 2, 512).save(path)
    return str(path)


def test_that_a_matrix_of_another_model_is_refused_before_any_work(
    make_job, folder, sample, tmp_path
):
    matrix = matrix_file(tmp_path / "m.gguf", sample, width=96)
    with pytest.raises(BadModelFile, match="another model"):
        list(convert(make_job("Q8_0", Recipe("Q4_0", importance=matrix)), folder))
    assert not (tmp_path / "out").exists()


def test_that_tensors_without_importances_are_noted_once(make_job, folder, sample, tmp_path):
    matrix = matrix_file(tmp_path / "m.gguf", sample, without=("ffn_up", "token_embd"))
    events = list(convert(make_job(Recipe("Q4_0", importance=matrix)), folder))
    (note,) = (event.text for event in events if isinstance(event, Note) and "matrix" in event.text)
    assert "knows nothing of 8 tensors, such as blk.0.ffn_up.weight" in note


def test_that_types_that_need_importances_are_refused_without(make_job, folder, sample, tmp_path):
    matrix = matrix_file(tmp_path / "m.gguf", sample, without=("ffn_up",))
    with pytest.raises(Unsupported, match=r"IQ2_XS needs .* lacks 8 of .*ffn_up"):
        list(convert(make_job(Recipe("IQ2_XS", importance=matrix)), folder))
    assert not (tmp_path / "out").exists()


def test_that_unfinished_work_with_another_matrix_is_not_gone_on_with(
    make_job, folder, sample, tmp_path, alone, digest
):
    path = tmp_path / "m.gguf"
    job = make_job(Recipe("Q4_0", importance=matrix_file(path, sample)))
    events = convert(job, folder)
    for _ in range(30):
        next(event for event in events if isinstance(event, TensorDone))
    events.close()
    matrix_file(path, sample, without=("ffn_down",))
    list(convert(job, folder))
    assert digests(tmp_path / "out", digest) == alone(job.recipe)


def test_that_a_missing_text_or_matrix_is_told_before_any_work(make_job, folder, tmp_path):
    missing = str(tmp_path / "no.txt")
    job = make_job(Recipe("IQ2_XS", importance=AUTOMATIC), calibration=missing)
    with pytest.raises(AppError, match=r"no\.txt"):
        list(convert(job, folder))
    with pytest.raises(AppError, match=r"no\.gguf"):
        list(convert(make_job(Recipe("Q4_0", importance=str(tmp_path / "no.gguf"))), folder))
    assert not (tmp_path / "out").exists()


def test_that_the_source_may_not_be_any_of_the_results(make_job, folder, sample):
    job = make_job("Q8_0")
    both = (*job.outputs, Output(str(sample / "model.safetensors"), Recipe("Q4_0")))
    with pytest.raises(Unsupported, match="would replace the model"):
        list(convert(replace(job, outputs=both, overwrite=True), folder))


def test_that_adapters_are_merged_with_their_scales(make_job, folder, sample, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    name = "model.layers.3.mlp.up_proj"
    weight = load_file(sample / "model.safetensors")[f"{name}.weight"].float()
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(2, weight.shape[1], generator=generator)
    b = torch.randn(weight.shape[0], 2, generator=generator)
    parts = {f"base_model.model.{name}.lora_{one}.weight": it for one, it in (("A", a), ("B", b))}
    save_file(parts, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["up_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    list(convert(make_job("F32", adapters=((str(adapter), 0.5),)), folder))
    written = GgufFile(tmp_path / "out" / "F32.gguf")
    wanted = weight + 0.5 * (6 / 2) * b @ a
    torch.testing.assert_close(written.rows("blk.3.ffn_up.weight").float(), wanted)
    plain = load_file(sample / "model.safetensors")["model.layers.2.mlp.up_proj.weight"].float()
    assert torch.equal(written.rows("blk.2.ffn_up.weight").float(), plain)


def test_that_a_note_that_is_true_of_all_results_is_given_once(make_job, folder):
    recipes = (Recipe("Q4_0", "gptq"), Recipe("Q5_0", "gptq"))
    job = replace(make_job(*recipes), samples=1, length=64, evaluate=False)
    notes = [event.text for event in convert(job, folder) if isinstance(event, Note)]
    assert sum("gives 64 tokens" in note for note in notes) == 1

import os

import gguf
import pytest
import torch
from checkpoint_models import CheckpointSource, random_family
from random_models import drain
from safetensors.torch import save_file
from smollm2 import folder as smollm2_folder
from tiny_models import convert
from transformers import AutoModelForCausalLM

from app.calibration.cache import ImportanceCache
from app.calibration.importance import ImportanceOptions, importance_of, matrices_of
from app.calibration.text import calibration_text, cut_calibration_windows
from app.core.errors import Unsupported
from app.core.events import Note, Progress
from app.core.places import sample_model
from app.core.recipe import Recipe
from app.evaluation.tokenizer import open_tokenizer
from app.formats.gguf.imatrix import ImportanceMatrix, Squares
from app.models import open_model
from app.models.architectures.base import Source, Weight
from app.models.architectures.changes import Part, Stacked
from app.models.layerwise import Place

FEW = ImportanceOptions(chunks=2)


@pytest.fixture(scope="module")
def sample():
    return open_model(sample_model())


def hooked_means(model, tokens):
    """Mean squares of the inputs of every linear module of the full model, by its name."""
    means = {}

    def hook(name):
        def see(_module, args):
            rows = args[0].detach().flatten(0, -2).double()
            means[name] = means.get(name, 0) + rows.square().sum(0) / tokens.numel()

        return see

    handles = [
        module.register_forward_pre_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    with torch.no_grad():
        for window in tokens:
            model(window[None])
    for handle in handles:
        handle.remove()
    return means


GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    if name == "lm_head":
        return "token_embd.weight"
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[part]}.weight"


def assert_as_hooks_say(path, matrix, chunks, tolerance):
    """Compare with transformers' own model, loaded by itself, and plain hooks."""
    checkpoint = open_model(path)
    windows = cut_calibration_windows(
        open_tokenizer(checkpoint), calibration_text(), chunks=chunks, length=matrix.chunk_size
    )
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    expected = hooked_means(model, windows.tokens)
    assert {gguf_name(name) for name in expected} == set(matrix.tensors)
    for name, means in expected.items():
        found = matrix.columns(gguf_name(name))
        assert (found - means).abs().max() <= tolerance * means.max()


def test_that_a_models_matrix_is_what_hooks_on_the_full_model_give(sample):
    events, matrix = drain(importance_of(sample, FEW, Place()))
    assert (matrix.datasets, matrix.chunks) == (("mixed.txt",), 2)
    assert_as_hooks_say(sample_model(), matrix, 2, 1e-4)
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.overall for event in progress] == sorted(event.overall for event in progress)
    assert progress[-1].overall == 1
    assert {event.phase for event in progress} == {"calibrate"}


@pytest.mark.slow
def test_that_smollm2s_matrix_is_what_hooks_on_the_full_model_give():
    path = smollm2_folder()
    _, matrix = drain(importance_of(open_model(path), ImportanceOptions(chunks=4), Place()))
    assert len(matrix.tensors) == 211
    assert_as_hooks_say(path, matrix, 4, 1e-4)


def test_that_a_second_run_finds_what_was_kept(sample):
    _, first = drain(importance_of(sample, FEW, Place()))
    events, again = drain(importance_of(sample, FEW, Place()))
    assert not events
    assert torch.equal(again.columns("token_embd.weight"), first.columns("token_embd.weight"))


@pytest.mark.parametrize("change", ["chunks", "text", "model", "fresh", "damage"])
def test_that_something_else_is_computed_anew(sample, tmp_path, change):
    text = tmp_path / "text.txt"
    text.write_text("It was a bright cold day in April. " * 500)
    options = ImportanceOptions(text, chunks=1)
    drain(importance_of(sample, options, Place()))
    checkpoint = sample
    if change == "chunks":
        options = ImportanceOptions(text, chunks=2)
    elif change == "text":
        text.write_text("The clocks were striking thirteen. " * 500)
    elif change == "model":
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in sample_model().iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        checkpoint = open_model(copy)
    elif change == "fresh":
        options = ImportanceOptions(text, chunks=1, fresh=True)
    else:
        (kept,) = ImportanceCache().folder.glob("*.gguf")
        kept.write_bytes(kept.read_bytes()[:1000])
    events, _ = drain(importance_of(checkpoint, options, Place()))
    assert any(isinstance(event, Progress) for event in events)


def test_that_the_cache_keeps_the_newest_and_can_be_cleared(monkeypatch):
    monkeypatch.setattr("app.calibration.cache._MOST_FILES", 3)
    cache = ImportanceCache()
    matrix = ImportanceMatrix({"a": Squares(torch.ones(1, 2), torch.ones(1))}, ("t",), 1, 2)
    for number in range(5):
        cache.keep(f"key{number}", matrix)
        for file in cache.folder.glob("*.gguf"):  # as if time had passed
            os.utime(file, ns=(0, file.stat().st_mtime_ns - 10**9))
        assert number or cache.find("key0")
    assert [number for number in range(5) if cache.find(f"key{number}")] == [2, 3, 4]
    assert cache.clear() > 0
    assert cache.find("key4") is None


def test_that_a_text_too_short_is_refused_and_says_what_to_do(sample, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("A few words.")
    with pytest.raises(Unsupported, match="too short") as refused:
        drain(importance_of(sample, ImportanceOptions(text), Place()))
    assert "words" in refused.value.hint
    with pytest.raises(Unsupported, match="no file"):
        drain(importance_of(sample, ImportanceOptions(tmp_path / "none.txt"), Place()))


def test_that_a_model_without_a_tokenizer_is_refused_with_a_way_out(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((sample_model() / name).read_bytes())
    with pytest.raises(Unsupported, match="no tokenizer") as refused:
        drain(importance_of(open_model(folder), FEW, Place()))
    assert "needs no importance matrix" in refused.value.hint


def test_that_experts_that_no_token_reached_are_noted(tmp_path):
    model = random_family("qwen3_moe", vocab_size=4096, num_local_experts=64)
    source = CheckpointSource(model)
    save_file(
        {n: t.contiguous() for n, t in source.tensors.items()}, tmp_path / "model.safetensors"
    )
    model.config.architectures = ["Qwen3MoeForCausalLM"]
    model.config.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((sample_model() / "tokenizer.json").read_bytes())
    text = tmp_path / "text.txt"
    text.write_text("a a a a a a a a" * 100)
    options = ImportanceOptions(text, chunks=1)
    events, matrix = drain(importance_of(open_model(tmp_path), options, Place()))
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert "experts" in note
    down = matrix.tensors["blk.1.ffn_down_exps.weight"]
    assert down.sums.shape == (64, 32)
    assert (down.counts == 0).any()
    assert (down.counts > 0).any()
    for matrix_number in range(64):
        columns = matrix.columns("blk.1.ffn_down_exps.weight", matrix_number, width=32)
        assert columns.isfinite().all()
        assert columns.sum() > 0
    again, _ = drain(importance_of(open_model(tmp_path), options, Place()))
    assert [event.text for event in again] == [note]


def weight(shapes, change=None):
    sources = tuple(Source(f"s{number}", shape) for number, shape in enumerate(shapes))
    return Weight("w", sources, change) if change else Weight("w", sources)


class Known:
    """Statistics by (tensor, matrix)."""

    def __init__(self, **known):
        self.known = known

    def of(self, name):
        return self.known.get(name, {}).items()


def known(value, tokens=2):
    from app.calibration.collectors import Statistic

    return Statistic(tokens, torch.tensor(value, dtype=torch.float64))


def test_that_a_stack_has_a_row_for_each_expert():
    found = Known(s0={0: known([1, 2])}, s2={0: known([5, 6], 7)})
    squares = matrices_of(found, [weight([(3, 2)] * 3, Stacked())])["w"]
    assert squares.sums.tolist() == [[1, 2], [0, 0], [5, 6]]
    assert squares.counts.tolist() == [2, 0, 7]


def test_that_parts_of_a_stack_have_its_rows():
    found = Known(s0={1: known([3, 4])})
    squares = matrices_of(found, [weight([(2, 6, 2)], Part(0, 3))])["w"]
    assert squares.sums.tolist() == [[0, 0], [3, 4]]


def test_that_vectors_and_what_is_not_multiplied_are_left_out():
    found = Known(s0={0: known([1, 2, 3])})
    assert not matrices_of(found, [weight([(3,)]), weight([(4, 2)])])
    assert not matrices_of(Known(), [weight([(4, 2)])])


def test_that_the_file_that_was_kept_is_llama_cpps(sample):
    drain(importance_of(sample, FEW, Place()))
    (kept,) = ImportanceCache().folder.glob("*.gguf")
    reader = gguf.GGUFReader(kept)
    assert reader.fields["general.type"].contents() == "imatrix"
    assert {t.name.rpartition(".")[2] for t in reader.tensors} == {"in_sum2", "counts"}


def test_that_a_gguf_file_has_the_importances_of_the_folder_it_was_made_from(sample, tmp_path):
    convert(sample_model(), tmp_path / "sample.gguf", Recipe("F32"))
    options = ImportanceOptions(chunks=1)
    _, expected = drain(importance_of(sample, options, Place()))
    _, found = drain(importance_of(open_model(tmp_path / "sample.gguf"), options, Place()))
    assert found.tensors.keys() == expected.tensors.keys()
    for name in expected.tensors:
        wanted = expected.columns(name)
        assert (found.columns(name) - wanted).abs().max() <= 1e-4 * wanted.max()

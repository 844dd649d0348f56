import math

import numpy as np
import pytest
import torch
from random_models import TensorSource, drain, full_logits, noisy, random_model

from app.core.errors import BadModelFile, Unsupported
from app.core.events import Note
from app.evaluation import comparison
from app.evaluation.comparison import compare
from app.evaluation.text import Windows
from app.models.layerwise import Place

KINDS = {"llama": {}, "qwen3": {"tie_word_embeddings": True}}


def by_hand(before, after, tokens):
    """The figures in float64, straight from their definitions."""
    first = tokens.shape[1] // 2
    loss, chance = {}, {}
    for name, logits in (("before", before), ("after", after)):
        scored = logits[:, first:-1].numpy().astype(np.float64).reshape(-1, logits.shape[-1])
        exps = np.exp(scored - scored.max(axis=-1, keepdims=True))
        chance[name] = exps / exps.sum(axis=-1, keepdims=True)
        wanted = tokens[:, first + 1 :].numpy().reshape(-1)
        loss[name] = -np.log(chance[name][np.arange(len(wanted)), wanted])
    p, q = chance["before"], chance["after"]
    kl = (p * np.log(p / q)).sum(axis=-1)
    return {
        "tokens": len(kl),
        "perplexity_before": np.exp(loss["before"].mean()),
        "perplexity_after": np.exp(loss["after"].mean()),
        "kl_mean": kl.mean(),
        "kl_p99": np.percentile(kl, 99),
        "same_top": (p.argmax(axis=-1) == q.argmax(axis=-1)).mean(),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_that_the_figures_are_those_of_the_full_models_by_their_definitions(kind, windows):
    before = random_model(kind, seed=0, **KINDS[kind])
    after = random_model(kind, seed=0, **KINDS[kind])
    with torch.no_grad():
        for parameter in after.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    _, quality = drain(compare(TensorSource(before), TensorSource(after), windows))
    expected = by_hand(
        full_logits(before, windows.tokens), full_logits(after, windows.tokens), windows.tokens
    )
    found = {name: getattr(quality, name) for name in expected}
    assert found == pytest.approx(expected, rel=1e-4)
    assert expected["kl_mean"] > 0.01
    assert 0 < expected["same_top"] < 1
    assert (quality.context, quality.text) == (32, "random")


def test_that_a_model_has_no_divergence_from_itself(windows):
    source = TensorSource(random_model("llama"))
    _, quality = drain(compare(source, source, windows))
    assert (quality.kl_mean, quality.kl_p99, quality.same_top) == (0, 0, 1)
    assert quality.perplexity_before == quality.perplexity_after


def test_that_more_noise_is_more_divergence(windows):
    source = TensorSource(random_model("llama"))
    found = [
        drain(compare(source, noisy(source, share), windows))[1] for share in (0.01, 0.05, 0.2)
    ]
    assert [quality.kl_mean for quality in found] == sorted(q.kl_mean for q in found)
    assert found[0].kl_mean * 10 < found[2].kl_mean
    assert all(quality.kl_p99 >= quality.kl_mean for quality in found)


def test_that_the_slices_of_the_logits_do_not_matter(windows, monkeypatch):
    source = TensorSource(random_model("llama"))
    result = noisy(source, 0.1)
    whole = drain(compare(source, result, windows))[1]
    monkeypatch.setattr(comparison, "_LOGIT_BYTES", 5 * 4 * 6 * 160)  # five positions
    events, sliced = drain(compare(source, result, windows))
    predictions = [event for event in events if event.item == "next-token predictions"]
    assert len(predictions) == math.ceil(6 * 15 / 5)
    for name in ("perplexity_before", "perplexity_after", "kl_mean", "kl_p99", "same_top"):
        assert getattr(sliced, name) == pytest.approx(getattr(whole, name), rel=1e-5)


def test_that_progress_only_grows_and_ends_at_the_end(windows):
    source = TensorSource(random_model("llama"))
    events, _ = drain(compare(source, source, windows))
    overall = [event.overall for event in events]
    assert overall == sorted(overall)
    assert overall[-1] == pytest.approx(1)
    assert {event.phase for event in events} == {"evaluate"}


def test_that_a_text_beyond_the_vocabulary_is_refused(windows):
    source = TensorSource(random_model("llama", vocab_size=100))
    with pytest.raises(Unsupported, match="more words than the model"):
        drain(compare(source, source, windows))


def test_that_a_broken_result_has_a_perplexity_that_is_no_number(windows):
    source = TensorSource(random_model("llama"))
    result = noisy(source, 0)
    result.tensors["model.norm.weight"] = torch.full((64,), torch.nan)
    _, quality = drain(compare(source, result, windows))
    assert not math.isfinite(quality.perplexity_after)
    assert math.isfinite(quality.perplexity_before)


def test_that_a_broken_original_is_said_to_be_the_cause(windows):
    source = noisy(TensorSource(random_model("llama")), 0)
    source.tensors["model.norm.weight"] = torch.full((64,), torch.nan)
    with pytest.raises(BadModelFile, match="original model's predictions"):
        drain(compare(source, source, windows))


def test_that_hopeless_predictions_do_not_overflow(windows):
    source = TensorSource(random_model("llama"))
    result = noisy(source, 0)
    result.tensors["lm_head.weight"] = 1e6 * torch.randn(160, 64)
    _, quality = drain(compare(source, result, windows))
    assert quality.perplexity_after == math.inf
    assert quality.kl_mean > 1000


@pytest.mark.parametrize("room", [3, 0])
def test_that_a_device_full_of_logits_changes_no_figure(windows, monkeypatch, room):
    source = TensorSource(random_model("llama"))
    result = noisy(source, 0.1)
    whole = drain(compare(source, result, windows))[1]
    place = Place()
    place.device = "pretended:0"
    logits = comparison._logits

    def full(skeleton, head, hidden, place):
        if place.device != "cpu" and len(hidden) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits(skeleton, head, hidden, place)

    monkeypatch.setattr(comparison, "_logits", full)
    for module in (comparison, __import__("app.models.layerwise", fromlist=["moved"])):
        monkeypatch.setattr(module, "moved", lambda value, device: value)
    events, quality = drain(compare(source, result, windows, place))
    assert quality.kl_mean == pytest.approx(whole.kl_mean, rel=1e-5)
    assert quality.same_top == whole.same_top
    notes = [event.text for event in events if isinstance(event, Note)]
    assert len(notes) == (0 if room else 1)
    assert all("pretended:0" in note for note in notes)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_that_parts_of_the_vocabulary_change_no_figure(windows, monkeypatch, rows):
    source = TensorSource(random_model("gemma2"))  # whose logits are capped
    result = noisy(source, 0.1)
    whole = drain(compare(source, result, windows))[1]
    hidden = source.tensors["model.embed_tokens.weight"].shape[1]
    monkeypatch.setattr(comparison, "_MATRIX_BYTES", rows * 8 * hidden)
    parts = drain(compare(source, result, windows))[1]
    for field in ("perplexity_before", "perplexity_after", "kl_mean", "kl_p99"):
        assert getattr(parts, field) == pytest.approx(getattr(whole, field), rel=1e-4)
    assert parts.same_top == whole.same_top


def test_that_one_window_is_enough():
    source = TensorSource(random_model("llama"))
    _, quality = drain(compare(source, source, Windows(torch.zeros(1, 8, dtype=torch.int64), "0")))
    assert quality.tokens == 3

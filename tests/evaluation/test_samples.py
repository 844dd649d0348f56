import psutil
import pytest
import torch
from random_models import TensorSource, drain, noisy, random_model

from app.evaluation import samples
from app.evaluation.samples import continue_prompts


class Numbers:
    """A tokenizer that writes ids."""

    def __init__(self, opening=None):
        self.opening = opening

    def encode(self, text):
        return [ord(letter) % 160 for letter in text]

    def decode(self, ids):
        return " ".join(map(str, ids))


def ids_of(text):
    return [int(number) for number in text.split()]


@pytest.mark.parametrize("opening", [None, 5])
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_that_samples_are_what_transformers_generates(kind, opening):
    model = random_model(kind, max_position_embeddings=128, eos_token_id=None)
    source = TensorSource(model)
    _, (written, why) = drain(continue_prompts(source, source, Numbers(opening), new_tokens=12))
    assert len(written) == 3
    assert not why
    for sample in written:
        prompt = torch.tensor([[opening][: opening is not None] + ids_of(sample.prompt)])
        whole = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False
        )
        assert ids_of(sample.before) == ids_of(sample.after) == whole[0, prompt.shape[1] :].tolist()


def test_that_a_text_stops_where_the_model_ends_it():
    model = random_model("llama", max_position_embeddings=128, eos_token_id=None)
    source = TensorSource(model)
    _, (open_ended, _) = drain(continue_prompts(source, source, Numbers(), new_tokens=12))
    expected = ids_of(open_ended[0].before)
    end = expected[6]
    source.config["eos_token_id"] = [end]
    _, (ended, _) = drain(continue_prompts(source, source, Numbers(), new_tokens=12))
    assert ids_of(ended[0].before) == expected[: expected.index(end)]


def test_that_both_models_write_for_themselves():
    source = TensorSource(random_model("llama", max_position_embeddings=128))
    _, (written, _) = drain(continue_prompts(source, noisy(source, 1.0), Numbers(), new_tokens=12))
    assert any(sample.before != sample.after for sample in written)


def test_that_a_model_too_large_for_the_memory_is_not_loaded(monkeypatch):
    source = TensorSource(random_model("llama"))
    source.tensors.clear()  # asking for a weight would fail
    source.tensors["one"] = source.tensors["two"] = source.tensors["three"] = None

    class Little:
        available = 100_000

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Little)
    events, (written, why) = drain(continue_prompts(source, source, Numbers()))
    assert (events, written) == ([], ())
    assert "100 kB is free" in why


def test_that_there_is_progress_for_every_token():
    source = TensorSource(random_model("llama", max_position_embeddings=128))
    events, _ = drain(continue_prompts(source, source, Numbers(), new_tokens=4))
    assert [event.done for event in events] == [1, 2, 3, 4] * 2
    assert samples.SAMPLES == 3


def test_that_a_text_ends_where_the_models_context_does():
    model = random_model("llama", max_position_embeddings=30, eos_token_id=None)
    source = TensorSource(model)
    _, (written, _) = drain(continue_prompts(source, source, Numbers(), new_tokens=12))
    assert all(len(sample.after.split()) == 30 - samples.PROMPT_TOKENS for sample in written)
    source.config["max_position_embeddings"] = samples.PROMPT_TOKENS
    _, (written, why) = drain(continue_prompts(source, source, Numbers(), new_tokens=12))
    assert not written
    assert "reads 24 tokens at most" in why

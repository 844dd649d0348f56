"""What GPTQ is for: a model that says nearly the same, in the same number of bytes."""

import pytest
import torch
from random_models import drain
from transformers import AutoModelForCausalLM

from app.calibration.engine import collect
from app.calibration.moments import Gather
from app.calibration.text import calibration_text, cut_calibration_windows
from app.core.places import sample_model
from app.encodings import find_encoding
from app.evaluation.text import cut_windows
from app.evaluation.tokenizer import open_tokenizer
from app.methods.gptq import Gptq
from app.methods.nearest import Nearest
from app.models.layerwise import Place
from app.models.named_weights import NamedWeights
from app.models.open import open_model

ROUNDED = ("Q4_0", "Q4_K", "Q5_K", "gptq-4bit-g128-sym")


@pytest.fixture(scope="module")
def known():
    """What is known of the inputs of each matrix of the sample's layers."""
    checkpoint = open_model(sample_model())
    tokenizer, text = open_tokenizer(checkpoint), calibration_text()
    windows = cut_calibration_windows(tokenizer, text, chunks=64, length=256, template=None)
    gather = Gather(frozenset({"second_moment"}))
    _, found = drain(collect(NamedWeights(checkpoint), windows.tokens, gather, Place()))
    named = {name: dict(found.of(name)) for name in found.names() if ".layers." in name}
    return {name: gather.statistics(matrices[0]) for name, matrices in named.items()}


@pytest.fixture(scope="module")
def divergence():
    """KL(source || model with other weights) on a text that was not calibrated with."""
    checkpoint = open_model(sample_model())
    tokens = cut_windows(open_tokenizer(checkpoint), tokens=4096, context=256).tokens
    model = AutoModelForCausalLM.from_pretrained(sample_model(), dtype=torch.float32).eval()
    source = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        expected = model(tokens).logits.log_softmax(-1)

    def measure(change):
        model.load_state_dict({name: change(name, weight) for name, weight in source.items()})
        with torch.no_grad():
            found = model(tokens).logits.log_softmax(-1)
        return float((expected.exp() * (expected - found)).sum(-1).mean())

    return measure


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUNDED)
def test_that_the_model_diverges_less_than_with_weighted_rounding(name, known, divergence):
    encoding = find_encoding(name)

    def stored_by(method):
        def change(tensor, weight):
            if tensor not in known:
                return weight
            parts = method.quantize(weight, encoding, known[tensor])
            return encoding.decode(parts, tuple(weight.shape))

        return change

    assert divergence(stored_by(Gptq())) < 0.9 * divergence(stored_by(Nearest()))

"""Position embedding: the same frequencies in every notation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from app.core.errors import Unsupported
from app.models.architectures.rope import Rope

LLAMA_31 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA_32 = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
ODD = {"factor": 5.0, "low_freq_factor": 1.5, "high_freq_factor": 7.0}


def transformers_frequencies(rope: Rope, head: int) -> np.ndarray:
    config = LlamaConfig(
        hidden_size=4 * head,
        num_attention_heads=4,
        head_dim=head,
        max_position_embeddings=131072,
        **rope.to_config(),
    )
    found, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    return found.numpy()


@pytest.mark.parametrize("head", [64, 128])
@pytest.mark.parametrize("parameters", [LLAMA_31, LLAMA_32, ODD])
def test_that_divisors_lead_to_the_frequencies_of_transformers(parameters, head):
    rope = Rope(500000.0, "llama3", {**parameters, "original_max_position_embeddings": 8192})
    divisors = np.array(rope.divisors(head))
    plain = 500000.0 ** (-np.arange(0, head, 2) / head)
    assert np.allclose(plain / divisors, transformers_frequencies(rope, head), rtol=2e-6, atol=0)


@pytest.mark.parametrize("head", [64, 128])
@pytest.mark.parametrize("parameters", [LLAMA_31, LLAMA_32, ODD])
def test_that_parameters_are_found_again_from_divisors(parameters, head):
    rope = Rope(500000.0, "llama3", {**parameters, "original_max_position_embeddings": 8192})
    stored = np.array(rope.divisors(head), dtype=np.float32).tolist()
    found = Rope.from_metadata({"rope.freq_base": 500000.0}, stored, head)
    wanted = transformers_frequencies(rope, head)
    assert np.allclose(transformers_frequencies(found, head), wanted, rtol=2e-6, atol=0)


@pytest.mark.parametrize(
    "divisors",
    [
        [],
        [1.0] * 31,
        [0.0] * 32,
        [float("nan")] * 32,
        [float(n + 1) for n in range(32)],
        [8.0, *[1.0] * 31],
        [1.0] * 10 + [5.0, 2.0] + [8.0] * 20,
    ],
)
def test_that_divisors_by_another_rule_are_refused(divisors):
    with pytest.raises(Unsupported, match="unknown rule"):
        Rope.from_metadata({"rope.freq_base": 500000.0}, divisors, 64)


def test_that_only_llama_3_scaling_needs_a_tensor():
    assert Rope(10000.0).divisors(64) is None
    assert Rope(10000.0, "linear", {"factor": 2.0}).divisors(64) is None


@pytest.mark.parametrize(
    "rope",
    [
        Rope(10000.0),
        Rope(1000000.0, "linear", {"factor": 4.0}),
        Rope(
            10000.0,
            "yarn",
            {
                "factor": 4.0,
                "original_max_position_embeddings": 4096,
                "attention_factor": 1.25,
            },
        ),
    ],
)
def test_that_metadata_reads_back_as_the_same_rope(rope):
    found = Rope.from_metadata(rope.metadata(), None, 64)
    assert (found.theta, found.kind) == (rope.theta, rope.kind)
    assert dict(found.parameters or {}) == pytest.approx(dict(rope.parameters or {}))

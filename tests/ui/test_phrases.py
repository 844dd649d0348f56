from app.core import words
from app.core.events import Progress
from app.core.places import sample_model
from app.ui import phrases


def test_that_a_download_says_what_is_left_and_how_fast_it_comes():
    at = Progress("download", 1_800_000_000, 5_000_000_000, speed=41e6)
    assert phrases.running(at, None) == "Downloading  ·  3.2 GB left  ·  41.0 MB/s"
    assert phrases.running(at, 80.0).endswith("1 min left")
    assert phrases.running(Progress("download", 0, 0), None) == "Downloading"


def test_that_models_are_called_what_people_call_them():
    assert phrases.model_title("Qwen/Qwen3-8B@main") == "Qwen3-8B"
    assert phrases.model_title("/models/Llama-3.2-1B") == "Llama-3.2-1B"
    assert phrases.model_title("/models/tiny-Q4_K_M.gguf") == "tiny-Q4_K_M"
    assert phrases.model_title(str(sample_model())) == "Nibble-sample"


def test_that_memory_is_counted_as_its_makers_do():
    assert words.memory(12 * 2**30) == "12 GB"
    assert words.memory(8.9 * 2**30) == "8.9 GB"
    assert words.memory(256 * 2**30) == "256 GB"
    assert words.memory(0.999 * 2**30) == "1023 MB"
    assert words.memory(5000) == "5 kB"

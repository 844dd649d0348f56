"""Facts about families: which layers keep what. One entry each.

What is computed the same way needs no words here: every layer with key heads keeps keys and
values of all tokens. Names and numbers as in llama.cpp (build b11549), which is the program that
allocates; where it ignores a window that a model was trained with, the entry has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Which layers keep a state of fixed size instead of, or beside, keys and values."""

    NONE = "none"
    ALL = "all"
    """Every layer, and none has attention: Mamba."""
    BESIDE = "beside"
    """Every layer has both: Falcon-H1."""
    HEADLESS = "headless"
    """Those without key heads."""
    HEADLESS_NARROW = "headless and narrow"
    """Those without key heads and without a feed-forward part."""
    INTERVAL = "interval"
    """All but every n-th."""


@dataclass(frozen=True, slots=True)
class Window:
    """Layers that look back a limited number of tokens."""

    period: int
    """The last layer of so many looks at everything; 0: none does."""
    tokens: int = 0
    """How far the others look where the file is silent; 0: then they look at everything, too."""
    fixed: bool = False
    """Whether `tokens` holds whatever the file says."""
    only_layers: int = 0
    """The number of layers of the one size that has windows; 0: all sizes have."""


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture of llama.cpp."""

    gguf: str
    """The value of `general.architecture`."""
    window: Window | None = None
    state: State = State.NONE
    own_caches: int = 0
    """Layers from this one on read the caches of earlier ones; 0: all have their own."""
    gated: bool = True
    """Whether the feed-forward part multiplies two projections."""
    spare_layers_keep: bool = True
    """Whether layers that only guess further tokens get a cache, too."""


_PLAIN = (
    "llama", "mistral3", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl",
    "qwen3vlmoe", "gemma", "phi2", "phi3", "phimoe", "granite", "granitemoe", "glm4", "glm4moe",
    "olmo", "olmoe", "smollm3", "command-r", "exaone", "starcoder2", "stablelm", "nemotron",
    "internlm2", "arcee", "seed_oss", "ernie4_5", "ernie4_5-moe", "hunyuan-dense", "hunyuan-moe",
    "dots1", "apertus", "minimax-m2", "gpt2", "gptneox", "bloom", "mpt", "falcon",
    "minicpm",
)  # fmt: skip

_OTHERS = (
    Family("gemma2", Window(2, 4096)),
    Family("gemma3", Window(6)),
    Family("gemma3n", Window(5), own_caches=20),
    Family("gemma4", Window(6)),
    Family("cohere2", Window(4)),
    Family("olmo2", Window(4)),
    Family("gpt-oss", Window(2)),
    Family("exaone4", Window(4, 4096, only_layers=64)),
    Family("llama4", Window(4, 8192, fixed=True)),
    Family("deepseek2"),
    Family(
        "qwen3next",
        state=State.INTERVAL,
        spare_layers_keep=False,
    ),
    Family(
        "qwen35",
        state=State.INTERVAL,
        spare_layers_keep=False,
    ),
    Family(
        "qwen35moe",
        state=State.INTERVAL,
        spare_layers_keep=False,
    ),
    Family("granitehybrid", state=State.HEADLESS),
    Family("jamba", state=State.HEADLESS),
    Family("lfm2", Window(0), state=State.HEADLESS),
    Family("lfm2moe", state=State.HEADLESS),
    Family("nemotron_h", state=State.HEADLESS_NARROW, gated=False),
    Family("falcon-h1", state=State.BESIDE),
    Family("mamba", state=State.ALL),
    Family("mamba2", state=State.ALL),
)


_UNGATED = {
    "apertus", "bloom", "falcon", "gpt2", "gptneox", "mpt", "nemotron", "phi2", "starcoder2",
}  # fmt: skip


def _all() -> Iterator[Family]:
    for gguf in _PLAIN:
        yield Family(gguf, gated=gguf not in _UNGATED)
    yield from _OTHERS


FAMILIES = {family.gguf: family for family in _all()}
"""Every family that can be sized, by llama.cpp's name."""

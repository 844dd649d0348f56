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
    model_types: tuple[str, ...] = ()
    """Names in config.json's `model_type`."""
    window: Window | None = None
    state: State = State.NONE
    own_caches: int = 0
    """Layers from this one on read the caches of earlier ones; 0: all have their own."""
    gated: bool = True
    """Whether the feed-forward part multiplies two projections."""
    spare_layers_keep: bool = True
    """Whether layers that only guess further tokens get a cache, too."""


_PLAIN = {
    "llama": ("llama", "mistral", "mixtral"),
    "mistral3": ("mistral3", "ministral3"),
    "qwen2": ("qwen2",),
    "qwen2moe": ("qwen2_moe",),
    "qwen2vl": ("qwen2_vl", "qwen2_5_vl"),
    "qwen3": ("qwen3",),
    "qwen3moe": ("qwen3_moe",),
    "qwen3vl": ("qwen3_vl",),
    "qwen3vlmoe": ("qwen3_vl_moe",),
    "gemma": ("gemma",),
    "phi2": ("phi",),
    "phi3": ("phi3",),
    "phimoe": ("phimoe",),
    "granite": ("granite",),
    "granitemoe": ("granitemoe", "granitemoeshared"),
    "glm4": ("glm4",),
    "glm4moe": ("glm4_moe",),
    "olmo": ("olmo",),
    "olmoe": ("olmoe",),
    "smollm3": ("smollm3",),
    "command-r": ("cohere",),
    "exaone": ("exaone",),
    "starcoder2": ("starcoder2",),
    "stablelm": ("stablelm",),
    "nemotron": ("nemotron",),
    "internlm2": ("internlm2",),
    "arcee": ("arcee",),
    "seed_oss": ("seed_oss",),
    "ernie4_5": ("ernie4_5",),
    "ernie4_5-moe": ("ernie4_5_moe",),
    "hunyuan-dense": ("hunyuan_v1_dense",),
    "hunyuan-moe": ("hunyuan_v1_moe",),
    "dots1": ("dots1",),
    "apertus": ("apertus",),
    "minimax-m2": ("minimax_m2",),
}

_OTHERS = (
    Family("gemma2", ("gemma2",), Window(2, 4096)),
    Family("gemma3", ("gemma3", "gemma3_text"), Window(6)),
    Family("gemma3n", ("gemma3n", "gemma3n_text"), Window(5), own_caches=20),
    Family("gemma4", ("gemma4", "gemma4_text"), Window(6)),
    Family("cohere2", ("cohere2",), Window(4)),
    Family("olmo2", ("olmo2", "olmo3"), Window(4)),
    Family("gpt-oss", ("gpt_oss",), Window(2)),
    Family("exaone4", ("exaone4",), Window(4, 4096, only_layers=64)),
    Family("llama4", ("llama4", "llama4_text"), Window(4, 8192, fixed=True)),
    Family("deepseek2", ("deepseek_v2", "deepseek_v3", "kimi_k2")),
    Family(
        "qwen3next",
        ("qwen3_next",),
        state=State.INTERVAL,
        spare_layers_keep=False,
    ),
    Family(
        "qwen35",
        ("qwen3_5", "qwen3_5_text"),
        state=State.INTERVAL,
        spare_layers_keep=False,
    ),
    Family(
        "qwen35moe",
        ("qwen3_5_moe", "qwen3_5_moe_text"),
        state=State.INTERVAL,
        spare_layers_keep=False,
    ),
    Family("granitehybrid", ("granitemoehybrid",), state=State.HEADLESS),
    Family("jamba", ("jamba",), state=State.HEADLESS),
    Family("lfm2", ("lfm2",), Window(0), state=State.HEADLESS),
    Family("lfm2moe", ("lfm2_moe",), state=State.HEADLESS),
    Family("nemotron_h", ("nemotron_h",), state=State.HEADLESS_NARROW, gated=False),
    Family("falcon-h1", ("falcon_h1",), state=State.BESIDE),
    Family("mamba", ("mamba", "falcon_mamba"), state=State.ALL),
    Family("mamba2", ("mamba2",), state=State.ALL),
)


_UNGATED = {"phi2", "starcoder2", "nemotron", "apertus"}


def _all() -> Iterator[Family]:
    for gguf, types in _PLAIN.items():
        yield Family(gguf, types, gated=gguf not in _UNGATED)
    yield from _OTHERS


FAMILIES = {family.gguf: family for family in _all()}
"""Every family that can be sized, by llama.cpp's name."""

BY_MODEL_TYPE = {name: family for family in FAMILIES.values() for name in family.model_types}
"""The same by the names of transformers."""

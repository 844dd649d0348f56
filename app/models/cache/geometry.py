"""What each layer of a model keeps, and the numbers that its computation is made of.

Read from a GGUF file's notes; a config.json is put into the same words first
(`from_config`). The rules are those by which llama.cpp allocates (src/llama-hparams.cpp,
src/llama-model.cpp, `create_memory`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.errors import BadModelFile, Unsupported
from app.models.cache.families import FAMILIES, Family, State
from app.models.config import whole_number
from app.models.source_file import shown

_MOST = 1 << 24
_MOST_LAYERS = 4096
_FILE = "its metadata"


class CannotSize(Unsupported):
    """A model whose memory cannot be told; the title says why."""


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one layer keeps of a text."""

    keys: int = 0
    """Numbers for each token."""
    values: int = 0
    """Numbers for each token; 0 where they are computed from the keys."""
    window: int = 0
    """Tokens that it looks back; 0: all."""
    state: int = 0
    """Numbers that stay the same many however long the text is, kept as F32."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A model's shape, as far as running it takes memory."""

    family: str
    """llama.cpp's name for it."""
    layers: tuple[LayerCache, ...]
    hidden: int
    vocabulary: int
    feed_forward: int = 0
    """Numbers for each token in the widest feed-forward part."""
    inner: int = 0
    """Width of that part."""
    beside: int = 0
    """Numbers for each token that stay throughout, beside the hidden vector."""
    attention: int = 0
    """Numbers for each token while attention is computed: queries in all their forms."""
    head_block: int = 0
    """Numbers of one key or value head, the smallest: what a block of the cache must divide."""
    experts: int = 0
    experts_used: int = 0
    expert_inner: int = 0
    state_inner: int = 0
    """Width of the recurrent part with all that goes in; 0 where there is none."""
    context: int = 0
    """Longest context it was made for; 0 when unknown."""


def geometry_of_notes(notes: Mapping[str, Any]) -> Geometry:
    """The geometry that a GGUF file's metadata describes.

    Args:
        notes: Plain values by their full keys.

    Raises:
        CannotSize: The family is not known, or a note is missing or damaged.
    """
    name = notes.get("general.architecture")
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        raise CannotSize(
            f"How much memory models of the kind {shown(str(name))} take is not known here."
        )
    try:
        return _Reader(family, notes).geometry()
    except BadModelFile as error:
        raise CannotSize(error.title, error.hint) from error


class _Reader:
    """The notes of one file."""

    def __init__(self, family: Family, notes: Mapping[str, Any]) -> None:
        prefix = f"{family.gguf}."
        self._family = family
        self._all = notes
        self._notes = {key.removeprefix(prefix): value for key, value in notes.items()}
        self._count = self._number("block_count")
        if self._count > _MOST_LAYERS:
            raise CannotSize(f"A model of {self._count} layers cannot be.")
        spare = self._number("nextn_predict_layers", 0)
        self._trunk = self._count - spare  # without layers that only guess further tokens
        self._heads = self._per_layer("attention.head_count") or [0] * self._count
        self._kv_heads = self._per_layer("attention.head_count_kv") or self._heads
        self._inner = self._per_layer("feed_forward_length") or [0] * self._count
        self._window = self._window_length()
        self._state = self._state_numbers() if family.state is not State.NONE else 0

    def geometry(self) -> Geometry:
        heads, inner = max(self._heads), max(self._inner)
        keys, values = self._head_sizes()
        latent = self._number("attention.key_length_mla", 0)
        experts = self._number("expert_count", 0)
        return Geometry(
            family=self._family.gguf,
            layers=tuple(self._layer(index) for index in range(self._count)),
            hidden=self._number("embedding_length"),
            vocabulary=self._vocabulary(),
            feed_forward=(3 if self._family.gated else 1) * inner,
            inner=inner,
            beside=self._beside(),
            attention=heads * (2 * keys + latent if latent else keys + values),
            head_block=min(size for size in (keys, values) if size) if heads else 0,
            experts=experts,
            experts_used=self._number("expert_used_count", 0),
            expert_inner=self._number("expert_feed_forward_length", inner if experts else 0),
            state_inner=self._state_inner(),
            context=self._number("context_length", 0),
        )

    def _layer(self, index: int) -> LayerCache:
        state = self._state if self._has_state(index) else 0
        if not self._has_cache(index):
            return LayerCache(state=state)
        windowed = self._is_windowed(index)
        ending = "_swa" if windowed else ""
        keys, values = self._head_sizes()
        keys = self._number(f"attention.key_length{ending}", keys)
        values = self._number(f"attention.value_length{ending}", values)
        compressed = "attention.key_length_mla" in self._notes
        return LayerCache(
            keys=self._kv_heads[index] * keys,
            values=0 if compressed else self._kv_heads[index] * values,
            window=self._window if windowed else 0,
            state=state,
        )

    def _has_cache(self, index: int) -> bool:
        family = self._family
        own = family.own_caches or self._count - self._number("attention.shared_kv_layers", 0)
        if not self._kv_heads[index] or index >= own:
            return False
        if self._has_state(index) and family.state is not State.BESIDE:
            return False
        if family.state is State.HEADLESS_NARROW and self._inner[index]:
            return False
        return family.spare_layers_keep or index < self._trunk

    def _has_state(self, index: int) -> bool:
        match self._family.state:
            case State.NONE:
                return False
            case State.ALL | State.BESIDE:
                return True
            case State.HEADLESS:
                return not self._kv_heads[index]
            case State.HEADLESS_NARROW:
                return not self._kv_heads[index] and not self._inner[index]
            case State.INTERVAL:
                listed = self._notes.get("attention.recurrent_layers")
                if isinstance(listed, list | tuple):
                    return index < len(listed) and bool(listed[index])
                interval = self._number("full_attention_interval", 4)
                return index < self._trunk and (index + 1) % interval != 0

    def _window_length(self) -> int:
        """Tokens that windowed layers look back; 0: this model has none."""
        window = self._family.window
        said = self._number("attention.sliding_window", 0)
        if window is None or (window.only_layers and self._trunk != window.only_layers):
            return 0
        if window.fixed:
            return window.tokens if said or "attention.sliding_window" not in self._notes else 0
        return said or window.tokens

    def _is_windowed(self, index: int) -> bool:
        window = self._family.window
        if window is None or not self._window:
            return False
        pattern = self._notes.get("attention.sliding_window_pattern", window.period)
        if isinstance(pattern, list | tuple):
            return bool(pattern[index]) if index < len(pattern) else False
        period = self._number("attention.sliding_window_pattern", window.period, least=0)
        return index < self._trunk and (period == 0 or index % period < period - 1)

    def _head_sizes(self) -> tuple[int, int]:
        """Numbers of one key head and one value head."""
        heads = max(self._heads)
        if not heads:
            return 0, 0
        default = max(1, self._number("embedding_length") // heads)
        return (
            self._number("attention.key_length", default),
            self._number("attention.value_length", default),
        )

    def _beside(self) -> int:
        """Gemma 3n: an input for each layer, and several copies of the hidden vector."""
        each = self._number("embedding_length_per_layer_input", 0)
        copies = self._number("altup.num_inputs", 0)
        return each * self._count + copies * self._number("embedding_length")

    def _state_numbers(self) -> int:
        """Numbers of the convolution's and the recurrence's state."""
        short = self._number("shortconv.l_cache", 0)
        if short:
            return self._number("embedding_length") * (short - 1)
        inner = self._number("ssm.inner_size")
        state = self._number("ssm.state_size")
        groups = self._number("ssm.group_count", 0)
        kernel = self._number("ssm.conv_kernel")
        return (kernel - 1) * (inner + 2 * groups * state) + inner * state

    def _state_inner(self) -> int:
        if self._number("shortconv.l_cache", 0):
            return 3 * self._number("embedding_length")
        inner = self._number("ssm.inner_size", 0)
        groups = self._number("ssm.group_count", 0)
        return 2 * (inner + groups * self._number("ssm.state_size", 0)) if inner else 0

    def _vocabulary(self) -> int:
        tokens = self._all.get("tokenizer.ggml.tokens")
        if isinstance(tokens, list | tuple) and tokens:
            return len(tokens)
        return self._number("vocab_size")

    def _per_layer(self, key: str) -> list[int]:
        """A note that is one number for all layers, or a list; empty where it is missing."""
        value = self._notes.get(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            return [self._number(key, 0)] * self._count
        items = [int(item) for item in value if isinstance(item, int) and 0 <= item <= _MOST]
        if len(items) != len(value) or len(items) < self._count:
            raise CannotSize(f"{_FILE}: {key} has impossible values.")
        return items[: self._count]

    def _number(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A count; with a default of 0 it may be 0."""
        if default == 0:
            least = 0
        value = whole_number(self._notes, key, default, least=least, file=_FILE)
        if value > _MOST:
            raise CannotSize(f"{_FILE}: {key} is {value}, which is too much.")
        return value

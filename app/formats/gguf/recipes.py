"""Which tensor of a GGUF file gets which encoding, as llama.cpp's quantizer decides it.

A preset has a base encoding and rules for kinds of tensors that deserve more bits. Rules
and numbers are those of llama-quantize (build b11549), so that a file made here is what
people know under the preset's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.formats.base import Preset

#: What takes the place of an encoding whose block does not divide a tensor's rows.
_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_LAST_FALLBACK = "F16"

_KINDS = re.compile(
    r"blk\.(\d+)\.(attn_q|attn_k|attn_v|attn_output|ffn_up|ffn_gate|ffn_down)\.weight"
)
_WITHOUT_LAYER = {"output.weight": "output", "token_embd.weight": "token_embd"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What rules may ask about a model."""

    architecture: str
    layers: int
    sharing: int
    """Query heads that share one key head."""
    tied: bool
    """Whether the embedding is the output layer, too."""


Where = Callable[[int, int], bool]
"""Whether a rule holds in a layer, given its number and the number of layers."""


def everywhere(_layer: int, _layers: int) -> bool:
    """All layers."""
    return True


def first_eighth(layer: int, layers: int) -> bool:
    """The first layers, which hurt most."""
    return layer < layers // 8


def first_four(layer: int, _layers: int) -> bool:
    """The first four layers."""
    return layer < 4


def more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth, and every third layer in between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


@dataclass(frozen=True, slots=True)
class Rule:
    """An exception from the base encoding."""

    kind: str
    encoding: str
    where: Where = everywhere


@dataclass(frozen=True, slots=True)
class GgufRecipe:
    """A preset and how it is carried out."""

    preset: Preset
    file_type: int
    """Number of the preset in GGUF files, `general.file_type`."""
    rules: tuple[Rule, ...] = ()

    @property
    def base(self) -> str:
        """Encoding of everything without a rule."""
        return self.preset.base


_OUTPUT = Rule("output", "Q6_K")

RECIPES = (
    GgufRecipe(
        Preset("F32", "F32", "Every number as exactly as a computer keeps it.", "the original"), 0
    ),
    GgufRecipe(Preset("BF16", "BF16", "The way most models are published.", "the original"), 32),
    GgufRecipe(
        Preset(
            "F16",
            "F16",
            "As large as BF16, and faster on older graphics cards.",
            "practically the original",
        ),
        1,
    ),
    GgufRecipe(
        Preset(
            "Q8_0",
            "Q8_0",
            "Half the size of the original, and the difference is hard to measure.",
            "practically the original",
        ),
        7,
    ),
    GgufRecipe(
        Preset("Q6_K", "Q6_K", "When there is memory to spare.", "practically the original"), 18
    ),
    GgufRecipe(
        Preset("Q5_K_M", "Q5_K", "A little better than the usual choice.", "very small loss"),
        17,
        (_OUTPUT, Rule("attn_v", "Q6_K", more_bits), Rule("ffn_down", "Q6_K", more_bits)),
    ),
    GgufRecipe(
        Preset("Q5_K_S", "Q5_K", "A little smaller than Q5_K_M.", "very small loss"),
        16,
        (_OUTPUT,),
    ),
    GgufRecipe(
        Preset(
            "Q4_K_M",
            "Q4_K",
            "The best balance of size and quality for most computers.",
            "small loss, the usual choice",
            recommended=True,
        ),
        15,
        (_OUTPUT, Rule("attn_v", "Q6_K", more_bits), Rule("ffn_down", "Q6_K", more_bits)),
    ),
    GgufRecipe(
        Preset("Q4_K_S", "Q4_K", "A little smaller than Q4_K_M.", "small loss"),
        14,
        (_OUTPUT, Rule("attn_v", "Q5_K", first_four), Rule("ffn_down", "Q5_K", first_eighth)),
    ),
    GgufRecipe(
        Preset(
            "Q4_0",
            "Q4_0",
            "The simplest 4 bits: fast to make and fast on weak processors.",
            "visible loss",
        ),
        2,
        (_OUTPUT,),
    ),
)
"""From the largest to the smallest."""


def is_quantizable(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is a matrix of weights; all others stay as they are."""
    return len(shape) >= 2 and name.endswith(".weight") and not name.endswith("_norm.weight")


def choose(recipe: GgufRecipe, name: str, row: int, shape: Shape, *, pure: bool) -> tuple[str, str]:
    """The encoding of a matrix.

    Args:
        recipe: The preset.
        name: The tensor's name in the file.
        row: Length of its rows.
        shape: The model's.
        pure: Whether rules are left aside.

    Returns:
        The encoding, and the one that was wanted if it does not fit the rows, else "".
    """
    wanted = recipe.base if pure else _by_rule(recipe, name, shape)
    encoding = wanted
    if not _fits(encoding, row):
        encoding = _FALLBACK.get(encoding, encoding)
    if not _fits(encoding, row):
        encoding = _LAST_FALLBACK
    return encoding, wanted if encoding != wanted else ""


def _by_rule(recipe: GgufRecipe, name: str, shape: Shape) -> str:
    kind, layer = _kind(name)
    if kind == "token_embd" and shape.tied:
        kind = "output"
    encoding = recipe.base
    for rule in recipe.rules:
        if rule.kind == kind and rule.where(layer, shape.layers):
            encoding = rule.encoding
    if kind == "attn_v" and encoding == "Q4_K" and _has_tiny_values(shape):
        return "Q5_K"
    return encoding


def _has_tiny_values(shape: Shape) -> bool:
    """Llama 2 and 3 70B, Qwen2 72B: heads share the values of one, so these are small."""
    if shape.layers != 80:
        return False
    return shape.architecture == "qwen2" or (shape.architecture == "llama" and shape.sharing > 1)


def _kind(name: str) -> tuple[str, int]:
    match = _KINDS.fullmatch(name)
    if match is None:
        return _WITHOUT_LAYER.get(name, ""), 0
    return match[2], int(match[1])


def _fits(encoding: str, row: int) -> bool:
    found = ENCODINGS[encoding]
    return not isinstance(found, Block) or found.fits(row)

"""Which tensor of a GGUF file gets which encoding, as llama.cpp's quantizer decides it.

Some tensors are never quantized. For the others an explicit choice comes first, then the recipe's
rules; where the chosen encoding's block does not divide the rows, a fallback takes its place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.core.recipe import Recipe
from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.formats.gguf.rules import GgufRecipe, Rule, Shape

OUTPUT = "output.weight"
EMBEDDING = "token_embd.weight"
LAYER_EMBEDDINGS = "per_layer_token_embd.weight"
_EMBEDDINGS = {EMBEDDING, LAYER_EMBEDDINGS}

_FLOATS = {"F32", "F16", "BF16"}

#: What takes the place of an encoding whose block does not divide a tensor's rows.
_FALLBACKS = {
    "IQ1_S": "IQ4_NL", "IQ1_M": "IQ4_NL", "IQ2_XXS": "IQ4_NL", "IQ2_XS": "IQ4_NL",
    "IQ2_S": "IQ4_NL", "IQ3_XXS": "IQ4_NL", "IQ3_S": "IQ4_NL", "IQ4_XS": "IQ4_NL",
    "NVFP4": "IQ4_NL",
    "Q1_0": "Q4_0", "Q2_0": "Q4_0", "TQ1_0": "Q4_0", "TQ2_0": "Q4_0",
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
_LAST_FALLBACK = "F16"

#: Encodings whose results are of no use where nothing says which weights matter.
_NEED_IMPORTANCE = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"}

#: Kinds of tensors that rules name, by what is in the tensors' names; the first that is counts.
_KINDS = (
    ("attn_qkv.weight", "attn_v"),
    ("attn_kv_b.weight", "attn_v"),
    ("attn_v.weight", "attn_v"),
    ("attn_k.weight", "attn_k"),
    ("attn_q.weight", "attn_q"),
    ("attn_output.weight", "attn_output"),
    ("ffn_up", "ffn_up"),
    ("ffn_gate", "ffn_gate"),
    ("ffn_down", "ffn_down"),
)

#: Parts of names of matrices that stay as they are: small, or harmed by any rounding.
_KEPT_PARTS = (
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel",
    "per_layer_model_proj", "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight",
    "indexer.q_proj.weight", "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight",
    "time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight",
    "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
    "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight", "attn_rel_b.weight", ".position_embd", "sam.pos_embd",
    "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger", "a.rvq.codebook",
    "mm.a.code_embd",
)  # fmt: skip
_KEPT = re.compile("|".join(map(re.escape, _KEPT_PARTS)))
_KEPT_NAMES = {"position_embd.weight", "token_types.weight"}

#: The same, for one family only.
_KEPT_IN = {
    "glm5-next": (
        "hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate",
        "indexer_compressor_ape", "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight",
        "ssm_g_b.weight", "ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight",
        "attn_v_b.weight",
    ),
}  # fmt: skip

#: Parts of names that no recipe may take below 8 bits in a family.
_FLOORS = {"glm5-next": ("attn_q_a", "attn_q_b", "nextn.eh_proj")}
_FLOOR = "Q8_0"

_LAYER = re.compile(r"blk\.(\d+)")


@dataclass(frozen=True, slots=True)
class Matrix:
    """A tensor that may be quantized."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What one of them gets."""

    encoding: str
    wanted: str = ""
    """The encoding that was meant, where it does not fit the rows; else ""."""


Override = tuple[re.Pattern[str], str]
"""A pattern of names, and the encoding that it asks for."""


def is_quantizable(name: str, shape: tuple[int, ...], architecture: str = "") -> bool:
    """Whether a tensor is a matrix of weights; all others stay as they are."""
    rows = 1
    for size in shape[:-1]:
        rows *= size
    return (
        rows > 1
        and name.endswith("weight")
        and name not in _KEPT_NAMES
        and not _KEPT.search(name)
        and not any(part in name for part in _KEPT_IN.get(architecture, ()))
    )


def needs_importance(gguf: GgufRecipe, name: str, encoding: str) -> bool:
    """Whether a matrix in this encoding is of no use without an importance matrix."""
    if name in _EMBEDDINGS or name == OUTPUT:
        return False
    return encoding in _NEED_IMPORTANCE or (encoding == "Q2_K" and gguf.preset.name == "Q2_K_S")


class Chooser:
    """Applies one recipe to one model."""

    def __init__(
        self, gguf: GgufRecipe, recipe: Recipe, overrides: Sequence[Override], shape: Shape
    ) -> None:
        self._gguf = gguf
        self._recipe = recipe
        self._overrides = overrides
        self._shape = shape

    def choose(self, names: Iterable[str], matrices: Iterable[Matrix]) -> Mapping[str, Choice]:
        """What each matrix gets.

        Args:
            names: Of all tensors of the model.
            matrices: Those that may be quantized.
        """
        counter = _Positions(self._gguf, self._shape, names)
        choices = {}
        for matrix in sorted(matrices, key=lambda one: _order(one.name)):
            wanted = self._explicit(matrix.name) or self._by_recipe(matrix, counter)
            encoding = _fitting(wanted, matrix.shape[-1])
            choices[matrix.name] = Choice(encoding, wanted if encoding != wanted else "")
        return choices

    def _explicit(self, name: str) -> str:
        """What was asked for by name; "" where nothing was."""
        override = next((kind for find, kind in self._overrides if find.search(name)), "")
        if self._recipe.embedding and name in _EMBEDDINGS:
            return override if name == LAYER_EMBEDDINGS and override else self._recipe.embedding
        if self._recipe.output and name == OUTPUT:
            return self._recipe.output
        return override

    def _by_recipe(self, matrix: Matrix, counter: _Positions) -> str:
        base = self._gguf.base
        if self._recipe.pure or base in _FLOATS:
            return base
        if any(part in matrix.name for part in _FLOORS.get(self._shape.architecture, ())):
            return _FLOOR
        kind = _kind(matrix.name)
        if kind == "output" or (kind == "token_embd" and self._shape.tied):
            return self._recipe.output or self._output(matrix.shape[-1])
        return self._by_rules(matrix, kind, *counter.next(kind, matrix.name))

    def _output(self, row: int) -> str:
        odd = not _fits(self._gguf.base, row)
        return "Q8_0" if odd or self._shape.architecture == "falcon" else self._gguf.output

    def _by_rules(self, matrix: Matrix, kind: str, layer: int, layers: int) -> str:
        encoding = self._gguf.base
        for rule in self._gguf.rules:
            replaces = not rule.instead_of or encoding in rule.instead_of
            if replaces and _meant(rule, kind, matrix) and rule.when(self._shape):
                encoding = rule.encoding if rule.where(layer, layers) else encoding
        return encoding


class _Positions:
    """Where in the model a tensor is, as rules see it.

    Attention is counted tensor by tensor; so is the feed-forward part of a dense model. Experts
    say their layer in their names.
    """

    def __init__(self, gguf: GgufRecipe, shape: Shape, names: Iterable[str]) -> None:
        self._named = shape.experts > 1 and not gguf.counted
        self._layers = shape.layers
        self._values = sum(_kind(name) == "attn_v" for name in names)
        self._seen: Counter[str] = Counter()

    def next(self, kind: str, name: str) -> tuple[int, int]:
        """The place of the next tensor of its kind, and of how many."""
        place = self._seen[kind]
        self._seen[kind] += 1
        if kind == "attn_v":
            return place, self._values
        layer = _LAYER.match(name) if self._named else None
        return int(layer[1]) if layer else place, self._layers


def _meant(rule: Rule, kind: str, matrix: Matrix) -> bool:
    if rule.stacked and (len(matrix.shape) < 3 or matrix.shape[-3] < 2):
        return False
    return rule.kind in {"", kind}


def _kind(name: str) -> str:
    if name == OUTPUT:
        return "output"
    if name in _EMBEDDINGS:
        return "token_embd"
    return next((kind for part, kind in _KINDS if part in name), "")


def _order(name: str) -> tuple[int, str]:
    """What has no layer comes first, then layer by layer."""
    layer = _LAYER.match(name)
    return int(layer[1]) if layer else -1, name


def _fitting(wanted: str, row: int) -> str:
    for encoding in (wanted, _FALLBACKS.get(wanted, wanted)):
        if _fits(encoding, row):
            return encoding
    return _LAST_FALLBACK


def _fits(encoding: str, row: int) -> bool:
    found = ENCODINGS[encoding]
    return not isinstance(found, Block) or found.fits(row)

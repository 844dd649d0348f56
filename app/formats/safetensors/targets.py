"""What the tensors of a model folder are: the matrices that may be quantized, and the others.

Names alone do not tell. A family's description says what each tensor is for, in the terms of GGUF,
and so which of them are plain linear layers inside the decoder. Everything else (norms, routers,
convolutions, states, pictures) stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.models.architectures.base import OUTPUT, Weight
from app.models.architectures.changes import Turned
from app.models.base import Checkpoint
from app.models.description import Description

_EMBEDDING = "token_embd.weight"
_LINEAR = frozenset(
    {
        "attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output",
        "attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_kv_b", "attn_k_b", "attn_v_b",
        "ffn_gate", "ffn_up", "ffn_down", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp",
    }
)  # fmt: skip
_EXPERTS = frozenset({"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"})
#: Kinds that runtimes join into one matrix, with one name for all of them.
_JOINED = {
    "attn_q": "qkv", "attn_k": "qkv", "attn_v": "qkv",
    "attn_q_a": "qkv_a", "attn_kv_a_mqa": "qkv_a",
    "ffn_gate": "gate_up", "ffn_up": "gate_up",
    "ffn_gate_shexp": "gate_up_shexp", "ffn_up_shexp": "gate_up_shexp",
    "ffn_gate_exps": "gate_up_exps", "ffn_up_exps": "gate_up_exps",
}  # fmt: skip
_LAYER = re.compile(r"blk\.(\d+)\.(.+)\.weight")
_STACK = re.compile(r"(.*\.experts\.)(?:gate_up_proj|down_proj)(?:\.weight)?")
_ONE_OF_STACK = {
    "ffn_gate_exps": "gate_proj",
    "ffn_up_exps": "up_proj",
    "ffn_down_exps": "down_proj",
}


class Role(StrEnum):
    """What a tensor is."""

    LINEAR = "linear"
    """A matrix inside the decoder."""
    EXPERT = "expert"
    """The same, of one expert."""
    STACK = "stack"
    """The matrices of all experts of a layer."""
    EMBEDDING = "embedding"
    OUTPUT = "output"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Target:
    """One tensor of the result, before anybody has decided how to store it."""

    name: str
    shape: tuple[int, ...]
    sources: tuple[str, ...]
    role: Role = Role.OTHER
    group: str = ""
    """What runtimes join it with: the same for all that they join; "" where nothing."""
    stack: Weight | None = field(default=None, repr=False)
    """The experts of a layer, one below the other, where it is one of them."""
    first: int = 0
    """Its first row in there."""


def targets_of(checkpoint: Checkpoint, description: Description | None) -> list[Target]:
    """Every tensor as it is in the source; without a description, nothing is known of any."""
    roles = _roles(description) if description else {}
    return [
        Target(name, info.shape, (name,), *roles.get(name, (Role.OTHER, "")))
        for name, info in checkpoint.tensors.items()
    ]


def taken_apart(targets: list[Target], description: Description) -> list[Target]:
    """The same with a matrix for each expert, where they lie in stacks that runtimes know apart."""
    singles: dict[str, list[Target]] = {}
    if any(weight.gguf.endswith("_exps.bias") for weight in description.weights):
        return targets  # gpt-oss, whose experts runtimes only know together
    for weight in description.weights:
        found = list(_experts(weight, description.stored))
        if found:
            singles.setdefault(found[0].sources[0], []).extend(found)
    return [one for target in targets for one in singles.get(target.name, [target])]


def _roles(description: Description) -> Mapping[str, tuple[Role, str]]:
    """Role and group of the language model's tensors, by their names in the folder."""
    found: dict[str, tuple[Role, str]] = {}
    for weight in description.weights:
        several = len(weight.sources) > 1
        for number, source in enumerate(weight.sources):
            stored = description.stored.get(source.name, source.name)
            role, group = _role(weight, len(source.shape))
            if several and group:
                group = f"{group}.{number}"
            known, _ = found.get(stored, (role, ""))  # llama.cpp may take it apart
            found[stored] = (role if role is known else Role.OTHER), group
    return found


def _role(weight: Weight, dimensions: int) -> tuple[Role, str]:
    if weight.gguf in {_EMBEDDING, OUTPUT}:
        return (Role.EMBEDDING if weight.gguf == _EMBEDDING else Role.OUTPUT), ""
    layer = _LAYER.fullmatch(weight.gguf)
    kind = layer[2] if layer else ""
    if layer is None or kind not in _LINEAR | _EXPERTS:
        return Role.OTHER, ""
    if dimensions == 3 and kind in _EXPERTS:
        return Role.STACK, ""
    if dimensions != 2 or isinstance(weight.change, Turned):  # GPT-2 keeps (in, out)
        return Role.OTHER, ""
    joined = _JOINED.get(kind, "")
    group = f"{layer[1]}.{joined}" if joined else ""
    return (Role.EXPERT if kind in _EXPERTS else Role.LINEAR), group


def _experts(weight: Weight, stored: Mapping[str, str]) -> Iterator[Target]:
    """Each expert's matrix, where all of them are in one tensor of the folder."""
    layer = _LAYER.fullmatch(weight.gguf)
    kind = layer[2] if layer else ""
    if layer is None or kind not in _EXPERTS or len(weight.sources) != 1:
        return
    name = stored.get(weight.sources[0].name, weight.sources[0].name)
    match = _STACK.fullmatch(name)
    if match is None:
        return
    count, rows, columns = weight.shape
    joined = _JOINED.get(kind, "")
    for number in range(count):
        yield Target(
            f"{match[1]}{number}.{_ONE_OF_STACK[kind]}.weight",
            (rows, columns),
            (name,),
            Role.EXPERT,
            f"{layer[1]}.{joined}.{number}" if joined else "",
            weight,
            number * rows,
        )

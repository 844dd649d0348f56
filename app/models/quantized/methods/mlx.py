"""What MLX writes, and transformers' "metal", which follows it.

    X.weight  U32 (..., out, in * bits / 32)   codes, one stream of bits in each row
    X.scales  F16 (..., out, groups)
    X.biases  F16 (..., out, groups)           "qbiases" in transformers

The experts of a layer lie in one tensor, "...switch_mlp.gate_proj.weight" (experts, out, ...).

A weight is code * scale + bias. In the mode "mxfp4", codes are 4-bit floats and scales U8
exponents of two; there are no biases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.tensor import TensorInfo
from app.encodings.packing import unpack
from app.models.base import Checkpoint
from app.models.config import section, text, whole_number
from app.models.quantized.base import Method, QuantizedWeight, expect, not_read, part
from app.models.quantized.fp4 import Fp4

if TYPE_CHECKING:
    from torch import Tensor

_CODES = ".weight"
_STACK = re.compile(r"(.*)\.switch_mlp\.(gate|up|down)_proj\.weight")
_EXPERT = re.compile(r"(.*)\.experts\.\d+\.(\w+)\.weight")
_MIXTRAL = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
"""Mixtral's names of its experts' matrices."""
_USUAL = {name: usual for usual, name in _MIXTRAL.items()}


def stacked_name(expert: str) -> str:
    """Where MLX keeps the weight of an expert: "...switch_mlp.gate_proj.weight"; "": nowhere."""
    match = _EXPERT.fullmatch(expert)
    if match is None:
        return ""
    return f"{match[1]}.switch_mlp.{_USUAL.get(match[2], match[2])}.weight"


_FLOATS = ("F16", "BF16", "F32")


@dataclass(frozen=True, slots=True)
class AffineWeight(QuantizedWeight):
    """code * scale + bias."""

    codes: str
    scales: str
    biases: str
    bits: int

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        import torch

        codes = unpack(stored.rows(self.codes, start, stop), self.bits).to(torch.float32)
        scale = stored.rows(self.scales, start, stop)[..., None].to(torch.float32)
        bias = stored.rows(self.biases, start, stop)[..., None].to(torch.float32)
        grouped = codes.view(*scale.shape[:2], -1)  # (rows, groups, group)
        return grouped.mul_(scale).add_(bias).flatten(1)


@dataclass(frozen=True, slots=True)
class _OneOfStack(QuantizedWeight):
    """One matrix of a stack."""

    stack: QuantizedWeight
    number: int

    @property
    @override
    def sharing(self) -> int:
        return self.stack.shape[0]

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        first = self.number * self.shape[0]
        return self.stack.rows(stored, first + start, first + stop)


def _experts(
    stack: QuantizedWeight, place: str, kind: str
) -> Iterator[tuple[str, QuantizedWeight]]:
    """Each expert's matrix by the name that it has in the plain model."""
    name = _MIXTRAL[kind] if place.endswith("block_sparse_moe") else kind
    for number in range(stack.shape[0]):
        one = _OneOfStack(stack.shape[1:], stack.parts, stack, number)
        yield f"{place}.experts.{number}.{name}.weight", one


class Mlx(Method):
    """Codes with a scale and a bias for each group."""

    name: ClassVar[str] = "MLX"
    config_names: ClassVar[tuple[str, ...]] = ("metal", "mlx")
    signs: ClassVar[tuple[str, ...]] = (".qbiases",)

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        for name, info in stored.tensors.items():
            if name.endswith(_CODES) and info.dtype == "U32":
                stem = name.removesuffix(_CODES)
                own = settings.get(stem)
                chosen = {**settings, **own} if isinstance(own, Mapping) else settings
                weight = _weight(stored, info, stem, chosen)
                stack = _STACK.fullmatch(name)
                if stack is None or len(weight.shape) != 3:
                    yield name, weight
                else:
                    yield from _experts(weight, stack[1], f"{stack[2]}_proj")


def _weight(
    stored: Checkpoint, info: TensorInfo, stem: str, settings: Mapping[str, Any]
) -> QuantizedWeight:
    mode = text(settings, "mode", "affine")
    if mode == "mxfp4":
        return Fp4.of(stored, info, f"{stem}.scales", divided=False)
    if mode != "affine":
        raise not_read(f"MLX in the {mode} mode")
    biases = f"{stem}.biases" if f"{stem}.biases" in stored.tensors else f"{stem}.qbiases"
    scale, bias = part(stored, f"{stem}.scales", *_FLOATS), part(stored, biases, *_FLOATS)
    length = whole_number(settings, "group_size", 64)
    expect(len(info.shape) > 1, info)
    expect(scale.shape[:-1] == info.shape[:-1] and scale.shape[-1] > 0, scale)
    expect(bias.shape == scale.shape, bias)
    columns = scale.shape[-1] * length
    bits, rest = divmod(32 * info.shape[-1], columns)
    expect(rest == 0 and bits in {2, 3, 4, 5, 6, 8}, info)
    parts = (info.name, scale.name, bias.name)
    return AffineWeight((*info.shape[:-1], columns), parts, *parts, bits)


def settings_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What MLX's own field of a config says, where it is there."""
    found = section(config, "quantization", {})
    return found if "group_size" in found else None

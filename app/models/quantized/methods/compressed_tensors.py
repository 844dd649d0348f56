"""compressed-tensors, the format of LLM Compressor and vLLM.

    X_packed      I32 (out, in * bits / 32)      integer codes, one stream of bits in each row
    X_scale       F16 (out, groups), (out, 1) or (1)
    X_zero_point  I32 (out * bits / 32, groups)  packed along out; may be absent
    X_g_idx       I32 (in)                       each column's group; may be absent
    X_shape       I64 (2)
Codes and zero points are stored with 2^(bits - 1) added.

    X_packed      U8, X_scale F8_E4M3, X_global_scale: NVFP4; the last one divides
    X_packed      U8, X_scale U8: MXFP4
    X             F8_E4M3 or I8, X_scale, X_zero_point: a scale for each block, row or for all
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.core.tensor import TensorInfo
from app.encodings.packing import unpack, unpack_separately
from app.models.base import Checkpoint
from app.models.config import section, text, whole_number
from app.models.quantized.base import Method, QuantizedWeight, damaged, expect, not_read, part
from app.models.quantized.fp4 import Fp4
from app.models.quantized.groups import even_groups, scaled_groups, stored_groups
from app.models.quantized.methods.fp8 import FP8, block_of, scaled_fp8
from app.models.quantized.scaled import Grid, Scaled

if TYPE_CHECKING:
    from torch import Tensor

_CODES = "_packed"
_FLOATS = ("F16", "BF16", "F32")
_LAYOUTS = {
    "dense", "float-quantized", "int-quantized", "mixed-precision", "mxfp4-pack-quantized",
    "mxfp8-quantized", "naive-quantized", "nvfp4-pack-quantized", "pack-quantized",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PackedWeight(QuantizedWeight):
    """(code - zero) * scale, where the codes of a row follow one another."""

    stem: str
    bits: int
    dense: bool
    """Whether codes cross the ends of words, as they do since version 0.20."""
    asymmetric: bool
    ordered: bool
    """Whether columns say which group they are of."""

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        spread = unpack if self.dense else unpack_separately
        rows, columns = prod(self.shape[:-1]), self.shape[-1]
        shape = f"{self.stem}_shape"
        if shape in stored.tensors and tuple(stored.rows(shape)[0].tolist()) != self.shape:
            raise damaged(shape, "contradicts the shape of the codes")
        codes = spread(stored.rows(self.stem + _CODES, start, stop), self.bits)[:, :columns]
        groups = _count_groups(stored.tensors[f"{self.stem}_scale"])
        scales = stored.rows(f"{self.stem}_scale").reshape(-1, groups)
        zeros: Tensor | int = 2 ** (self.bits - 1)
        if self.asymmetric:
            packed = stored.rows(f"{self.stem}_zero_point").t().contiguous()  # (groups, words)
            zeros = spread(packed, self.bits)[:, start:stop].t()
        if self.ordered:
            group = stored_groups(stored, f"{self.stem}_g_idx", groups)
        else:
            group = even_groups(columns, groups)
        return scaled_groups(codes, zeros, scales.expand(rows, -1)[start:stop], group)


class CompressedTensors(Method):
    """Whatever the parts of a weight say that it is."""

    name: ClassVar[str] = "compressed-tensors"
    config_names: ClassVar[tuple[str, ...]] = ("compressed-tensors",)
    signs: ClassVar[tuple[str, ...]] = (".weight_packed",)

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        groups = _groups(settings)
        for name, info in stored.tensors.items():
            if name.endswith(_CODES):
                stem = name.removesuffix(_CODES)
                yield stem, _packed(stored, info, stem, groups)
            elif info.dtype in FP8 and not name.endswith("_scale"):
                yield name, scaled_fp8(stored, name, f"{name}_scale", _block(groups))
            elif info.dtype == "I8" and f"{name}_scale" in stored.tensors:
                yield name, _integers(stored, info, groups)


def _groups(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the config says about the weights of each kind of layer.

    Raises:
        Unsupported: Weights are sparse, rotated, or in a layout that is not read.
    """
    layout = text(settings, "format", "dense")
    found = section(settings, "config_groups", {})
    for name in found:
        layer = section(found, name)
        own = text(layer, "format", layout)
        if own not in _LAYOUTS:
            raise not_read(f"compressed-tensors in the {own} layout")
    if layout not in _LAYOUTS:
        raise not_read(f"compressed-tensors in the {layout} layout")
    sparsity = text(section(settings, "sparsity_config", {}), "format", "dense")
    if sparsity != "dense":
        raise not_read(f"compressed-tensors in the {sparsity} layout")
    if section(section(settings, "transform_config", {}), "config_groups", {}):
        raise not_read("compressed-tensors after a rotation of the weights")
    return [section(section(found, name), "weights", {}) for name in found]


def _block(groups: list[Mapping[str, Any]]) -> tuple[int, ...]:
    blocks = {block_of(weights, "block_structure") for weights in groups} - {()}
    return blocks.pop() if len(blocks) == 1 else ()


def _all(groups: list[Mapping[str, Any]], field: str, value: object) -> bool:
    """Whether a field of all weights has this value."""
    return bool(groups) and all(weights.get(field) == value for weights in groups)


def _integers(stored: Checkpoint, info: TensorInfo, groups: list[Mapping[str, Any]]) -> Scaled:
    block = _block(groups)
    scale = part(stored, f"{info.name}_scale", *_FLOATS)
    parts: tuple[str, ...] = (info.name, scale.name)
    zero: Grid | None = None
    if f"{info.name}_zero_point" in stored.tensors or _all(groups, "symmetric", False):
        point = part(stored, f"{info.name}_zero_point", "I8")
        parts += (point.name,)
        zero = Grid.over(info.shape, point, block)
    expect(len(info.shape) > 1, info)
    return Scaled(info.shape, parts, info.name, Grid.over(info.shape, scale, block), zero)


def _packed(
    stored: Checkpoint, info: TensorInfo, stem: str, groups: list[Mapping[str, Any]]
) -> QuantizedWeight:
    if info.dtype == "U8":
        of_all = f"{stem}_global_scale"
        whole = of_all if of_all in stored.tensors else ""
        scale = part(stored, f"{stem}_scale", "F8_E4M3", "U8")
        if scale.dtype == "F8_E4M3":
            whole = of_all  # must be there
        return Fp4.of(stored, info, scale.name, whole, divided=True)
    part(stored, info.name, "I32")
    expect(len(info.shape) > 1, info)
    scale = part(stored, f"{stem}_scale", *_FLOATS)
    expect(scale.weights == 1 or scale.shape[:-1] == info.shape[:-1], scale)
    bits, dense, columns = _width(stored, info, scale, stem, groups)
    shape, point, order = (f"{stem}_{one}" for one in ("shape", "zero_point", "g_idx"))
    there = [name for name in (shape, point, order) if name in stored.tensors]
    weight = PackedWeight(
        (*info.shape[:-1], columns),
        (info.name, scale.name, *there),
        stem,
        bits,
        dense,
        asymmetric=point in there or _all(groups, "symmetric", False),
        ordered=order in there or _all(groups, "actorder", "group"),
    )
    _check_groups(stored, weight, scale)
    return weight


def _check_groups(stored: Checkpoint, weight: PackedWeight, scale: TensorInfo) -> None:
    groups, columns = _count_groups(scale), weight.shape[-1]
    expect(0 < groups <= columns and (weight.ordered or columns % groups == 0), scale)
    if weight.asymmetric:
        point = part(stored, f"{weight.stem}_zero_point", "I32")
        if len(weight.shape) > 2:
            raise not_read("asymmetric compressed-tensors with all experts in one tensor")
        rows = weight.shape[0]
        expect(point.shape == (_words(rows, weight.bits, weight.dense), groups), point)
    if weight.ordered:
        order = part(stored, f"{weight.stem}_g_idx", "I32", "I64")
        expect(order.shape == (columns,), order)


def _count_groups(scale: TensorInfo) -> int:
    return scale.shape[-1] if len(scale.shape) > 1 else 1


def _width(
    stored: Checkpoint,
    info: TensorInfo,
    scale: TensorInfo,
    stem: str,
    groups: list[Mapping[str, Any]],
) -> tuple[int, bool, int]:
    """Bits of a code, whether codes cross words, and the number of columns."""
    words = info.shape[-1]
    for weights in groups:
        bits = whole_number(weights, "num_bits", 4)
        columns = _columns(stored, stem, len(info.shape)) or _columns_of(
            words, bits, scale, weights
        )
        for dense in (True, False):
            if 1 <= bits <= 8 and words == _words(columns, bits, dense):
                return bits, dense, columns
    raise damaged(info.name, "has a number of bits that config.json does not tell")


def _columns(stored: Checkpoint, stem: str, dimensions: int) -> int:
    """The length of a row by the tensor that says so; 0 where that is not at hand."""
    name = f"{stem}_shape"
    if name not in stored.tensors:
        return 0
    info = part(stored, name, "I64", "I32")
    expect(info.shape == (dimensions,), info)
    try:
        columns = int(stored.rows(name)[0, -1])
    except Unsupported:  # still on the hub
        return 0
    if columns < 1:
        raise damaged(name, "holds a shape that is not possible")
    return columns


def _columns_of(words: int, bits: int, scale: TensorInfo, weights: Mapping[str, Any]) -> int:
    """The length of a row by the groups, or by the words that it takes."""
    length = weights.get("group_size")
    if isinstance(length, int) and length > 0 and _count_groups(scale) > 1:
        return _count_groups(scale) * length
    return words * 32 // bits


def _words(codes: int, bits: int, dense: bool) -> int:
    return -(-codes * bits // 32) if dense else -(-codes // (32 // bits))

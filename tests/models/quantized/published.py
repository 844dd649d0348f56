"""Quantized weights as libraries write them, with what the libraries read back.

Where a library does not install everywhere, codes are packed here bit by bit, as integers of
Python without a limit, from the layout's description.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

NAME = "model.layers.0.mlp.up_proj.weight"
STEM = NAME.removesuffix(".weight")


@dataclass(frozen=True)
class Published:
    """One weight in a folder of a model."""

    config: dict[str, Any]
    """Goes into config.json."""
    stored: dict[str, Tensor]
    expected: Tensor
    """The plain weight, in the dtype that the library computes."""
    name: str = NAME
    rounded: float = 0.0
    """How much of a value the library may round on its way."""
    needed: tuple[str, ...] = ()
    """Stored tensors without which the weight cannot be read; by default all."""

    def write(self, folder: Path, **changed: Tensor | None) -> Path:
        """A folder with the weight, a norm, and tensors replaced or, by None, left out."""
        stored = {**self.stored, "model.norm.weight": torch.ones(3), **changed}
        return write_folder(folder, self.config, stored)


def write_folder(folder: Path, config: dict[str, Any], stored: dict[str, Tensor | None]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    there = {name: part.contiguous() for name, part in stored.items() if part is not None}
    save_file(there, folder / "model.safetensors")
    return folder


PUBLISHED: dict[str, Callable[[], Published]] = {}


def published(*variants: tuple[str, tuple[Any, ...]]) -> Callable[[Any], Any]:
    """Register a function that makes a `Published`, once for each set of arguments."""

    def register(make: Callable[..., Published]) -> Callable[..., Published]:
        for name, arguments in variants:
            PUBLISHED[name] = cache(partial(make, *arguments))
        return make

    return register


def random(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.05


def integers(top: int, *shape: int, seed: int = 6) -> Tensor:
    """Codes from 0 up to but not including `top`, with both extremes."""
    found = torch.randint(0, top, shape, generator=torch.Generator().manual_seed(seed))
    found.view(-1)[0], found.view(-1)[-1] = top - 1, 0
    return found


def quantization(method: str, **settings: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": method, **settings}}


def words(codes: Sequence[int], bits: int) -> list[int]:
    """Codes as one number, the first in its lowest bits, cut into signed words of 32 bits."""
    number = sum(code << bits * place for place, code in enumerate(codes))
    count = -(-len(codes) * bits // 32)
    data = number.to_bytes(4 * count, "little")
    return [int.from_bytes(data[4 * k : 4 * k + 4], "little", signed=True) for k in range(count)]


def packed(codes: Tensor, bits: int) -> Tensor:
    """Rows of codes as rows of words."""
    return torch.tensor([words(row, bits) for row in codes.tolist()], dtype=torch.int32)


# FP8 --------------------------------------------------------------------------------------------


@published(
    ("fp8, blocks", (torch.float32, [128, 128], (256, 384))),
    ("fp8, blocks with exponents", (torch.float8_e8m0fnu, [128, 128], (256, 384))),
    ("fp8, ragged blocks", (torch.float32, [128, 128], (200, 300))),
    ("fp8, experts in one tensor", (torch.float32, [32, 64], (3, 64, 128))),
)
def fp8_blocks(dtype: torch.dtype, block: list[int], shape: tuple[int, ...]) -> Published:
    from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight

    codes = (random(*shape) * 1000).to(torch.float8_e4m3fn)
    grid = (*shape[:-2], -(-shape[-2] // block[0]), -(-shape[-1] // block[1]))
    scale = (random(*grid, seed=7).abs() + 0.001).to(dtype)
    return Published(
        quantization("fp8", weight_block_size=block, activation_scheme="dynamic"),
        {NAME: codes, f"{NAME}_scale_inv": scale},
        _dequantize_fp8_weight(codes, scale, block, torch.float32),
    )


@published(
    ("fp8, one scale", ("fp8", "_scale_inv", ())),
    ("fp8, one scale as vLLM names it", ("fp8", "_scale", ())),
    ("fp8, rows of FBGEMM", ("fbgemm_fp8", "_scale", (256, 1))),
    ("fp8, ModelOpt", ("modelopt", "_scale", ())),
)
def fp8_simple(method: str, ending: str, grid: tuple[int, ...]) -> Published:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    codes = (random(256, 384) * 1000).to(torch.float8_e4m3fn)
    scale = random(*grid, seed=7).abs() + 0.001
    expected = Fp8Dequantize(None)._dequantize_one(codes, scale if grid else scale[None, None])
    return Published(
        quantization(method, quant_algo="FP8"),
        {NAME: codes, NAME + ending: scale, f"{STEM}.input_scale": torch.ones(())},
        expected,
        needed=(NAME + ending,),
    )


@published(("mxfp8", ()))
def mxfp8() -> Published:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    codes = (random(64, 256) * 1000).to(torch.float8_e4m3fn)
    scale = (integers(12, 64, 8) + 112).to(torch.uint8)
    return Published(
        quantization("mxfp8"),
        {NAME: codes, f"{NAME}_scale_inv": scale},
        Fp8Dequantize(None)._dequantize_one(codes, scale, torch.float32),
    )


@published(("fp8 model with 4-bit experts", ()))
def fp4_among_fp8() -> Published:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    codes = integers(256, 64, 128).to(torch.uint8).view(torch.int8)
    scale = (integers(12, 64, 8) + 112).to(torch.uint8).view(torch.float8_e8m0fnu)
    return Published(
        quantization("fp8", weight_block_size=[128, 128]),
        {NAME: codes, f"{NAME}_scale_inv": scale},
        Fp8Dequantize(None)._dequantize_one(codes, scale, torch.float32),
    )


# GPTQ and AWQ -----------------------------------------------------------------------------------


@published(
    *((f"gptq, {bits} bits", (bits, 32, "gptq", False)) for bits in (2, 3, 4, 8)),
    *((f"gptq, {bits} bits in order", (bits, 32, "gptq", True)) for bits in (3, 4)),
    ("gptq v2", (4, 64, "gptq_v2", True)),
    ("gptq, one group", (4, 192, "gptq", False)),
)
def gptq(bits: int, length: int, form: str, ordered: bool) -> Published:
    rows, columns = 32, 192
    groups = columns // length
    codes = integers(2**bits, rows, columns)
    zeros = integers(2**bits, rows, groups, seed=8)  # as they are stored
    scales = (random(groups, rows, seed=9).abs() + 0.001).half()
    group = torch.arange(columns) // length
    if ordered:
        group = group[torch.randperm(columns, generator=torch.Generator().manual_seed(1))]
    expected = torch.empty(rows, columns, dtype=torch.float64)
    for row in range(rows):
        for column in range(columns):
            place = int(group[column])
            zero = int(zeros[row, place]) + (form == "gptq")
            expected[row, column] = float(scales[place, row]) * (int(codes[row, column]) - zero)
    stored = {
        f"{STEM}.qweight": packed(codes, bits).t(),
        f"{STEM}.qzeros": packed(zeros.t(), bits),
        f"{STEM}.scales": scales,
        f"{STEM}.g_idx": group.int(),
    }
    if not ordered:
        del stored[f"{STEM}.g_idx"]
    settings = {"bits": bits, "group_size": length, "desc_act": ordered}
    return Published(quantization("gptq", checkpoint_format=form, **settings), stored, expected)


@published(("awq", (32,)), ("awq, one group", (192,)))
def awq(length: int) -> Published:
    rows, columns = 32, 192
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    groups = columns // length
    codes = integers(16, columns, rows)
    zeros = integers(16, groups, rows, seed=8)
    scales = (random(groups, rows, seed=9).abs() + 0.001).half()
    expected = torch.empty(rows, columns, dtype=torch.float64)
    for row in range(rows):
        for column in range(columns):
            place = column // length
            difference = int(codes[column, row]) - int(zeros[place, row])
            expected[row, column] = float(scales[place, row]) * difference

    def shuffled(numbers: Tensor) -> Tensor:
        eights = numbers.view(len(numbers), -1, 8)[:, :, order]
        return packed(eights.reshape(len(numbers), -1), 4)

    stored = {
        f"{STEM}.qweight": shuffled(codes),
        f"{STEM}.qzeros": shuffled(zeros),
        f"{STEM}.scales": scales,
    }
    settings = {"bits": 4, "group_size": length, "zero_point": True, "version": "gemm"}
    return Published(quantization("awq", **settings), stored, expected)


# bitsandbytes -----------------------------------------------------------------------------------


@published(
    ("nf4", ("nf4", False, (48, 128))),
    ("nf4, nested", ("nf4", True, (320, 128))),
    ("fp4", ("fp4", False, (48, 128))),
    ("fp4, nested", ("fp4", True, (48, 128))),
    ("nf4, rows that end within a byte", ("nf4", False, (6, 33))),
)
def four_bits(kind: str, nested: bool, shape: tuple[int, int]) -> Published:
    """Where blocks end within a row of even length, bitsandbytes 0.50 misreads itself on a CPU."""
    from bitsandbytes import functional

    codes, state = functional.quantize_4bit(
        random(*shape), quant_type=kind, compress_statistics=nested
    )
    parts = state.as_dict(packed=True)
    stored = {NAME: codes, **{f"{NAME}.{key}": part for key, part in parts.items()}}
    return Published(
        quantization("bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type=kind),
        stored,
        functional.dequantize_4bit(codes, state),
        rounded=1e-6,
    )


@published(("llm.int8()", ()))
def eight_bits() -> Published:
    from bitsandbytes import functional

    codes, largest, _ = functional.int8_vectorwise_quant(random(48, 96).half())
    marker = torch.zeros((), dtype=torch.uint8)
    return Published(
        quantization("bitsandbytes", load_in_8bit=True),
        {NAME: codes, f"{STEM}.SCB": largest, f"{STEM}.weight_format": marker},
        functional.int8_vectorwise_dequant(codes, largest),
        needed=(NAME, f"{STEM}.SCB"),
        rounded=1e-6,
    )


# compressed-tensors -----------------------------------------------------------------------------


@published(
    *((f"packed, {bits} bits", ("pack", bits, "group", True)) for bits in (2, 3, 4, 8)),
    *((f"packed, {bits} bits, asymmetric", ("pack", bits, "group", False)) for bits in (3, 4, 8)),
    ("packed, 4 bits, rows", ("pack", 4, "channel", True)),
    ("packed, 4 bits, rows, asymmetric", ("pack", 4, "channel", False)),
    ("packed, 8 bits, one scale", ("pack", 8, "tensor", True)),
    ("int8, rows", ("int", 8, "channel", True)),
    ("int8, rows, asymmetric", ("int", 8, "channel", False)),
    ("int8, groups", ("naive", 8, "group", True)),
    ("int8, one scale", ("int", 8, "tensor", True)),
    ("float8, rows", ("float", 8, "channel", True)),
    ("float8, one scale", ("float", 8, "tensor", True)),
    ("float8, blocks", ("float", 8, "block", True)),
    ("nvfp4", ("nvfp4-pack", 4, "tensor_group", True)),
    ("mxfp4, packed", ("mxfp4-pack", 4, "group", True)),
    ("mxfp8, compressed-tensors", ("mxfp8", 8, "group", True)),
)
def compressed(
    kind: str, bits: int, strategy: str, symmetric: bool, of_all: float = 800.0
) -> Published:
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    layout = f"{kind}-quantized"
    is_float = "fp" in kind or kind == "float"
    length = {"nvfp4-pack": 16}.get(kind, 32)
    block = [128, 128] if strategy == "block" else None
    args = QuantizationArgs(
        num_bits=bits,
        type="float" if is_float else "int",
        strategy=strategy,
        symmetric=symmetric,
        group_size=length if "group" in strategy else None,
        block_structure=block,
    )
    scheme = QuantizationScheme(targets=["Linear"], weights=args, format=layout)
    rows, columns = (256, 384) if block else (64, 160)
    grids = {
        "group": (rows, columns // length),
        "tensor_group": (rows, columns // length),
        "channel": (rows, 1),
        "tensor": (1,),
        "block": (rows // 128, columns // 128),
    }
    grid = grids[strategy]
    scale = random(*grid, seed=7).abs() * 0.1 + 0.002
    if kind.startswith("mx"):
        scale = torch.exp2(scale.log2().floor())
    state = {"weight": random(rows, columns), "weight_scale": scale}
    if kind.startswith("nvfp4"):
        state |= {"weight_scale": scale * of_all, "weight_global_scale": torch.tensor([of_all])}
    if not symmetric:
        half = 2 ** (bits - 1)
        state["weight_zero_point"] = (integers(2**bits, *grid, seed=8) - half).to(torch.int8)
    if kind == "pack":
        state["weight_shape"] = torch.tensor([rows, columns])
    compressor = BaseCompressor.get_value_from_registry(layout)
    stored = compressor.compress(state, scheme)
    expected = compressor.decompress(stored, scheme)["weight"]
    settings = {"config_groups": {"group_0": scheme.model_dump(mode="json")}, "format": layout}
    return Published(
        quantization("compressed-tensors", **settings),
        {f"{STEM}.{key}": part for key, part in stored.items()},
        expected,
        needed=tuple(f"{STEM}.{key}" for key in stored if key != "weight_shape"),
    )


@published(("packed in the order of activations", ()))
def compressed_in_order() -> Published:
    rows, columns, groups = 32, 128, 4
    codes = integers(16, rows, columns)
    scales = random(rows, groups, seed=7).abs() + 0.01
    group = torch.arange(columns) % groups
    expected = (codes - 8) * scales[:, group]
    settings = {"num_bits": 4, "type": "int", "group_size": 32, "actorder": "group"}
    return Published(
        quantization(
            "compressed-tensors",
            format="pack-quantized",
            config_groups={"group_0": {"targets": ["Linear"], "weights": settings}},
        ),
        {
            f"{NAME}_packed": packed(codes, 4),
            f"{NAME}_scale": scales,
            f"{NAME}_g_idx": group.int(),
            f"{NAME}_shape": torch.tensor([rows, columns]),
        },
        expected,
        needed=(f"{NAME}_packed", f"{NAME}_scale", f"{NAME}_g_idx"),
    )


@published(("packed, experts in one tensor", ()))
def compressed_experts() -> Published:
    experts, rows, columns, length = 3, 16, 128, 32
    codes = integers(16, experts, rows, columns)
    scales = random(experts, rows, columns // length, seed=7).abs() + 0.01
    settings = {"num_bits": 4, "type": "int", "group_size": length, "symmetric": True}
    return Published(
        quantization(
            "compressed-tensors",
            format="pack-quantized",
            config_groups={"group_0": {"targets": ["Linear"], "weights": settings}},
        ),
        {
            f"{NAME}_packed": packed(codes.view(-1, columns), 4).view(experts, rows, -1),
            f"{NAME}_scale": scales,
        },
        (codes - 8) * scales.repeat_interleave(length, -1),
    )


@published(("packed, 3 bits, before version 0.20", ()))
def compressed_in_words() -> Published:
    rows, columns = 8, 128
    codes = integers(8, rows, columns)
    scales = random(rows, 1, seed=7).abs() + 0.01
    tens = torch.nn.functional.pad(codes, (0, 2)).view(rows, 13, 10)
    numbers = (tens << 3 * torch.arange(10)).sum(-1).int()  # 2 bits of each word stay empty
    settings = {"num_bits": 3, "type": "int", "strategy": "channel"}
    return Published(
        quantization(
            "compressed-tensors",
            format="pack-quantized",
            config_groups={"group_0": {"targets": ["Linear"], "weights": settings}},
        ),
        {
            f"{NAME}_packed": numbers,
            f"{NAME}_scale": scales,
            f"{NAME}_shape": torch.tensor([rows, columns]),
        },
        (codes - 4) * scales,
        needed=(f"{NAME}_packed", f"{NAME}_scale"),
    )


# FP4 under other names --------------------------------------------------------------------------


@published(("nvfp4, ModelOpt", ("modelopt",)), ("nvfp4, ModelOpt, by its names", ("",)))
def modelopt(method: str) -> Published:
    """The scale of all is a power of two here, so that its inverse is exact."""
    found = compressed("nvfp4-pack", 4, "tensor_group", True, 512.0)
    codes, scale = found.stored[f"{NAME}_packed"], found.stored[f"{NAME}_scale"]
    return Published(
        quantization(method, quant_algo="NVFP4") if method else {},
        {
            NAME: codes,
            f"{NAME}_scale": scale,
            f"{NAME}_scale_2": torch.tensor(2.0**-9),
            f"{STEM}.input_scale": torch.tensor(0.5),
        },
        found.expected,
        needed=(f"{NAME}_scale",),
    )


EXPERTS = "model.layers.0.mlp.experts.gate_up_proj"


@published(("mxfp4, gpt-oss", ()))
def gpt_oss() -> Published:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks = integers(256, 3, 48, 4, 16).to(torch.uint8)
    scales = (integers(14, 3, 48, 4, seed=8) + 112).to(torch.uint8)
    return Published(
        quantization("mxfp4", modules_to_not_convert=["lm_head"]),
        {f"{EXPERTS}_blocks": blocks, f"{EXPERTS}_scales": scales},
        convert_moe_packed_tensors(blocks, scales, dtype=torch.float32),
        name=EXPERTS,
    )


# MLX --------------------------------------------------------------------------------------------


@published(*((f"metal, {bits} bits", (bits,)) for bits in (2, 4, 8)))
def metal(bits: int) -> Published:
    from transformers.integrations.metal_quantization import _affine_dequantize_tensor

    codes = packed(integers(2**bits, 48, 256), bits)
    scales, biases = random(48, 4, seed=7), random(48, 4, seed=8)
    return Published(
        quantization("metal", bits=bits, group_size=64),
        {NAME: codes.view(torch.uint32), f"{STEM}.scales": scales, f"{STEM}.qbiases": biases},
        _affine_dequantize_tensor(codes, scales, biases, 64, bits),
    )

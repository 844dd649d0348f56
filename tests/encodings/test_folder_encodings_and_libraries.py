"""Bytes are those of the libraries, and the libraries read from them what `decode` says.

GPTQModel and AutoAWQ do not install everywhere: their layouts are read here number by number, with
whole numbers of Python, from the layouts' descriptions.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from app.encodings import FOLDER_ENCODINGS
from app.encodings.affine import Affine
from app.encodings.bitsandbytes import FourBit
from app.encodings.fp8 import Float8
from app.encodings.microscaled import NvFp4
from app.encodings.packed_int import PackedInt
from app.encodings.plain_int import PlainInt
from tests.models.quantized.published import random
from tests.models.quantized.recorded_mlx import PARTS, VARIANTS, recorded

WEIGHT = random(256, 384)


def kinds(*classes: type) -> Any:
    """Each variant, without the stored types and groups that work alike."""
    found = {name: enc for name, enc in FOLDER_ENCODINGS.items() if isinstance(enc, classes)}
    found = {name: enc for name, enc in found.items() if not re.search("-f16|g64|g128", name)}
    return pytest.mark.parametrize("encoding", found.values(), ids=found)


def assert_same_bytes(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, part in theirs.items():
        assert ours[name].dtype == part.dtype, name
        assert (
            ours[name]
            .contiguous()
            .view(torch.uint8)
            .equal(part.contiguous().view(ours[name].shape).view(torch.uint8))
        ), name


# compressed-tensors -----------------------------------------------------------------------------


def scheme_of(layout: str, **settings: Any) -> tuple[Any, Any]:
    """The library's compressor, and what it wants to know."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    scheme = QuantizationScheme(
        targets=["Linear"], weights=QuantizationArgs(**settings), format=layout
    )
    return BaseCompressor.get_value_from_registry(layout), scheme


def integer_scheme(encoding: PackedInt | PlainInt) -> tuple[Any, Any]:
    return scheme_of(
        "pack-quantized" if isinstance(encoding, PackedInt) else "naive-quantized",
        num_bits=encoding.bits,
        type="int",
        symmetric=encoding.symmetric,
        strategy="group" if encoding.group else "channel",
        group_size=encoding.group or None,
    )


@kinds(PackedInt, PlainInt)
def test_that_integers_are_packed_as_compressed_tensors_packs_them(
    encoding: PackedInt | PlainInt,
) -> None:
    compressor, scheme = integer_scheme(encoding)
    ours = encoding.encode(WEIGHT)
    scale, zero = encoding.grid(WEIGHT)
    state = {"weight": WEIGHT, "weight_scale": ours["weight_scale"]}
    if isinstance(encoding, PackedInt):
        state["weight_shape"] = torch.tensor(WEIGHT.shape)
    if not encoding.symmetric:
        state["weight_zero_point"] = (zero - 2 ** (encoding.bits - 1)).to(torch.int8)
    # The library adds the zero point before it rounds: a weight between two codes may go the
    # other way, and only there.
    theirs = compressor.compress(state, scheme)
    codes = (encoding.unpack(parts, (256, 384))[0].int() for parts in (ours, theirs))
    apart = torch.sub(*codes).abs()
    step = (WEIGHT / scale.repeat_interleave(WEIGHT.shape[1] // scale.shape[1], 1)).abs()
    assert ((apart == 0) | ((step % 1 - 0.5).abs() < 1e-4)).all()
    assert apart.max() <= 1
    if encoding.symmetric:
        assert_same_bytes(ours, theirs)
    decoded = compressor.decompress(dict(ours), scheme)["weight"]
    expected = encoding.decode(ours, (256, 384))
    torch.testing.assert_close(decoded.float(), expected.to(decoded.dtype).float())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_that_the_plain_grid_is_that_of_compressed_tensors(bits: int, symmetric: bool) -> None:
    from compressed_tensors.quantization.utils.helpers import calculate_qparams

    encoding = PackedInt(bits, 32, symmetric, "F32")
    _, scheme = integer_scheme(encoding)
    low, high = torch.aminmax(WEIGHT.view(256, -1, 32), dim=-1)
    expected, point = calculate_qparams(low, high, scheme.weights)
    scale, zero = encoding.grid(WEIGHT, clips=(1.0,))
    assert scale.equal(expected)
    assert zero.equal(point.float() + 2 ** (bits - 1))


@kinds(Float8)
def test_that_eight_bit_floats_are_those_of_compressed_tensors(encoding: Float8) -> None:
    compressor, scheme = scheme_of(
        "float-quantized",
        num_bits=8,
        type="float",
        strategy={"row": "channel"}.get(encoding.strategy, encoding.strategy),
        block_structure=[128, 128] if encoding.strategy == "block" else None,
    )
    ours = encoding.encode(WEIGHT)
    scale = ours["weight_scale"].float()
    theirs = compressor.compress({"weight": WEIGHT, "weight_scale": scale}, scheme)
    assert ours["weight"].view(torch.uint8).equal(theirs["weight"].view(torch.uint8))
    decoded = compressor.decompress({**ours, "weight_scale": scale}, scheme)["weight"]
    torch.testing.assert_close(decoded, encoding.decode(ours, (256, 384)))


@pytest.mark.parametrize("name", ["nvfp4", "mxfp4", "mxfp8"])
def test_that_microscaled_floats_are_those_of_compressed_tensors(name: str) -> None:
    from compressed_tensors.quantization.utils.helpers import calculate_qparams, generate_gparam

    encoding = FOLDER_ENCODINGS[name]
    length, bits = (16, 4) if name == "nvfp4" else (32, int(name[-1]))
    dtype = torch.float8_e4m3fn if name == "nvfp4" else torch.uint8
    compressor, scheme = scheme_of(
        f"{name}-quantized" if bits == 8 else f"{name}-pack-quantized",
        num_bits=bits,
        type="float",
        strategy="tensor_group" if name == "nvfp4" else "group",
        group_size=length,
        scale_dtype=dtype,
        zp_dtype=dtype,
    )
    weight = WEIGHT.clone()
    weight[3] *= 1e-3  # small groups, and one of zeros
    weight[7, :64] = 0
    low, high = torch.aminmax(weight.view(256, -1, length), dim=-1)
    state = {"weight": weight}
    if name == "nvfp4":
        state["weight_global_scale"] = generate_gparam(low.amin(), high.amax())
    scale, _ = calculate_qparams(low, high, scheme.weights, state.get("weight_global_scale"))
    if bits == 8 or name == "mxfp4":
        scale = scale.clamp(min=2.0**-127)
    ours = encoding.encode(weight)
    theirs = compressor.compress({**state, "weight_scale": scale}, scheme)
    assert_same_bytes(ours, theirs)
    decoded = compressor.decompress(dict(ours), scheme)["weight"]
    expected = encoding.decode(ours, (256, 384))
    assert decoded.to(expected.dtype).isfinite().all()
    torch.testing.assert_close(decoded.float(), expected, rtol=2**-8, atol=0)  # BF16 on the way


def test_that_weights_which_are_joined_share_the_scale_of_all() -> None:
    q, k = random(32, 64), 3 * random(16, 64, seed=9)
    largest = float(torch.cat((q, k)).abs().max())
    encoding = NvFp4()
    joined = encoding.encode(torch.cat((q, k)))
    apart = [encoding.encode_among(one, largest) for one in (q, k)]
    for name in ("weight_packed", "weight_scale"):
        parts = torch.cat([one[name].view(torch.uint8) for one in apart])
        assert parts.equal(joined[name].view(torch.uint8))
    assert apart[0]["weight_global_scale"].equal(joined["weight_global_scale"])
    single = Float8("tensor")
    whole = single.encode(torch.cat((q, k)))
    for one in (q, k):
        assert single.encode_among(one, largest)["weight_scale"].equal(whole["weight_scale"])


# bitsandbytes -----------------------------------------------------------------------------------


@kinds(FourBit)
def test_that_four_bits_are_those_of_bitsandbytes(encoding: FourBit) -> None:
    from bitsandbytes import functional

    weight = random(192, 320) if encoding.double else WEIGHT
    weight[5] = 0
    ours = encoding.encode(weight)
    dtype = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}[encoding.dtype]
    codes, state = functional.quantize_4bit(
        weight, quant_type=encoding.kind, compress_statistics=encoding.double
    )
    state.dtype = dtype
    theirs = {f"weight.{name}": part for name, part in state.as_dict(packed=True).items()}
    name = f"weight.quant_state.bitsandbytes__{encoding.kind}"
    texts = [json.loads(bytes(parts.pop(name).tolist())) for parts in (dict(ours), theirs)]
    assert texts[0] == texts[1]
    exact = {key: part for key, part in ours.items() if key != name}
    if encoding.double:
        assert_nearly_same_codes(exact.pop("weight.absmax"), theirs.pop("weight.absmax"), weight)
    assert_same_bytes(exact, {"weight": codes, **theirs})
    loaded = functional.QuantState.from_dict(
        {key.removeprefix("weight."): part for key, part in ours.items() if key != "weight"},
        device=torch.device("cpu"),
    )
    loaded.dtype = torch.float32
    decoded = functional.dequantize_4bit(ours["weight"], loaded)
    expected = encoding.decode(ours, tuple(weight.shape))
    torch.testing.assert_close(decoded, expected, rtol=1e-6, atol=1e-8)


def assert_nearly_same_codes(ours: Tensor, theirs: Tensor, weight: Tensor) -> None:
    """On a processor the library looks numbers up in a table of 2^16 steps: between two codes it
    may miss the nearest, by a step.
    """
    from bitsandbytes import functional

    numbers = weight.view(-1, 64).abs().amax(1)
    numbers = numbers - numbers.mean()
    largest = torch.cat([some.abs().amax().expand(len(some)) for some in numbers.split(256)])
    values = functional.create_dynamic_map()
    scaled = numbers / largest
    missed, missed_there = (values[codes.int()] - scaled for codes in (ours, theirs))
    assert (missed.abs() <= missed_there.abs() + 1e-7).all()
    assert (missed_there.abs() <= missed.abs() + 2**-14).all()
    assert (ours != theirs).float().mean() < 0.01


def test_that_eight_bits_are_those_of_bitsandbytes() -> None:
    from bitsandbytes import functional

    encoding = FOLDER_ENCODINGS["llm-int8"]
    weight = WEIGHT * torch.linspace(0.001, 30, 256)[:, None]
    ours = encoding.encode(weight)
    codes, largest, _ = functional.int8_vectorwise_quant(weight.half())
    assert ours["weight"].equal(codes)
    assert ours["SCB"].equal(largest)
    decoded = functional.int8_vectorwise_dequant(codes, largest)
    torch.testing.assert_close(encoding.decode(ours, (256, 384)), decoded)


# transformers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fp8-deepseek", "fp8-deepseek-e5m2", "fp8-fbgemm"])
def test_that_transformers_reads_eight_bit_floats(name: str) -> None:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    encoding = FOLDER_ENCODINGS[name]
    codes, scale = encoding.encode(WEIGHT).values()
    found = Fp8Dequantize(None)._dequantize_one(codes, scale)
    decoded = encoding.decode(encoding.encode(WEIGHT), (256, 384))
    torch.testing.assert_close(found, decoded)
    # Each block's largest weight is the largest float.
    assert codes.float().abs().max() == torch.finfo(codes.dtype).max


def test_that_transformers_reads_the_experts_of_gpt_oss() -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    encoding = FOLDER_ENCODINGS["mxfp4-experts"]
    weight = random(3, 128, 48)
    parts = encoding.encode(weight)
    found = convert_moe_packed_tensors(parts["blocks"], parts["scales"], dtype=torch.float32)
    assert found.equal(encoding.decode(parts, (3, 128, 48)))
    # One expert, upright, is what compressed-tensors is known to store.
    alone = FOLDER_ENCODINGS["mxfp4"].encode(weight[1].t())
    assert parts["blocks"][1].flatten(1).equal(alone["weight_packed"])
    assert parts["scales"][1].equal(alone["weight_scale"])


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_that_transformers_reads_what_is_stored_for_mlx(bits: int) -> None:
    from transformers.integrations.metal_quantization import _affine_dequantize_tensor

    encoding = FOLDER_ENCODINGS[f"mlx-{bits}bit-g64-f32"]
    parts = encoding.encode(WEIGHT)
    words = parts["weight"].view(torch.int32)
    found = _affine_dequantize_tensor(words, parts["scales"], parts["biases"], 64, bits)
    torch.testing.assert_close(found, encoding.decode(parts, (256, 384)), rtol=1e-5, atol=1e-6)


# MLX --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "mxfp4"])
def test_that_the_plain_grid_stores_what_mlx_stores(variant: str) -> None:
    _, bits, length = VARIANTS[variant]
    encoding = FOLDER_ENCODINGS[f"mlx-{bits}bit-g{length}-f32"]
    assert isinstance(encoding, Affine)
    weight = random(4, 128)
    scale, zero = encoding.grid(weight, clips=(1.0,))
    ours = encoding.pack(encoding.nearest(weight, scale, zero), scale, zero)
    theirs = dict(zip(PARTS, recorded(variant).stored.values(), strict=True))
    assert ours["weight"].equal(theirs["weight"])
    assert ours["scales"].equal(theirs["scales"])
    # A zero point stands for the bias on the way, which float32 rounds.
    torch.testing.assert_close(ours["biases"], theirs["biases"], rtol=2**-22, atol=0)


# GPTQ and AWQ -----------------------------------------------------------------------------------


def bits_of(words: list[int], first: int, count: int) -> int:
    """Some bits of a stream of words of 32."""
    stream = sum((word & 0xFFFFFFFF) << 32 * place for place, word in enumerate(words))
    return stream >> first & (1 << count) - 1


@pytest.mark.parametrize(
    "name",
    [f"gptq-{bits}bit-g32-{kind}" for bits in (2, 3, 4, 8) for kind in ("sym", "asym")]
    + ["gptq-4bit-row-asym", "gptq2-4bit-g32-asym", "gptq2-3bit-g64-sym"],
)
def test_that_gptq_is_laid_out_as_described(name: str) -> None:
    encoding = FOLDER_ENCODINGS[name]
    assert isinstance(encoding, Affine)
    weight = random(64, 128)
    parts = encoding.encode(weight)
    decoded = encoding.decode(parts, (64, 128))
    assert float((decoded - weight).norm() / weight.norm()) < 2.0 * 2.0**-encoding.bits
    bits, more = encoding.bits, name.startswith("gptq-")
    for row, column in ((0, 0), (1, 31), (63, 127), (17, 10), (31, 64), (32, 5)):
        group = int(parts["g_idx"][column])
        assert group == column // encoding.columns_a_group((64, 128))
        code = bits_of(parts["qweight"][:, row].tolist(), bits * column, bits)
        zero = bits_of(parts["qzeros"][group].tolist(), bits * row, bits) + more
        expected = float(parts["scales"][group, row]) * (code - zero)
        assert float(decoded[row, column]) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    if name.endswith("-4bit-g32-sym"):  # what every symmetric GPTQ file holds
        assert set(parts["qzeros"].flatten().tolist()) == {0x77777777}


@pytest.mark.parametrize("name", ["awq-4bit-g32-sym", "awq-4bit-g64-asym", "awq-4bit-row-asym"])
def test_that_awq_is_laid_out_as_described(name: str) -> None:
    encoding = FOLDER_ENCODINGS[name]
    assert isinstance(encoding, Affine)
    weight = random(64, 128)
    parts = encoding.encode(weight)
    decoded = encoding.decode(parts, (64, 128))
    assert float((decoded - weight).norm() / weight.norm()) < 0.12
    nibble_of = {0: 0, 1: 4, 2: 1, 3: 5, 4: 2, 5: 6, 6: 3, 7: 7}  # of each of eight rows
    for row in range(64):
        for column in (0, 31, 32, 127):
            group = column // encoding.columns_a_group((64, 128))
            word, first = row // 8, 4 * nibble_of[row % 8]
            code = bits_of([int(parts["qweight"][column, word])], first, 4)
            zero = bits_of([int(parts["qzeros"][group, word])], first, 4)
            expected = float(parts["scales"][group, row]) * (code - zero)
            assert float(decoded[row, column]) == pytest.approx(expected, rel=1e-6, abs=1e-9)

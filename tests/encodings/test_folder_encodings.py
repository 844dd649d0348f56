"""What every encoding of safetensors folders promises; a new one is tested by being there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from app.core.errors import Unsupported
from app.encodings import ENCODINGS, FOLDER_ENCODINGS, find_encoding
from app.encodings.base import NotFinite, Overflow
from app.encodings.dtypes import torch_dtype
from app.encodings.folder import FolderEncoding
from app.models.open import open_model
from app.models.quantized import plain
from tests.models.quantized.published import quantization, random, write_folder

#: Of each kind: a group and a row, without the stored types and groups that work alike.
ALIKE = re.compile(r"-f16|-f32|g64|g128|g256|gptq2-[238]|gptq-.*row|int-4bit-row|mlx-[56]")
SOME = {name: enc for name, enc in FOLDER_ENCODINGS.items() if not ALIKE.search(name)}
FAMILIES = list(dict.fromkeys(map(type, FOLDER_ENCODINGS.values())))
some = pytest.mark.parametrize("encoding", SOME.values(), ids=SOME)


def sample(encoding: FolderEncoding) -> Tensor:
    """A weight that the encoding holds; blocks of 128 do not divide it, where that is allowed."""
    if encoding.name == "mxfp4-experts":
        return random(3, 64, 24)
    return random(160, 192) if getattr(encoding, "group", 0) in {0, 32, 64} else random(160, 256)


def bits_of(part: Tensor) -> Tensor:
    return part.flatten().view(torch.uint8)


def relative_error(encoding: FolderEncoding, weight: Tensor) -> float:
    shape = tuple(weight.shape)
    decoded = encoding.decode(encoding.encode(weight), shape)
    return float((decoded - weight).double().norm() / weight.double().norm())


@pytest.mark.parametrize("family", FAMILIES)
def test_that_what_is_stored_is_what_the_layout_promised(family: type[FolderEncoding]) -> None:
    for encoding in family.variants():
        weight = sample(encoding)
        shape = tuple(weight.shape)
        parts = encoding.encode(weight)
        promised = {part.name: (part.shape, part.dtype) for part in encoding.layout(shape)}
        assert parts.keys() == promised.keys(), encoding.name
        for name, (size, dtype) in promised.items():
            assert (tuple(parts[name].shape), parts[name].dtype) == (size, torch_dtype(dtype))
            assert parts[name].is_contiguous()
        assert sum(part.nbytes for part in parts.values()) == encoding.nbytes(shape)
        decoded = encoding.decode(parts, shape)
        assert (decoded.shape, decoded.dtype) == (weight.shape, torch.float32)


def test_that_a_name_finds_its_encoding() -> None:
    for encoding in FOLDER_ENCODINGS.values():
        assert find_encoding(encoding.name) is encoding
    assert not ENCODINGS.keys() & FOLDER_ENCODINGS.keys()
    assert find_encoding("Q4_K") is ENCODINGS["Q4_K"]
    with pytest.raises(Unsupported, match="gptq-7bit"):
        find_encoding("gptq-7bit")


@some
def test_that_errors_are_as_small_as_the_bits_allow(encoding: FolderEncoding) -> None:
    weight = sample(encoding)
    bits = 8 * encoding.nbytes(tuple(weight.shape)) / weight.numel()
    width = getattr(encoding, "bits", 4 if bits < 6 else 8)
    # A normal distribution at 2 bits is missed by about 0.4 of itself, and half of it a bit more.
    assert (
        0.3 * 2.0**-width
        < relative_error(encoding, weight)
        < 2.2 * 2.0**-width + (0.06 if width == 8 and "fp8" in encoding.name else 0)
    )


@some
def test_that_numbers_that_are_none_are_refused(encoding: FolderEncoding) -> None:
    weight = sample(encoding)
    for value in (torch.nan, torch.inf, -torch.inf):
        weight.view(-1)[-3] = value
        with pytest.raises(NotFinite):
            encoding.encode(weight)


@some
def test_that_zeros_stay_zeros(encoding: FolderEncoding) -> None:
    weight = sample(encoding)
    weight[1] = 0
    decoded = encoding.decode(encoding.encode(weight), tuple(weight.shape))
    assert decoded.isfinite().all()
    # With double quantization a block of zeros gets a number near 0.
    assert decoded[1].abs().max() <= (2e-3 if "double" in encoding.name else 0)
    nothing = torch.zeros_like(weight)
    assert not encoding.decode(encoding.encode(nothing), tuple(weight.shape)).any()


@some
def test_that_the_size_of_weights_hardly_matters(encoding: FolderEncoding) -> None:
    weight = sample(encoding)
    usual = relative_error(encoding, weight)
    for scale in (1e-30, 1e-6, 1e3):
        narrow = encoding.name.startswith(("gptq", "awq", "llm")) and scale < 1e-5  # F16
        error = relative_error(encoding, scale * weight)
        assert error < (1.01 if narrow else 1.1 * usual + 0.02)


@pytest.mark.parametrize(
    ("name", "fits", "too_large"),
    [
        ("gptq-4bit-g32-sym", 4.5e5, 2e6),
        ("awq-4bit-g32-asym", 4.5e5, 2e6),
        ("mlx-8bit-g32-f16", 6e4, 2e7),
        ("packed-4bit-row-asym-f16", 4.5e5, 2e6),
        ("fp8-row-f16", 2.9e7, 3e7),
        ("llm-int8", 65519, 65520),
        ("mxfp4", 2.9e38, 3e38),
        ("mxfp8", 2.9e38, 3e38),
        ("mxfp4-experts", 2.9e38, 3e38),
    ],
)
def test_that_what_cannot_be_stored_is_named(name: str, fits: float, too_large: float) -> None:
    encoding = FOLDER_ENCODINGS[name]
    weight = sample(encoding)
    weight.view(-1)[70] = -fits
    assert encoding.decode(encoding.encode(weight), tuple(weight.shape)).isfinite().all()
    weight.view(-1)[70] = -too_large
    with pytest.raises(Overflow, match="the largest value here is"):
        encoding.encode(weight)


@some
def test_that_any_slicing_gives_the_same_bytes(
    encoding: FolderEncoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = sample(encoding)
    whole = encoding.encode(weight)
    decoded = encoding.decode(whole, tuple(weight.shape))
    for module in ("folder", "bitsandbytes"):
        monkeypatch.setattr(f"app.encodings.{module}.SLICE", 7 * 192)
    sliced = encoding.encode(weight)
    for name, part in whole.items():
        assert bits_of(sliced[name]).equal(bits_of(part))
    assert encoding.decode(sliced, tuple(weight.shape)).equal(decoded)


@some
def test_that_the_memory_layout_of_a_weight_does_not_matter(encoding: FolderEncoding) -> None:
    weight = sample(encoding)
    turned = weight.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert not turned.is_contiguous()
    there = encoding.encode(turned)
    for name, part in encoding.encode(weight).items():
        assert bits_of(there[name]).equal(bits_of(part))
    assert weight.equal(sample(encoding)), "the weight was changed"


@some
def test_that_shapes_that_do_not_fit_are_refused(encoding: FolderEncoding) -> None:
    for shape in ((64,), (2, 2, 2, 64), (0, 64), (64, 0)):
        with pytest.raises(ValueError, match=encoding.name):
            encoding.layout(shape)
    if getattr(encoding, "group", 0):
        with pytest.raises(ValueError, match=encoding.name):
            encoding.layout((64, 40))


class NoDoubles(TorchFunctionMode):
    """Refuses float64, which graphics processors of Macs do not have."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, (tuple, list)) else (found,):
            assert not (isinstance(one, Tensor) and one.dtype is torch.float64), func
        return found


@some
def test_that_nothing_is_computed_in_double_precision(encoding: FolderEncoding) -> None:
    weight = sample(encoding)
    with NoDoubles():
        encoding.decode(encoding.encode(weight), tuple(weight.shape))


def config_of(name: str) -> dict[str, Any]:
    """What config.json says about a weight of this encoding, as far as reading it depends on it."""
    encoding = FOLDER_ENCODINGS[name]
    kind = name.partition("-")[0]
    bits = {"num_bits": getattr(encoding, "bits", 8), "symmetric": "asym" not in name}
    if kind in {"gptq", "gptq2"}:
        return quantization("gptq", checkpoint_format="gptq" if kind == "gptq" else "gptq_v2")
    if kind == "mlx":
        return {"quantization": {"group_size": getattr(encoding, "group", 64), **bits}}
    if kind == "awq":
        return quantization("awq", bits=4, version="gemm")
    if name == "mxfp4-experts":
        return quantization("mxfp4")
    if kind in {"nf4", "fp4", "llm", "hqq"}:
        return quantization("hqq" if kind == "hqq" else "bitsandbytes")
    if name.startswith("fp8-deepseek"):
        return quantization("fp8", weight_block_size=[128, 128])
    if name == "fp8-fbgemm":
        return quantization("fbgemm_fp8")
    if name.startswith("fp8-block"):
        bits["block_structure"] = [128, 128]
    layouts = {"packed": "pack-quantized", "int": "naive-quantized", "fp8": "float-quantized",
               "nvfp4": "nvfp4-pack-quantized", "mxfp4": "mxfp4-pack-quantized",
               "mxfp8": "mxfp8-quantized"}  # fmt: skip
    groups = {"group_0": {"targets": ["Linear"], "weights": bits}}
    return quantization("compressed-tensors", format=layouts[kind], config_groups=groups)


@some
def test_that_a_folder_is_read_as_what_was_stored(encoding: FolderEncoding, tmp_path: Path) -> None:
    weight = sample(encoding)
    name = "model.layers.0.mlp.up_proj.weight"
    if encoding.name == "mxfp4-experts":
        name = "model.layers.0.mlp.experts.gate_up_proj"
    parts = encoding.encode(weight)
    stored = {encoding.tensor_name(name, part): tensor for part, tensor in parts.items()}
    folder = write_folder(tmp_path / "model", config_of(encoding.name), stored)
    found = plain(open_model(folder))
    assert set(found.tensors) == {name}
    decoded = encoding.decode(parts, tuple(weight.shape))
    torch.testing.assert_close(found.tensor(name), decoded, rtol=1e-6, atol=1e-7)

"""compressed-tensors, the format of LLM Compressor; vLLM and SGLang read it first of all.

The config describes one group of linear layers, in the fields of the library's `QuantizationArgs`,
and lists the modules that are left alone. Readers take every linear layer that is not listed for
quantized.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from typing_extensions import override

from app.encodings import FOLDER_ENCODINGS
from app.encodings.folder import DTYPE_NAMES
from app.formats.base import Preset
from app.formats.safetensors.inputs import OF_FLOATS, OF_GROUPS, OF_INTEGERS, InputScale
from app.formats.safetensors.scheme import EVERYWHERE, VLLM, Modules, Scheme, scaled
from app.formats.size_classes import size_class

_BLOCK = 128
_TOKENS: dict[str, Any] = {"strategy": "token", "dynamic": True}
_GROUPS: dict[str, Any] = {"strategy": "group", "group_size": _BLOCK, "dynamic": True}
_BLOCKS: dict[str, Any] = {"strategy": "block", "block_structure": [_BLOCK, _BLOCK]}
_NV: dict[str, Any] = {
    "strategy": "tensor_group", "group_size": 16,
    "scale_dtype": "torch.float8_e4m3fn", "zp_dtype": "torch.float8_e4m3fn",
}  # fmt: skip
_MX: dict[str, Any] = {
    "strategy": "group", "group_size": 32,
    "scale_dtype": "torch.uint8", "zp_dtype": "torch.uint8",
}  # fmt: skip


def _arguments(bits: int, kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What the library wants to know of some numbers."""
    usual = {
        "num_bits": bits,
        "type": kind,
        "symmetric": True,
        "strategy": "channel",
        "group_size": None,
        "block_structure": None,
        "dynamic": False,
        "actorder": None,
        "observer": _observer(chosen.get("dynamic", False)),
        "observer_kwargs": {},
    }
    return {**usual, **chosen}


def _observer(dynamic: bool | str) -> str | None:
    """How the library would find ranges: a scale for each token needs none."""
    if dynamic == "local":  # of groups, beside one for all that was found with a text
        return "static_minmax"
    return None if dynamic else "minmax"


@dataclass(frozen=True, slots=True)
class CompressedTensors(Scheme):
    """Numbers of one kind for the weights of all linear layers."""

    called: str
    layout: str
    """The library's name for the way numbers are stored."""
    stored: str
    """The encoding, with scales in BF16."""
    bits: int
    kind: str
    """"int" or "float"."""
    summary: str
    quality: str
    weights: Mapping[str, Any]
    """What is unusual about the weights' numbers."""
    inputs: Mapping[str, Any] | None = None
    """The same for what they are multiplied with; None: that stays as it is."""
    runs_in: str = EVERYWHERE
    featured: bool = False
    beside_weights: InputScale | None = None
    """The inputs' scale, where it does not depend on the token."""

    # transformers 5.23 joins experts while it loads them, and takes some scales for others then.
    experts_run_in: ClassVar[str] = VLLM

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        yield from cls._integers()
        yield from cls._floats()

    @classmethod
    def _integers(cls) -> Iterator[Self]:
        packed, row = "pack-quantized", "with a scale for each row"
        for group in (128, 64, 32):
            yield cls(
                f"w4a16-g{group}", packed, f"packed-4bit-g{group}-sym", 4, "int",
                f"4-bit integers with a scale for every {group}; layers compute in 16 bits.",
                "small loss", {"strategy": "group", "group_size": group}, featured=group == 128,
            )  # fmt: skip
        yield cls(
            "w4a16-asym-g128", packed, "packed-4bit-g128-asym", 4, "int",
            "The same with a zero point for every 128.", "small loss",
            {"strategy": "group", "group_size": 128, "symmetric": False},
            runs_in=VLLM,  # transformers 5 cannot load packed zero points
        )  # fmt: skip
        yield cls(
            "w8a16-g128", packed, "packed-8bit-g128-sym", 8, "int",
            "8-bit integers with a scale for every 128; layers compute in 16 bits.",
            "practically the original", {"strategy": "group", "group_size": 128},
        )  # fmt: skip
        yield cls(
            "w8a16", packed, "packed-8bit-row-sym", 8, "int",
            f"8-bit integers {row}; layers compute in 16 bits.", "practically the original", {},
        )  # fmt: skip
        yield cls(
            "w8a8-int8", "int-quantized", "int-8bit-row-sym", 8, "int",
            "8-bit integers for weights and for what they are multiplied with: fast on graphics "
            "cards since 2018 and on processors.", "very small loss", {}, _TOKENS,
        )  # fmt: skip
        yield cls(
            "w8a8-int8-static", "int-quantized", "int-8bit-row-sym", 8, "int",
            "The same with one scale for all inputs of a weight, found with a text: a little "
            "faster, and much is lost where a few tokens have far larger inputs than others.",
            "heavy loss", {}, {"strategy": "tensor"}, beside_weights=OF_INTEGERS,
        )  # fmt: skip

    @classmethod
    def _floats(cls) -> Iterator[Self]:
        best = "practically the original"
        yield cls(
            "fp8", "float-quantized", "fp8-row", 8, "float",
            "8-bit floats for weights and inputs: fast on graphics cards since 2023.",
            best, {}, _TOKENS, featured=True,
        )  # fmt: skip
        yield cls(
            "fp8-static", "float-quantized", "fp8-tensor", 8, "float",
            "8-bit floats with one scale for each weight and one for its inputs, found with a "
            "text.", "very small loss", {"strategy": "tensor"}, {"strategy": "tensor"},
            beside_weights=OF_FLOATS,
        )  # fmt: skip
        yield cls(
            "fp8-block-ct", "float-quantized", "fp8-block", 8, "float",
            "The numbers of fp8-block in the files of compressed-tensors.", best, _BLOCKS, _GROUPS,
        )  # fmt: skip
        yield cls(
            "nvfp4a16", "nvfp4-pack-quantized", "nvfp4", 4, "float",
            "NVIDIA's 4-bit floats; layers compute in 16 bits.", "small loss", _NV,
        )  # fmt: skip
        yield cls(
            "nvfp4-w4a4", "nvfp4-pack-quantized", "nvfp4", 4, "float",
            "NVIDIA's 4-bit floats for weights and inputs, found with a text: fast on graphics "
            "cards since 2025.", "visible loss", _NV, {**_NV, "dynamic": "local"},
            beside_weights=OF_GROUPS,
        )  # fmt: skip
        yield cls(
            "mxfp4a16", "mxfp4-pack-quantized", "mxfp4", 4, "float",
            "The open standard's 4-bit floats; layers compute in 16 bits.", "visible loss", _MX,
        )  # fmt: skip
        yield cls(
            "mxfp8a16", "mxfp8-quantized", "mxfp8", 8, "float",
            "The open standard's 8-bit floats; layers compute in 16 bits.", best, _MX,
        )  # fmt: skip

    @property
    @override
    def preset(self) -> Preset:
        return Preset(
            self.called, self.stored, self.summary, self.quality,
            group=size_class(self.bits), featured=self.featured, runs_in=self.runs_in,
            rounds_inputs=self.inputs is not None,
        )  # fmt: skip

    @property
    @override
    def joined(self) -> bool:
        return self.weights.get("strategy") in {"tensor", "tensor_group"}

    @property
    @override
    def input_scale(self) -> InputScale | None:
        return self.beside_weights

    @override
    def encoding(self, dtype: str) -> str:
        with_scales = f"{self.stored}-{DTYPE_NAMES[dtype]}" in FOLDER_ENCODINGS
        return scaled(self.stored, dtype) if with_scales else self.stored

    @override
    def fits(self, shape: tuple[int, ...]) -> bool:
        return self.weights is not _BLOCKS or all(size % _BLOCK == 0 for size in shape)

    @override
    def config(self, modules: Modules) -> dict[str, Any]:
        inputs = None if self.inputs is None else _arguments(self.bits, self.kind, self.inputs)
        layers = {
            "targets": ["Linear"],
            "weights": _arguments(self.bits, self.kind, self.weights),
            "input_activations": inputs,
            "output_activations": None,
        }
        settings = {
            "quant_method": "compressed-tensors",
            "format": self.layout,
            "quantization_status": "compressed",
            "config_groups": {"group_0": layers},
            "ignore": list(modules.left),
            "kv_cache_scheme": None,
            "global_compression_ratio": None,
        }
        return {"quantization_config": settings}

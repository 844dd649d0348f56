"""What bitsandbytes stores: NF4 and FP4 in blocks of 64, and LLM.int8() in rows.

4 bits, for n weights, row after row:
    X.weight             U8 (n / 2, 1)   codes, the high half of a byte first
    X.weight.quant_map   F32 (16)        the codes' values
    X.weight.absmax      F32 (n / 64)    what a block's values are multiplied with
    X.weight.quant_state.bitsandbytes__nf4   U8, JSON: shape, blocksize, ...
With double quantization `absmax` is U8, and
    X.weight.nested_quant_map  F32 (256)
    X.weight.nested_absmax     F32 (n / 64 / 256); the mean goes into the JSON

8 bits: X.weight I8 (out, in), X.SCB F32 (out), the largest magnitude of each row. A byte 0 called
X.weight_format stands beside them. Columns of outliers are found at run time and multiplied in 16
bits.

Dettmers et al., "QLoRA", NeurIPS 2023, arXiv:2305.14314; "LLM.int8()", NeurIPS 2022,
arXiv:2208.07339; "8-bit Optimizers via Block-wise Quantization", ICLR 2022, arXiv:2110.02861,
section 1.3, for the values of 8 bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Self

from typing_extensions import override

from app.encodings.base import Overflow, Part
from app.encodings.extremes import largest_of
from app.encodings.folder import DTYPE_NAMES, SLICE, FolderEncoding, in_slices
from app.encodings.packing import looked_up, nibbles, pack_nibbles

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK, _NESTED = 64, 256
_LEAST = 1e-38
#: Longest text of a float32 as JSON; the state is padded, so that its length is known beforehand.
_LONGEST_FLOAT = 25
_ALIGNMENT = 8  # what follows in a file are wider numbers
ONE_127TH = 7.874015718698502e-3  # as the library rounds it
_LARGEST_F16, _BEYOND_F16 = 65504.0, 65520.0

#: Quantiles of the normal distribution, QLoRA, appendix E.
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
#: In the order of codes: a sign, two bits of exponent, one of mantissa; in twelfths.
_FP4 = (0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0)
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


@dataclass(frozen=True, slots=True)
class FourBit(FolderEncoding):
    """Values of a table of 16, times the largest weight of each block."""

    kind: str = "nf4"
    """"nf4" or "fp4"."""
    double: bool = False
    """Whether the blocks' numbers are quantized in turn: 4.13 bits a weight instead of 4.5."""
    dtype: str = "BF16"
    """What the library computes in, after loading."""

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for found in product(("nf4", "fp4"), (False, True), _DTYPES):
            yield cls(*found)

    @property
    @override
    def name(self) -> str:
        double = "-double" if self.double else ""
        return f"{self.kind}{double}" + (
            "" if self.dtype == "BF16" else f"-{DTYPE_NAMES[self.dtype]}"
        )

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape)
        count = rows * columns
        if count % _BLOCK:
            raise ValueError(f"{self.name} holds multiples of {_BLOCK} weights, not {shape}")
        blocks = count // _BLOCK
        nested = (
            Part("weight.nested_absmax", (-(-blocks // _NESTED),), "F32"),
            Part("weight.nested_quant_map", (256,), "F32"),
        )
        return (
            Part("weight", (count // 2, 1), "U8"),
            Part("weight.absmax", (blocks,), "U8" if self.double else "F32"),
            Part("weight.quant_map", (16,), "F32"),
            *(nested if self.double else ()),
            Part(self._state_name, (len(self._state(shape, 0.0)),), "U8"),
        )

    @property
    def _state_name(self) -> str:
        return f"weight.quant_state.bitsandbytes__{self.kind}"

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        """Round to the nearest value; see the base class.

        Raises:
            NotFinite: A weight is NaN or infinite.
        """
        import torch

        del importance
        shape = tuple(weight.shape)
        self.layout(shape)
        largest_of(weight)
        table = self._table().to(weight.device)
        blocks = weight.reshape(-1, _BLOCK)
        found = [_codes(some, table) for some in torch.split(blocks, SLICE // _BLOCK)]
        largest = torch.cat([maxima for _, maxima in found])
        parts = {
            "weight": torch.cat([codes for codes, _ in found]).view(-1, 1),
            "weight.quant_map": table,
        }
        offset = 0.0
        if self.double:
            mean = largest.mean()
            offset = float(mean)
            codes, scales, values = _nested(largest - mean)
            parts["weight.absmax"] = codes
            parts["weight.nested_absmax"], parts["weight.nested_quant_map"] = scales, values
        else:
            parts["weight.absmax"] = largest
        state = torch.frombuffer(bytearray(self._state(shape, offset)), dtype=torch.uint8)
        parts[self._state_name] = state.to(weight.device)
        return parts

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        import torch

        largest = parts["weight.absmax"]
        if self.double:
            state = json.loads(bytes(parts[self._state_name].tolist()))
            values = looked_up(parts["weight.nested_quant_map"], largest)
            scales = parts["weight.nested_absmax"].repeat_interleave(_NESTED)[: len(values)]
            largest = values * scales + state["nested_offset"]
        found = torch.empty(len(largest), _BLOCK, device=largest.device)
        codes = parts["weight"].view(-1, _BLOCK // 2)
        for rows in in_slices(found):
            pairs = nibbles(codes[rows]).view(-1, _BLOCK // 2, 2).flip(-1).view(-1, _BLOCK)
            found[rows] = looked_up(parts["weight.quant_map"], pairs) * largest[rows, None]
        return found.view(shape)

    def _table(self) -> Tensor:
        """The values of the codes."""
        import torch

        if self.kind == "nf4":
            return torch.tensor(_NF4)
        positive = torch.tensor(_FP4) / 12
        return torch.cat((positive, 0 - positive))  # no zero has a sign

    def _state(self, shape: tuple[int, ...], offset: float) -> bytes:
        """The JSON that the library reads, with spaces behind it up to a multiple of 8 bytes."""
        fields: dict[str, Any] = {
            "quant_type": self.kind,
            "blocksize": _BLOCK,
            "dtype": _DTYPES[self.dtype],
            "shape": list(shape),
        }
        longest = 0
        if self.double:
            fields |= {"nested_blocksize": _NESTED, "nested_dtype": "float32", "nested_offset": 0}
            longest = len(json.dumps(fields)) + _LONGEST_FLOAT
            fields["nested_offset"] = offset
        state = json.dumps(fields).ljust(longest).encode()
        return state + b" " * (-len(state) % _ALIGNMENT)


@dataclass(frozen=True, slots=True)
class LlmInt8(FolderEncoding):
    """8 bits a weight and a number for each row."""

    @property
    @override
    def name(self) -> str:
        return "llm-int8"

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape)
        return (
            Part("weight", (rows, columns), "I8"),
            Part("SCB", (rows,), "F32"),
        )

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        """Round the weight, first to F16 as the library does; see the base class.

        Raises:
            NotFinite: A weight is NaN or infinite.
            Overflow: A weight is beyond F16.
        """
        import torch

        del importance
        self.layout(tuple(weight.shape))
        top = largest_of(weight)
        if top >= _BEYOND_F16:
            raise Overflow(top, _LARGEST_F16)
        codes, maxima = [], []
        for rows in in_slices(weight):
            some = weight[rows].to(torch.float16).to(torch.float32)
            largest = some.abs().amax(1)
            inverse = torch.where(largest > 0, 127 / largest, 0.0)
            codes.append((some * inverse[:, None]).round_().to(torch.int8))
            maxima.append(largest)
        return {"weight": torch.cat(codes), "SCB": torch.cat(maxima)}

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        import torch

        return parts["weight"].to(torch.float32) * (parts["SCB"] * ONE_127TH)[:, None]


def _codes(blocks: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Packed codes, (n, 32), and the largest magnitudes, (n,), of (n, 64) weights."""
    import torch

    largest = blocks.abs().amax(1)
    scaled = (blocks * (1 / largest.clamp(min=_LEAST))[:, None]).clamp_(-1, 1)
    order = table.argsort(stable=True)
    places = torch.bucketize(scaled, _middles(table[order]), out_int32=True)
    codes = looked_up(order.to(torch.uint8), places)
    return pack_nibbles(codes.view(-1, _BLOCK // 2, 2).flip(-1).view(-1, _BLOCK)), largest


def _nested(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, the largest magnitude of every 256, and the values of the codes."""
    import torch

    table = _dynamic_map().to(numbers.device)
    padded = torch.nn.functional.pad(numbers, (0, -len(numbers) % _NESTED)).view(-1, _NESTED)
    largest = padded.abs().amax(1)
    scaled = padded * (1 / largest.clamp(min=_LEAST))[:, None]
    codes = torch.bucketize(scaled, _middles(table), out_int32=True).to(torch.uint8)
    return codes.flatten()[: len(numbers)], largest, table


def _middles(values: Tensor) -> Tensor:
    """What lies halfway between neighbours; a number in the middle takes the lower one."""
    return (values[:-1] + values[1:]) / 2


def _dynamic_map() -> Tensor:
    """The 256 values of a dynamic exponent and a fraction: fine around 0, and up to 1.

    Each decade below 1 has twice as many values as the one below it, in the middles of even
    intervals.
    """
    import torch

    values = [0.0, 1.0]
    for decade in range(7):
        bounds = torch.linspace(0.1, 1, 2**decade + 1, dtype=torch.float32)
        middles = (bounds[:-1] + bounds[1:]) / 2
        for sign in (1, -1):
            values += (sign * 10.0 ** (decade - 6) * middles).tolist()
    return torch.tensor(sorted(values), dtype=torch.float32)

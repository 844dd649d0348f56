"""Integers as the library of HQQ stores them: scale * (code - zero), both with a fraction.

    X.W_q    U8 (groups * bits / 8, group)   codes; of two halves of the groups, the first is above
    X.scale  BF16 (groups, 1)
    X.zero   BF16 (groups, 1)
    X.shape  I64 (2), X.nbits I32 (), X.packing U8 (7), ...   how the library reads the rest

With 3 bits W_q is I32, ten codes a word. The tensors of single numbers are what the library makes
of a layer's settings; texts are a byte for each letter.

Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023,
https://mobiusml.github.io/hqq_blog/ , and `HQQLinear.state_dict` of the package hqq 0.2.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

from app.encodings.affine import Affine
from app.encodings.base import Part
from app.encodings.dtypes import torch_dtype

if TYPE_CHECKING:
    from torch import Tensor

#: What the library calls ways of packing, and the codes of each word.
PACKINGS = {8: ("8bit_u8", 1), 4: ("4bit_u8", 2), 3: ("3bit_32", 10), 2: ("2bit_u8", 4)}
_ALIGNMENT = 8  # what follows in a file are wider numbers
_WORDS = {"BF16": "torch.bfloat16", "F16": "torch.float16", "F32": "torch.float32"}
_FLAGS = {
    "view_as_float": False, "quant_scale": False, "quant_zero": False, "offload_meta": False,
    "encoded_state_dict": True, "stores_quant_config": True, "channel_wise": True,
    "optimize": True, "round_zero": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hqq(Affine):
    """2, 3, 4 or 8 bits a weight; zero points are any number."""

    group: int = 64
    symmetric: bool = False

    prefix: ClassVar[str] = "hqq"
    whole_zero: ClassVar[bool] = False

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        for bits, group, scales in product(PACKINGS, (32, 64, 128), ("BF16", "F16", "F32")):
            yield cls(bits, group, scales=scales)

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        rows, columns = self.matrix(shape, (1, self.group))
        groups, (packing, a_word) = rows * columns // self.group, PACKINGS[self.bits]
        if self.bits != 3 and groups % a_word:
            raise ValueError(f"{self.name} needs a multiple of {a_word} groups, not {groups}")
        parts = (
            Part("W_q", (-(-groups // a_word), self.group), "I32" if self.bits == 3 else "U8"),
            Part("scale", (groups, 1), self.scales),
            Part("zero", (groups, 1), self.scales),
            Part("shape", (2,), "I64"),
            *(Part(name, (), "I32") for name in ("nbits", "group_size", "axis")),
            *(Part(name, (), "U8") for name in _FLAGS),
            Part("packing", (len(packing),), "U8"),
            Part("compute_dtype", (len(_WORDS[self.scales]),), "U8"),
        )
        length = len(self._unpacked)  # with spaces up to where the next weight may begin
        length += -(length + sum(part.nbytes for part in parts)) % _ALIGNMENT
        return (*parts, Part("unpack_view_dtype", (length,), "U8"))

    @property
    def _unpacked(self) -> str:
        return "torch.int32" if self.bits == 3 else "torch.uint8"

    @override
    def _stored(self, codes: Tensor, scale: Tensor, zero: Tensor) -> dict[str, Tensor]:
        import torch

        dtype, device = torch_dtype(self.scales), codes.device
        whole = {"nbits": self.bits, "group_size": self.group, "axis": 1}
        texts = {
            "packing": PACKINGS[self.bits][0],
            "compute_dtype": _WORDS[self.scales],
            "unpack_view_dtype": self._unpacked,
        }
        lengths = {part.name: part.shape for part in self.layout(tuple(codes.shape))}
        parts = {
            "W_q": self._packed(codes.view(-1, self.group)),
            "scale": scale.reshape(-1, 1).to(dtype),
            "zero": zero.reshape(-1, 1).to(dtype),
            "shape": torch.tensor(codes.shape, dtype=torch.int64, device=device),
        }
        for name, number in whole.items():
            parts[name] = torch.tensor(number, dtype=torch.int32, device=device)
        for name, flag in _FLAGS.items():
            parts[name] = torch.tensor(int(flag), dtype=torch.uint8, device=device)
        for name, text in texts.items():
            letters = text.ljust(lengths[name][0]).encode()
            parts[name] = torch.tensor(list(letters), dtype=torch.uint8, device=device)
        return parts

    def _packed(self, groups: Tensor) -> Tensor:
        """Words of codes (groups, group): the first of them in the highest bits."""
        import torch

        count = PACKINGS[self.bits][1]
        words = -(-len(groups) // count)
        found = torch.zeros(
            words,
            self.group,
            dtype=torch.int32 if self.bits == 3 else torch.uint8,
            device=groups.device,
        )
        for place in range(count):
            some = groups[place * words : (place + 1) * words]
            found[: len(some)] |= some.to(found.dtype) << self.bits * (count - 1 - place)
        return found

    @override
    def unpack(
        self, parts: dict[str, Tensor], shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        scale, zero = (
            parts[name].to(torch.float32).view(shape[0], -1) for name in ("scale", "zero")
        )
        groups = some_groups(parts["W_q"], self.bits, 0, scale.numel())
        return groups.view(shape), scale, zero

    @override
    def _span(self, low: Tensor, high: Tensor, clip: float) -> tuple[Tensor, Tensor]:
        """As the base class, where 0 need not be a point of the grid."""
        low, high = clip * low.clamp(max=0), clip * high.clamp(min=0)
        scale = self._as_stored((high - low) / (2**self.bits - 1))
        zero = (-low / scale).to(torch_dtype(self.scales))
        return scale, zero.to(low.dtype)

    @override
    def _codes(self, grouped: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        return self._places(grouped, scale, zero).round_().clamp_(0, 2**self.bits - 1)


def some_groups(words: Tensor, bits: int, start: int, stop: int) -> Tensor:
    """The codes of groups `start` to `stop`, uint8, (stop - start, group).

    Args:
        words: All of W_q; of a mapped one, only what is needed is read.
        bits: Of a code.
        start: The first group.
        stop: The one behind the last.
    """
    import torch

    count, mask = PACKINGS[bits][1], 2**bits - 1
    found = []
    for place in range(count):
        first = place * len(words)
        some = words[max(0, start - first) : max(0, stop - first)]
        found.append((some >> bits * (count - 1 - place) & mask).to(torch.uint8))
    return torch.cat(found)

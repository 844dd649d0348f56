"""What bitsandbytes writes: NF4 and FP4 in blocks, and LLM.int8() in rows.

4 bits, for a weight X of n numbers, flattened:
    X                   U8 (n / 2, 1)     codes, the high half of a byte first
    X.quant_map         F32 (16)          the codes' values
    X.absmax            F32 (n / block)   what a block's values are multiplied with
    X.quant_state.bitsandbytes__nf4       JSON: shape, blocksize, ...
Where `absmax` is quantized in turn it is U8, and
    X.nested_quant_map  F32 (256)
    X.nested_absmax     F32 (n / block / nested block); plus "nested_offset" of the JSON

8 bits: X.weight I8 (out, in), and X.SCB F32 (out), the largest absolute value of each row.

Dettmers et al., "QLoRA", NeurIPS 2023, arXiv:2305.14314; "LLM.int8()", arXiv:2208.07339.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.encodings.bitsandbytes import ONE_127TH
from app.encodings.packing import looked_up, nibbles
from app.models.base import Checkpoint
from app.models.config import items, number, whole_number
from app.models.quantized.base import Method, QuantizedWeight, damaged, expect, part
from app.models.quantized.scaled import Grid, Scaled

if TYPE_CHECKING:
    from torch import Tensor

_STATES = (".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4")
_ROW_MAXIMA = ".SCB"
_LARGEST_STATE = 4096


@dataclass(frozen=True, slots=True)
class Blockwise(QuantizedWeight):
    """Values of a table of 16, times a number for each block of the flattened weight."""

    codes: str
    block: int
    nested: int
    """Blocks whose numbers share a number in turn; 0: they are plain."""
    offset: float
    """The mean of the blocks' numbers, where those are nested."""

    @override
    def rows(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        import torch

        row = prod(self.shape[1:])
        first, last = start * row, stop * row
        data = stored.rows(self.codes).flatten().view(torch.uint8)[first // 2 : ceil(last / 2)]
        pairs = nibbles(data[None]).view(-1, 2).flip(1).flatten()  # the high half first
        codes = pairs[first % 2 :][: last - first]
        table = stored.rows(f"{self.codes}.quant_map")[0]
        begin = first // self.block
        largest = self._largest(stored, begin, ceil(last / self.block))
        spread = largest.repeat_interleave(self.block)[first - begin * self.block :]
        return (looked_up(table, codes) * spread[: last - first]).view(stop - start, self.shape[-1])

    def _largest(self, stored: Checkpoint, start: int, stop: int) -> Tensor:
        """The numbers of some blocks."""
        import torch

        found = stored.rows(f"{self.codes}.absmax")[0, start:stop]
        if not self.nested:
            return found.to(torch.float32)
        table = stored.rows(f"{self.codes}.nested_quant_map")[0]
        scales = stored.rows(f"{self.codes}.nested_absmax")[0]
        scale = scales[torch.arange(start, stop) // self.nested]
        return looked_up(table, found) * scale + self.offset


class BitsAndBytes(Method):
    """4 bits in blocks, or 8 bits in rows."""

    name: ClassVar[str] = "bitsandbytes"
    config_names: ClassVar[tuple[str, ...]] = ("bitsandbytes",)
    signs: ClassVar[tuple[str, ...]] = (*_STATES, _ROW_MAXIMA)

    @override
    def weights(
        self, stored: Checkpoint, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, QuantizedWeight]]:
        for name in stored.tensors:
            ending = next((state for state in _STATES if name.endswith(state)), "")
            if ending:
                weight = name.removesuffix(ending)
                yield weight, _in_blocks(stored, weight, name)
            elif name.endswith(_ROW_MAXIMA):
                weight = name.removesuffix(_ROW_MAXIMA) + ".weight"
                yield weight, _in_rows(stored, weight, name)


def _in_rows(stored: Checkpoint, name: str, scale: str) -> Scaled:
    codes = part(stored, name, "I8")
    maxima = part(stored, scale, "F32")
    expect(len(codes.shape) == 2, codes)
    expect(maxima.weights == codes.shape[0], maxima)
    parts: tuple[str, ...] = (name, scale)
    marker = f"{name}_format"
    if marker in stored.tensors:
        parts += (marker,)
    grid = Grid(scale, (codes.shape[0], 1), (1, codes.shape[1]))
    return Scaled(codes.shape, parts, name, grid, factor=ONE_127TH)


def _in_blocks(stored: Checkpoint, name: str, state: str) -> Blockwise:
    fields = _state(stored, state)
    shape = tuple(items(fields, "shape", file=state))
    block = whole_number(fields, "blocksize", 64, file=state)
    if not shape or any(type(length) is not int or length < 1 for length in shape):
        raise damaged(state, "holds a shape that is not possible")
    blocks = ceil(prod(shape) / block)
    codes, table = part(stored, name), part(stored, f"{name}.quant_map", "F32")
    expect(codes.nbytes == ceil(prod(shape) / 2), codes)
    expect(table.shape == (16,), table)
    parts: tuple[str, ...] = (name, table.name, state)
    largest = part(stored, f"{name}.absmax", "F32", "U8")
    expect(largest.shape == (blocks,), largest)
    nested, offset = 0, 0.0
    if largest.dtype == "U8":
        nested = whole_number(fields, "nested_blocksize", 256, file=state)
        offset = number(fields, "nested_offset", file=state)
        values = part(stored, f"{name}.nested_quant_map", "F32")
        scales = part(stored, f"{name}.nested_absmax", "F32")
        expect(values.shape == (256,), values)
        expect(scales.shape == (ceil(blocks / nested),), scales)
        parts += (values.name, scales.name)
    return Blockwise(shape, (*parts, largest.name), name, block, nested, offset)


def _state(stored: Checkpoint, name: str) -> dict[str, Any]:
    """The JSON in a tensor."""
    info = part(stored, name, "U8")
    expect(len(info.shape) == 1 and info.nbytes <= _LARGEST_STATE, info)
    try:
        found = json.loads(bytes(stored.rows(name)[0].numpy().tobytes()))
    except (ValueError, RecursionError) as error:
        raise damaged(name, "is no valid JSON") from error
    if not isinstance(found, dict):
        raise damaged(name, "holds no object with fields")
    return found

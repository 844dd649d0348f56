"""Qwen2.5-VL: patches of two moments, windows of attention, four patches to a token.

Qwen Team, "Qwen2.5-VL Technical Report", 2025, arXiv:2502.13923.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures.base import Config, Weight, text_part
from app.models.architectures.changes import Part
from app.models.architectures.vision.base import CLIP_COLOURS, Tower, Vision, linear, norm
from app.models.architectures.vision.changes import Frame
from app.models.config import items, whole_number

_WINDOW = 112
"""Pixels of a side of a window in llama.cpp."""


class Qwen25Vision(Vision):
    """Qwen2.5-VL."""

    title: ClassVar[str] = "Qwen2.5-VL"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl",)
    projector: ClassVar[str] = "qwen2.5vl_merger"
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ((r"^model\.", ""),)
    roots: ClassVar[tuple[str, ...]] = ("visual.",)
    skipped: ClassVar[str] = ""
    colours = CLIP_COLOURS
    biased_norms: ClassVar[bool] = False
    defaults: ClassVar[dict[str, Any]] = {
        "depth": 32,
        "hidden_size": 3584,
        "intermediate_size": 3420,
        "num_heads": 16,
        "patch_size": 14,
        "hidden_act": "silu",
        "image_size": 560,  # any: pictures keep their shape
    }

    @override
    def part(self, config: Config) -> Config:
        part = dict(super().part(config))
        part["num_hidden_layers"], part["num_attention_heads"] = part["depth"], part["num_heads"]
        return part

    @override
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        tower = self.tower(config)
        check_merging(self.part(config), self.title)
        yield from frames(tower)
        for layer in range(tower.layers):
            yield from self.layer(layer, tower)
        last = "visual.merger.ln_q"
        yield from norm("v.post_ln", last, tower.hidden, bias=self.biased_norms)
        merged, width = 4 * tower.hidden, whole_number(text_part(config), "hidden_size")
        yield from linear("mm.0", "visual.merger.mlp.0", merged, merged)
        yield from linear("mm.2", "visual.merger.mlp.2", width, merged)

    def layer(self, layer: int, tower: Tower) -> Iterator[Weight]:
        """All tensors of a layer."""
        gguf, hf, hidden = f"v.blk.{layer}.", f"visual.blocks.{layer}.", tower.hidden
        yield from norm(gguf + "ln1", hf + "norm1", hidden, bias=self.biased_norms)
        fused = f"{hf}attn.qkv"
        for index, kind in enumerate("qkv"):
            part = Part(index * hidden, (index + 1) * hidden)
            yield from linear(f"{gguf}attn_{kind}", fused, 3 * hidden, hidden, change=part)
        yield from linear(gguf + "attn_out", hf + "attn.proj", hidden, hidden)
        yield from norm(gguf + "ln2", hf + "norm2", hidden, bias=self.biased_norms)
        for ours, theirs, rows, row in self.feed_forward(tower):
            yield from linear(gguf + ours, f"{hf}mlp.{theirs}", rows, row)

    def feed_forward(self, tower: Tower) -> Iterator[tuple[str, str, int, int]]:
        """Matrices of the feed-forward part: llama.cpp's name, the checkpoint's, and the shape."""
        for kind in ("gate", "up"):
            yield f"ffn_{kind}", f"{kind}_proj", tower.inner, tower.hidden
        yield "ffn_down", "down_proj", tower.hidden, tower.inner

    @override
    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        part = self.part(config)
        if whole_number(part, "window_size", _WINDOW) != _WINDOW:
            raise Unsupported(
                f"This model looks through windows of {part['window_size']} pixels; llama.cpp's "
                f"have {_WINDOW}.",
                "Choose another model of the family.",
            )
        return {"vision.n_wa_pattern": _pattern(part)}


def check_merging(part: Config, title: str) -> None:
    """Make sure that patches are joined as llama.cpp does it.

    Raises:
        Unsupported: They are not.
    """
    for key in ("spatial_merge_size", "temporal_patch_size"):
        if whole_number(part, key, 2) != 2:
            raise Unsupported(
                f"This {title} model has a {key} of {part[key]}; llama.cpp's is 2.",
                "Choose another model of the family.",
            )


def frames(tower: Tower) -> Iterator[Weight]:
    """The convolution that makes vectors of patches, a matrix for each of two moments."""
    shape = tower.hidden, 3, 2, tower.patch, tower.patch
    for moment, end in ((0, ""), (1, ".1")):
        hf = "visual.patch_embed.proj.weight"
        yield Weight.of(f"v.patch_embd.weight{end}", hf, *shape, change=Frame(moment))


def _pattern(part: Config) -> int:
    """So many layers from one without windows to the next.

    Raises:
        BadModelFile: The list of these layers is damaged.
        Unsupported: They are not evenly spread.
    """
    whole = items(part, "fullatt_block_indexes", (7, 15, 23, 31))
    if not whole or any(type(layer) is not int for layer in whole):
        raise BadModelFile(
            "config.json: fullatt_block_indexes is no list of layers.", "Download the file again."
        )
    step = whole[0] + 1
    if step < 1 or list(whole) != [step * (i + 1) - 1 for i in range(len(whole))]:
        raise Unsupported(
            "This model's windows of attention are not evenly spread over its layers.",
            "Choose another model of the family.",
        )
    return int(step)

"""What loads and is wrong, or is right and does not load, in libraries of the year 2026.

Each was met in the real library. What only it can show is in `tests/runtimes`.
"""

from __future__ import annotations

import json
from itertools import pairwise

import torch

from app.core.places import sample_model
from app.core.recipe import Recipe
from app.encodings import find_encoding
from app.encodings.packing import unpack
from app.formats import FORMATS
from app.formats.safetensors.scheme import Modules
from app.formats.safetensors.schemes import SCHEMES
from app.models import open_model

FOLDERS = FORMATS["safetensors"]


def tensors_of(preset: str) -> dict[str, dict[str, object]]:
    """What the header of a folder's file lists."""
    plan = FOLDERS.prepare(open_model(sample_model())).plan(Recipe(preset))
    (file,) = [file for file in plan.files if file.name == "model.safetensors"]
    return json.loads(file.header[8:])


def test_that_numbers_of_blocks_keep_single_precision_and_their_order():
    """bitsandbytes saves them in half precision and rearranged, once a processor has used them."""
    found = tensors_of("bnb-nf4")
    blocks = {name: one for name, one in found.items() if name.endswith(".absmax")}
    assert blocks
    for name, one in blocks.items():
        codes = found[name.removesuffix(".absmax")]["shape"]
        assert one["dtype"] == "F32"
        assert one["shape"] == [codes[0] * 2 // 64]


def test_that_a_zero_point_of_zero_is_never_stored_as_one_below():
    """The first version of GPTQ's files stores it less one: 0 would be read as 16."""
    weight = torch.rand(32, 128, generator=torch.Generator().manual_seed(0)) + 0.5  # all above 0
    parts = find_encoding("gptq-4bit-g128-asym").encode(weight)
    codes = unpack(parts["qweight"].t().contiguous(), 4).float()
    zeros = unpack(parts["qzeros"], 4).t().float() + 1  # as every reader does, without wrapping
    read = (codes - zeros) * parts["scales"].t().float()
    assert (read - weight).norm() / weight.norm() < 0.06


def test_that_packed_integers_with_zero_points_are_not_promised_to_transformers():
    """It creates zero points of another shape for compressed-tensors, and refuses the file's."""
    asymmetric = [
        scheme.preset
        for scheme in SCHEMES.values()
        if scheme.preset.base.startswith("packed") and scheme.preset.base.endswith("asym")
    ]
    assert asymmetric
    assert not [preset.name for preset in asymmetric if "transformers" in preset.runs_in]


def test_that_gptq_has_groups_that_every_kernel_takes():
    """GPTQModel's kernel for processors refuses rows in one piece."""
    presets = [scheme.preset for name, scheme in SCHEMES.items() if name.startswith("gptq-")]
    assert presets
    for preset in presets:
        assert getattr(find_encoding(preset.base), "group", None) in {32, 64, 128, 256}


def test_that_hqq_is_not_promised_to_transformers():
    """Version 5 says that it is not available yet."""
    assert not [
        name for name, one in SCHEMES.items() if "hqq" in name and one.preset.runs_in != "hqq"
    ]


def test_that_floats_with_a_wider_range_are_unpacked_wherever_they_are_loaded():
    """On cards that compute in FP8, transformers has layers of E4M3 alone: 57,344 becomes 448."""
    settings = {
        name: SCHEMES[name].config(Modules((), (), "BF16"))["quantization_config"]
        for name in ("fp8-block", "fp8-block-e5m2")
    }
    assert settings["fp8-block-e5m2"]["dequantize"] is True
    assert "dequantize" not in settings["fp8-block"]


def test_that_no_two_tensors_share_their_bytes():
    """Libraries refuse files in which a table that all weights use is there once."""
    places = sorted(
        tuple(one["data_offsets"])
        for name, one in tensors_of("bnb-nf4").items()
        if name != "__metadata__"
    )
    assert all(end <= start for (_, end), (start, _) in pairwise(places))

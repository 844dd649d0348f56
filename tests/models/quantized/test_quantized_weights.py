"""Every way of quantizing is read as the library that wrote it reads it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import pytest
import torch

from app.core.errors import BadModelFile
from app.models.base import Checkpoint
from app.models.open import open_model
from app.models.quantized import plain
from app.models.safetensors_folder import SafetensorsFolder
from tests.models.quantized.published import PUBLISHED, Published, gpt_oss
from tests.models.quantized.recorded_mlx import VARIANTS, recorded

KINDS = pytest.mark.parametrize("kind", PUBLISHED)


@dataclass(frozen=True)
class Opened:
    """A published weight, and the folder that it is in."""

    published: Published
    stored: Checkpoint
    plain: Checkpoint


@pytest.fixture(scope="module", params=PUBLISHED)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Each way of quantizing."""
    published = PUBLISHED[request.param]()
    stored = SafetensorsFolder(published.write(tmp_path_factory.mktemp("published")))
    return Opened(published, stored, plain(stored))


def assert_equal_to_library(found: torch.Tensor, model: Published) -> None:
    expected = model.expected
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.to(expected.dtype), expected, rtol=model.rounded, atol=model.rounded / 100
    )


def test_that_a_weight_is_read_as_its_library_reads_it(model: Opened) -> None:
    name, expected = model.published.name, model.published.expected
    assert set(model.plain.tensors) == {name, "model.norm.weight"}
    assert model.plain.tensors[name].shape == tuple(expected.shape)
    assert model.plain.tensors[name].dtype == "F32"
    assert_equal_to_library(model.plain.tensor(name), model.published)


def test_that_rows_are_read_alone_as_they_are_among_all(model: Opened) -> None:
    name, shape = model.published.name, model.published.expected.shape
    whole = model.plain.rows(name)
    rows = prod(shape[:-1])
    assert whole.shape == (rows, shape[-1])
    for start, stop in ((0, 1), (1, 2), (3, rows - 1), (rows - 3, rows), (rows // 2, rows // 2)):
        assert torch.equal(model.plain.rows(name, start, stop), whole[start:stop])
    for start, stop in ((-1, 2), (0, rows + 1), (3, 2)):
        with pytest.raises(IndexError):
            model.plain.rows(name, start, stop)


def test_that_a_weight_takes_what_its_parts_take(model: Opened) -> None:
    assert model.plain.nbytes == model.stored.nbytes
    assert model.plain.files == model.stored.files
    parts = {name: part for name, part in model.published.stored.items() if "input" not in name}
    taken = model.plain.tensors[model.published.name].nbytes
    assert taken == sum(part.nbytes for part in parts.values())


@KINDS
def test_that_missing_parts_are_noticed(kind: str, tmp_path: Path) -> None:
    model = PUBLISHED[kind]()
    for number, name in enumerate(model.needed or model.stored):
        folder = model.write(tmp_path / str(number), **{name: None})
        try:
            left = plain(open_model(folder)).tensors
        except BadModelFile:
            continue
        assert model.name not in left, f"read without {name}"


@KINDS
def test_that_parts_of_other_shapes_are_refused(kind: str, tmp_path: Path) -> None:
    model = PUBLISHED[kind]()
    for number, (name, part) in enumerate(model.stored.items()):
        if prod(part.shape) == 1:
            continue
        cut = part.flatten()[:-1]
        with pytest.raises(BadModelFile):
            plain(open_model(model.write(tmp_path / f"flat {number}", **{name: cut}))).tensor(
                model.name
            )


@pytest.mark.parametrize("variant", VARIANTS)
def test_that_what_mlx_writes_is_read_as_it_reads_it(variant: str, tmp_path: Path) -> None:
    model = recorded(variant)
    assert_equal_to_library(plain(open_model(model.write(tmp_path))).tensor(model.name), model)


def test_that_the_experts_of_gpt_oss_have_the_values_that_ggml_gives_them(tmp_path: Path) -> None:
    """ggml's block has the same numbers, with the halves of its bytes in another order."""
    import numpy as np
    from gguf import GGMLQuantizationType, dequantize

    model = gpt_oss()
    blocks, scales = (part.numpy() for part in model.stored.values())
    nibbles = np.stack((blocks & 15, blocks >> 4), -1).reshape(*blocks.shape[:-1], 32)
    halves = nibbles[..., :16] | nibbles[..., 16:] << 4
    data = np.concatenate((scales[..., None], halves), -1).reshape(-1, 17)
    values = dequantize(data, GGMLQuantizationType.MXFP4).reshape(*blocks.shape[:2], -1)
    found = plain(open_model(model.write(tmp_path))).tensor(model.name)
    assert np.array_equal(found.numpy(), values.swapaxes(1, 2))

"""GGUF files as checkpoints."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from app.core.errors import BadModelFile, Unsupported
from app.encodings import BLOCK_BY_ID
from app.models.gguf_file import GgufFile
from app.models.gguf_types import TENSOR_TYPES
from app.models.open import open_model
from tests.models import malformed_gguf as made


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.int32, np.float64])
def test_that_plain_numbers_come_as_they_are_stored(dtype: type, tmp_path: Path) -> None:
    expected = np.arange(24).reshape(2, 3, 4).astype(dtype)
    file = GgufFile(_written(tmp_path, {"a": expected}))
    found = file.tensor("a")
    assert found.numpy().dtype == expected.dtype
    assert np.array_equal(found.numpy(), expected)
    assert np.array_equal(file.rows("a", 1, 4).numpy(), expected.reshape(6, 4)[1:4])


def test_that_bf16_comes_as_it_is_stored(tmp_path: Path) -> None:
    numbers = torch.randn(3, 8).bfloat16()
    path = tmp_path / "m.gguf"
    data = numbers.view(torch.uint8).numpy().tobytes()
    path.write_bytes(made.gguf(made.tensor("a", (8, 3), 30), data=data))
    assert torch.equal(GgufFile(path).tensor("a"), numbers)


READABLE = [
    kind
    for kind in gguf.GGMLQuantizationType
    if kind in BLOCK_BY_ID and BLOCK_BY_ID[kind].block > 1 and kind in gguf.quants._type_traits
]


@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.name)
def test_that_blocks_are_decoded_as_the_gguf_package_decodes_them(
    kind: gguf.GGMLQuantizationType, tmp_path: Path
) -> None:
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.random.default_rng(1).integers(0, 60, (5, 2 * block_bytes)).astype(np.uint8)
    path = tmp_path / "m.gguf"
    content = made.gguf(made.tensor("a", (2 * block, 5), int(kind)), data=blocks.tobytes())
    path.write_bytes(content)
    expected = gguf.quants.dequantize(blocks, kind)
    file = GgufFile(path)
    assert file.tensors["a"].dtype == kind.name
    torch.testing.assert_close(file.tensor("a"), torch.from_numpy(expected), rtol=1e-6, atol=0)
    torch.testing.assert_close(file.rows("a", 2, 3), torch.from_numpy(expected[2:3]))


def test_that_an_encoding_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    unread = next(number for number in TENSOR_TYPES if number > 30 and number not in BLOCK_BY_ID)
    kind = TENSOR_TYPES[unread]
    path = tmp_path / "m.gguf"
    data = bytes(kind.block_bytes)
    path.write_bytes(made.gguf(made.tensor("a", (kind.block,), unread), data=data))
    file = GgufFile(path)
    assert file.tensors["a"].dtype == kind.name
    with pytest.raises(Unsupported, match=kind.name):
        file.tensor("a")


def test_that_any_part_opens_the_whole_model(tmp_path: Path) -> None:
    names = [tmp_path / f"m-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    for number, path in enumerate(names):
        tensors = [] if number == 0 else [made.tensor(f"t{number}")]
        data = bytes([number]) * 16
        path.write_bytes(made.part(number, 3, *tensors)[:-64] + data)
    for path in [*names, tmp_path]:
        model = open_model(path)
        assert model.path == names[0]
        assert list(model.files) == names
        assert set(model.tensors) == {"t1", "t2"}
        stored = model.tensor("t2").view(torch.uint8)
        assert torch.equal(stored, torch.full((16,), 2, dtype=torch.uint8))


def test_that_a_missing_part_is_named(tmp_path: Path) -> None:
    for number in (1, 3):
        path = tmp_path / f"m-{number:05}-of-00003.gguf"
        path.write_bytes(made.part(number - 1, 3, made.tensor(f"t{number}")))
    with pytest.raises(BadModelFile, match=r"m-00002-of-00003\.gguf"):
        open_model(tmp_path / "m-00003-of-00003.gguf")


def test_that_a_name_like_a_part_does_not_make_a_whole_file_one(tmp_path: Path) -> None:
    path = tmp_path / "m-00001-of-00001.gguf"
    path.write_bytes(made.gguf(made.tensor()))
    assert set(open_model(path).tensors) == {"a"}


def _written(folder: Path, tensors: dict[str, np.ndarray]) -> Path:
    path = folder / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

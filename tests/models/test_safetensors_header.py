"""Headers of safetensors files, against the reference library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BadModelFile, Unsupported
from app.core.places import sample_model
from app.models.safetensors_folder import SafetensorsFolder
from app.models.safetensors_header import SafetensorsHeader, read_safetensors_header
from app.models.source_file import SourceFile
from tests.models.malformed_safetensors import CONFIG, entry, named
from tests.models.malformed_safetensors import safetensors as file_of

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
}  # fmt: skip


def read(path: Path, content: bytes) -> SafetensorsHeader:
    path.write_bytes(content)
    return read_safetensors_header(SourceFile.look(path))


def bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def test_that_every_dtype_is_read_as_the_reference_library_reads_it(tmp_path: Path) -> None:
    noise = torch.randint(0, 2, (3, 5, 8), dtype=torch.uint8)
    tensors = {name: noise.view(dtype).clone() for name, dtype in DTYPES.items()}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))

    folder = SafetensorsFolder(tmp_path)

    assert set(folder.tensors) == set(DTYPES)
    for name, expected in tensors.items():
        assert folder.tensors[name].dtype == name
        found = folder.tensor(name)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert bytes_of(found) == bytes_of(expected)


def test_that_the_sample_is_read_as_the_reference_library_reads_it() -> None:
    folder = SafetensorsFolder(sample_model())
    with safetensors.safe_open(str(sample_model() / "model.safetensors"), "pt") as file:
        assert set(file.keys()) == set(folder.tensors)
        for name in file.keys():  # noqa: SIM118 - not a dictionary
            assert torch.equal(file.get_tensor(name), folder.tensor(name))


def test_that_notes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    notes = {"format": "pt", "quotes": 'a "b" \\ \n', "snow": "\u2603\U0001f600", "": ""}
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata=notes)
    assert read_safetensors_header(SourceFile.look(path)).metadata == notes


@pytest.mark.parametrize("text", ["  ", "\n\t ", ""])
def test_that_space_behind_the_header_is_allowed(text: str, tmp_path: Path) -> None:
    header = read(tmp_path / "a", file_of(json.dumps(entry()) + text))
    assert header.tensors["a"].offset == 8 + len(json.dumps(entry()) + text)


def test_that_a_header_may_be_written_over_many_lines(tmp_path: Path) -> None:
    header = read(tmp_path / "a", file_of(json.dumps(entry(), indent=4)))
    assert header.tensors["a"].info.shape == (2, 2)


@pytest.mark.parametrize(
    ("escaped", "name"),
    [("n" * 1024, "n" * 1024), ('\\u00fc\\"\\\\', 'ü"\\'), ("\u00fc", "ü"), ("a b", "a b")],
)
def test_that_unusual_names_are_read(escaped: str, name: str, tmp_path: Path) -> None:
    assert list(read(tmp_path / "a", file_of(named(escaped))).tensors) == [name]


def test_that_scalars_and_empty_tensors_are_read(tmp_path: Path) -> None:
    tensors = {
        "scalar": torch.tensor(7.5),
        "none": torch.zeros(0),
        "no rows": torch.zeros(0, 4),
        "no columns": torch.zeros(4, 0),
        "a": torch.arange(6.0).reshape(2, 3),
    }
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    folder = SafetensorsFolder(tmp_path)
    for name, expected in tensors.items():
        assert torch.equal(folder.tensor(name), expected)
    assert folder.rows("scalar").shape == (1, 1)
    assert folder.rows("none").shape == (1, 0)
    assert folder.rows("no rows").shape == (0, 4)
    assert folder.rows("no columns").shape == (4, 0)


# --- what others accept ------------------------------------------------------------------------

_dtype = st.sampled_from(["F32", "BF16", "U8", "F33", "F4", "", None, 3])
_size = st.one_of(st.integers(0, 4), st.sampled_from([-1, 2**31, 2**63, 2**64, 1.0, True, "2"]))
_offset = st.one_of(st.integers(0, 64), st.sampled_from([-1, 2**63, 2**64, 1.0, None]))
_entry = st.fixed_dictionaries(
    {
        "dtype": _dtype,
        "shape": st.lists(_size, max_size=3),
        "data_offsets": st.lists(_offset, min_size=1, max_size=3),
    }
)
_sound = st.builds(
    lambda rows, columns: ("U8", [rows, columns]), st.integers(0, 4), st.integers(1, 8)
)


def accepted_by_the_reference(content: bytes) -> dict[str, Any] | None:
    try:
        return dict(safetensors.deserialize(content))
    except safetensors.SafetensorError:
        return None


def agrees(path: Path, content: bytes) -> bool:
    """Read `content` both ways; whether ours accepted it. Ours may refuse more, never less."""
    try:
        header = read(path, content)
    except (BadModelFile, Unsupported):
        return False
    reference = accepted_by_the_reference(content)
    assert reference is not None
    assert set(header.tensors) == set(reference)
    for name, tensor in header.tensors.items():
        assert list(tensor.info.shape) == reference[name]["shape"]
        assert tensor.info.dtype == reference[name]["dtype"]
        data = content[tensor.offset : tensor.offset + tensor.info.nbytes]
        assert data == bytes(reference[name]["data"])
    return True


@settings(max_examples=300, deadline=None)
@given(
    header=st.dictionaries(st.text(max_size=3), st.one_of(_entry, st.none(), st.integers())),
    data=st.binary(max_size=64),
    length=st.one_of(st.none(), st.integers(0, 200)),
)
def test_that_nothing_is_accepted_that_the_reference_library_refuses(
    header: dict[str, Any], data: bytes, length: int | None, tmp_path_factory: Any
) -> None:
    agrees(tmp_path_factory.getbasetemp() / "hypothesis.safetensors", file_of(header, data, length))


@settings(max_examples=150, deadline=None)
@given(shapes=st.lists(_sound, min_size=1, max_size=6), spaces=st.integers(0, 9))
def test_that_every_sound_file_is_accepted(
    shapes: list[tuple[str, list[int]]], spaces: int, tmp_path_factory: Any
) -> None:
    header, end = {}, 0
    for number, (dtype, (rows, columns)) in enumerate(shapes):
        start, end = end, end + rows * columns
        header[f"t{number}"] = {
            "dtype": dtype,
            "shape": [rows, columns],
            "data_offsets": [start, end],
        }
    content = file_of(json.dumps(header) + " " * spaces, bytes(n % 251 for n in range(end)))
    assert agrees(tmp_path_factory.getbasetemp() / "sound.safetensors", content)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_that_no_flipped_byte_leads_astray(data: st.DataObject, tmp_path_factory: Any) -> None:
    tensors = {
        "model.embed.weight": torch.zeros(4, 8, dtype=torch.bfloat16),
        "model.norm.weight": torch.ones(8),
        "mask": torch.tensor([True, False]),
    }
    sound = safetensors.torch.save(tensors, metadata={"format": "pt"})
    length = int.from_bytes(sound[:8], "little")
    damaged = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 7 + length))] = data.draw(st.integers(0, 255))
    agrees(tmp_path_factory.getbasetemp() / "flipped.safetensors", bytes(damaged))

"""Headers of GGUF files, against the gguf package and ggml itself."""

from __future__ import annotations

import ctypes
import struct
import time
from pathlib import Path
from typing import Any

import gguf
import libggml
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BadModelFile, Unsupported
from app.models.gguf_header import GgufHeader, GgufValue, ValueType, read_gguf_header
from app.models.gguf_types import TENSOR_TYPES
from app.models.source_file import SourceFile
from tests.models import malformed_gguf as made


def read(path: Path, content: bytes | None = None) -> GgufHeader:
    if content is not None:
        path.write_bytes(content)
    return read_gguf_header(SourceFile.look(path))


@pytest.fixture
def ggml() -> ctypes.CDLL:
    folder = Path(libggml.__file__).parent
    library = ctypes.CDLL(str(next(folder.rglob("libggml-base.*"))))
    library.ggml_blck_size.restype = ctypes.c_int64
    library.ggml_type_size.restype = ctypes.c_size_t
    library.ggml_type_name.restype = ctypes.c_char_p
    return library


def test_that_types_are_as_large_as_ggml_says(ggml: ctypes.CDLL) -> None:
    compared = 0
    for number, kind in TENSOR_TYPES.items():
        name = ggml.ggml_type_name(number).decode() if number < 42 else ""
        if not name or "REMOVED" in name or "support has been removed" in name:
            continue
        assert name.upper() == kind.name
        assert ggml.ggml_blck_size(number) == kind.block
        assert ggml.ggml_type_size(number) == kind.block_bytes
        compared += 1
    assert compared >= 34


def write_with_gguf(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """A file by the gguf package, with every type of note and several types of tensors."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Größe \U0001f600")
    writer.add_uint8("n.u8", 200)
    writer.add_int8("n.i8", -100)
    writer.add_uint16("n.u16", 60_000)
    writer.add_int16("n.i16", -30_000)
    writer.add_uint32("n.u32", 4_000_000_000)
    writer.add_int32("n.i32", -2_000_000_000)
    writer.add_uint64("n.u64", 2**63 + 5)
    writer.add_int64("n.i64", -(2**62))
    writer.add_float32("n.f32", 0.1)
    writer.add_float64("n.f64", 0.1)
    writer.add_bool("n.bool", True)
    writer.add_array("n.texts", ["a", "", "\u2581the", "b" * 300])
    writer.add_array("n.floats", [0.5, -1.25, 1e9])
    writer.add_array("n.integers", [1, -2, 3])
    writer.add_array("n.bools", [True, False, True])
    random = np.random.default_rng(5)
    tensors = {
        "blk.0.ffn_up.weight": random.standard_normal((6, 64)).astype(np.float32),
        "blk.0.ffn_gate.weight": random.standard_normal((3, 32)).astype(np.float16),
        "blk.0.experts.weight": random.standard_normal((2, 3, 32)).astype(np.float32),
        "rope_freqs.weight": random.standard_normal(7).astype(np.float32),
        "ids": random.integers(-5, 5, (4, 3)).astype(np.int32),
    }
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
        blocks = gguf.quants.quantize(tensors["blk.0.ffn_up.weight"], kind)
        writer.add_tensor(f"blk.0.{kind.name}.weight", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def test_that_a_file_is_read_as_the_gguf_package_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_with_gguf(path)
    header, reference = read(path), gguf.GGUFReader(path)

    names = [name for name in reference.fields if not name.startswith("GGUF.")]
    assert list(header.metadata) == names
    for name in names:
        field, ours = reference.fields[name], header.metadata[name]
        expected = field.contents()
        if ours.type is ValueType.ARRAY:
            assert list(ours.value) == list(expected)
            assert int(ours.item_type) == field.types[1]
        else:
            assert ours.value == expected
        assert type(ours.value) in {tuple, int, float, bool, str}
        assert int(ours.type) == field.types[0]

    assert list(header.tensors) == [tensor.name for tensor in reference.tensors]
    for tensor in reference.tensors:
        found = header.tensors[tensor.name]
        assert found.info.shape == tuple(int(size) for size in tensor.shape)[::-1]
        assert found.info.dtype == tensor.tensor_type.name
        assert found.ggml_id == tensor.tensor_type
        assert found.info.nbytes == tensor.n_bytes
        assert found.offset == tensor.data_offset


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_that_the_alignment_of_the_file_counts(alignment: int, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(alignment)
    writer.add_tensor("a", np.arange(3, dtype=np.float32))
    writer.add_tensor("b", np.arange(5, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read(path)
    assert header.alignment == alignment
    found = {name: tensor.offset for name, tensor in header.tensors.items()}
    assert found == {t.name: t.data_offset for t in gguf.GGUFReader(path).tensors}


def test_that_version_2_is_read(tmp_path: Path) -> None:
    header = read(tmp_path / "m", made.gguf(made.tensor(dims=(4, 2)), version=2))
    assert header.version == 2
    assert header.tensors["a"].info.shape == (2, 4)


def test_that_text_that_is_not_utf8_survives(tmp_path: Path) -> None:
    raw = b"\xff\xfe broken"
    content = made.gguf(made.tensor(), notes=(made.note("k", made.TEXT, made.string(raw)),))
    found = read(tmp_path / "m", content).metadata["k"]
    assert found == GgufValue(ValueType.STRING, raw.decode("utf-8", "surrogateescape"))
    assert found.value.encode("utf-8", "surrogateescape") == raw


def test_that_an_empty_list_keeps_its_type(tmp_path: Path) -> None:
    notes = (made.note("k", made.LIST, made.many(made.F32, 0)),)
    header = read(tmp_path / "m", made.gguf(made.tensor(), notes=notes))
    assert header.metadata["k"] == GgufValue(ValueType.ARRAY, (), ValueType.FLOAT32)


def test_that_a_type_of_the_future_is_listed(tmp_path: Path) -> None:
    content = made.gguf(made.tensor("a", (8,), 77, 0), made.tensor("b", (4,), 0, 32))
    header = read(tmp_path / "m", content)
    assert header.tensors["a"].info.dtype == "ggml type 77"
    assert header.tensors["a"].info.nbytes == 32
    assert header.tensors["b"].info.nbytes == 16


def test_that_tensors_may_lie_in_another_order_than_listed(tmp_path: Path) -> None:
    content = made.gguf(made.tensor("b", (4,), 0, 32), made.tensor("a", (4,), 0, 0))
    header = read(tmp_path / "m", content)
    assert list(header.tensors) == ["b", "a"]
    assert header.tensors["b"].offset == header.tensors["a"].offset + 32


def test_that_a_large_vocabulary_is_read_quickly(tmp_path: Path) -> None:
    words = b"".join(made.string(f"token {number}") for number in range(150_000))
    numbers = struct.pack("<150000i", *range(150_000))
    notes = (
        made.note("tokenizer.ggml.tokens", made.LIST, made.many(made.TEXT, 150_000, words)),
        made.note("tokenizer.ggml.token_type", made.LIST, made.many(made.I32, 150_000, numbers)),
    )
    path = tmp_path / "m"
    path.write_bytes(made.gguf(made.tensor(), notes=notes))
    before = time.process_time()
    header = read(path)
    assert time.process_time() - before < 0.5
    assert header.get("tokenizer.ggml.tokens")[149_999] == "token 149999"
    assert header.get("tokenizer.ggml.token_type") == tuple(range(150_000))


# --- hostile headers ---------------------------------------------------------------------------


def sound_or_refused(path: Path, content: bytes) -> bool:
    """Whether the file was accepted; what is accepted lies in the file, apart, under good names."""
    try:
        header = read(path, content)
    except (BadModelFile, Unsupported):
        return False
    end = 0
    for tensor in sorted(header.tensors.values(), key=lambda tensor: tensor.offset):
        assert tensor.offset >= end
        end = tensor.offset + tensor.info.nbytes
        assert tensor.offset % header.alignment == 0
        assert tensor.info.name.isprintable()
        assert all(size >= 1 for size in tensor.info.shape)
    assert end <= len(content)
    return True


_sizes = st.one_of(st.integers(0, 300), st.sampled_from([2**31, 2**32, 2**62, 2**63, 2**64 - 1]))
_tensors = st.builds(
    made.tensor,
    st.text(max_size=3),
    st.lists(_sizes, max_size=5).map(tuple),
    st.one_of(st.integers(0, 45), st.sampled_from([255, 256, 2**32 - 1])),
    st.one_of(st.sampled_from([0, 32, 64, 2**64 - 32]), st.integers(0, 200)),
)
_notes = st.builds(made.note, st.text(max_size=3), st.integers(0, 13), st.binary(max_size=24))
_lists = st.builds(
    lambda kind, count, items: made.note("list", made.LIST, made.many(kind, count, items)),
    st.integers(0, 13),
    _sizes,
    st.binary(max_size=64),
)


@settings(max_examples=400, deadline=None)
@given(
    tensors=st.lists(_tensors, max_size=3),
    notes=st.lists(st.one_of(_notes, _lists), max_size=3),
    data=st.integers(0, 300),
    counts=st.one_of(st.none(), st.tuples(_sizes, _sizes)),
)
def test_that_made_up_headers_are_sound_or_refused(
    tensors: list[bytes],
    notes: list[bytes],
    data: int,
    counts: tuple[int, int] | None,
    tmp_path_factory: Any,
) -> None:
    content = made.gguf(*tensors, notes=tuple(notes), data=bytes(data), counts=counts)
    sound_or_refused(tmp_path_factory.getbasetemp() / "hypothesis.gguf", content)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_that_no_flipped_byte_of_a_real_file_leads_astray(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "real.gguf"
    if not path.exists():
        write_with_gguf(path)
    damaged = bytearray(path.read_bytes())
    header = min(tensor.offset for tensor in read(path).tensors.values())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    sound_or_refused(path.with_name("flipped.gguf"), bytes(damaged))

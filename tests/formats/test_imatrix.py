import struct

import gguf
import numpy as np
import pytest
import torch

from app.core.errors import AppError, BadModelFile
from app.formats.gguf.imatrix import ImportanceMatrix, Squares, is_imatrix, read_imatrix
from app.formats.gguf.imatrix_statistics import statistics

ROW = [4.0, 0.0, 16.0, 2.0]


@pytest.fixture
def matrix():
    one = Squares(torch.tensor([ROW]), torch.tensor([2.0]))
    experts = Squares(
        torch.tensor([[2.0, 4.0], [0.0, 0.0], [30.0, 3.0]]), torch.tensor([2.0, 0.0, 3.0])
    )
    tensors = {"output.weight": one, "blk.0.ffn_down_exps.weight": experts}
    return ImportanceMatrix(tensors, ("mixed.txt",), 8, 512)


def write_with_gguf(path, arrays, **changed):
    """A file as llama-imatrix lays it down, by the gguf library."""
    values = {
        "type": "imatrix",
        "datasets": ["a.txt", "b.txt"],
        "chunks": 3,
        "size": 512,
        **changed,
    }
    writer = gguf.GGUFWriter(path, arch="")
    writer.kv_data[0].clear()
    writer.add_string("general.type", values["type"])
    writer.add_array("imatrix.datasets", values["datasets"])
    writer.add_uint32("imatrix.chunk_count", values["chunks"])
    writer.add_uint32("imatrix.chunk_size", values["size"])
    for name, array in arrays.items():
        writer.add_tensor(name, np.asarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def f32(*rows):
    return np.array(rows, dtype=np.float32)


def arrays(**changed):
    plain = {"a.weight.in_sum2": f32(ROW), "a.weight.counts": f32([2.0])}
    return {**plain, **changed}


def test_that_the_gguf_library_reads_what_was_written(matrix, tmp_path):
    matrix.save(tmp_path / "m.gguf")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    fields = {key: field.contents() for key, field in reader.fields.items()}
    assert fields["general.type"] == "imatrix"
    assert fields["imatrix.datasets"] == ["mixed.txt"]
    assert (fields["imatrix.chunk_count"], fields["imatrix.chunk_size"]) == (8, 512)
    assert "general.architecture" not in fields
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert list(tensors["output.weight.in_sum2"].shape) == [4, 1]  # innermost first
    assert list(tensors["output.weight.counts"].shape) == [1, 1]
    experts = tensors["blk.0.ffn_down_exps.weight.in_sum2"]
    assert experts.tensor_type == gguf.GGMLQuantizationType.F32
    assert experts.data.tolist() == [[2, 4], [0, 0], [30, 3]]
    counts = tensors["blk.0.ffn_down_exps.weight.counts"]
    assert list(counts.shape) == [1, 3]
    assert counts.data.flatten().tolist() == [2, 0, 3]


def test_that_a_file_comes_back_as_it_was(matrix, tmp_path):
    matrix.save(tmp_path / "m.gguf")
    found = read_imatrix(tmp_path / "m.gguf")
    assert (found.datasets, found.chunks, found.chunk_size) == (("mixed.txt",), 8, 512)
    for name, squares in matrix.tensors.items():
        assert torch.equal(found.tensors[name].sums, squares.sums)
        assert torch.equal(found.tensors[name].counts, squares.counts)


def test_that_columns_are_means_over_tokens(matrix):
    assert matrix.columns("output.weight").tolist() == [2, 0, 8, 1]
    assert matrix.columns("blk.0.ffn_down_exps.weight", 2).tolist() == [10, 1]
    assert matrix.columns("blk.0.attn_q.weight") is None


def test_that_an_expert_without_tokens_gets_the_mean_of_the_others(matrix):
    assert matrix.columns("blk.0.ffn_down_exps.weight", 1).tolist() == [5.5, 1.5]
    assert "1 of the 3 experts in blk.0.ffn_down_exps.weight" in matrix.gaps()


def test_that_without_any_tokens_all_columns_are_alike():
    nothing = Squares(torch.zeros(2, 3), torch.zeros(2))
    assert ImportanceMatrix({"a": nothing}).columns("a", 1).tolist() == [1, 1, 1]


def test_that_one_row_stands_for_all_matrices(matrix):
    assert matrix.columns("output.weight", 7, width=4).tolist() == [2, 0, 8, 1]


def test_that_matrices_counted_together_are_told_apart_by_their_width(matrix):
    """As llama-imatrix writes three-dimensional weights that are not experts."""
    assert matrix.columns("output.weight", 1, width=2).tolist() == [8, 1]


@pytest.mark.parametrize(("number", "width"), [(0, 3), (0, 8), (5, 2)])
def test_that_a_file_of_another_model_is_refused(matrix, number, width):
    with pytest.raises(BadModelFile, match="another model"):
        matrix.columns("blk.0.ffn_down_exps.weight", number, width=width)


def test_that_llama_cpps_files_are_read_whatever_else_they_hold(tmp_path):
    more = {
        "a.weight.in_sum": f32([1.0, -1.0, 0.5, 0.0]),
        "a.weight.stats": np.zeros(12, dtype=np.float32),
    }
    found = read_imatrix(write_with_gguf(tmp_path / "m.gguf", arrays(**more)))
    assert found.datasets == ("a.txt", "b.txt")
    assert list(found.tensors) == ["a.weight"]
    assert found.columns("a.weight").tolist() == [2, 0, 8, 1]


@pytest.mark.parametrize(
    "changed",
    [
        {"a.weight.counts": f32([-1.0])},
        {"a.weight.counts": f32([np.nan])},
        {"a.weight.counts": f32([1.0], [2.0], [3.0])},
        {"a.weight.in_sum2": f32([1.0, np.inf, 2.0, 3.0])},
        {"a.weight.in_sum2": f32([1.0, -2.0, 2.0, 3.0])},
        {"a.weight.in_sum2": f32(ROW).astype(np.float16)},
        {"b.weight.in_sum2": f32(ROW)},
    ],
    ids=str,
)
def test_that_importances_that_cannot_be_are_refused(tmp_path, changed):
    with pytest.raises(BadModelFile, match="damaged"):
        read_imatrix(write_with_gguf(tmp_path / "m.gguf", arrays(**changed)))


def test_that_a_model_is_no_importance_matrix(tmp_path):
    path = write_with_gguf(tmp_path / "m.gguf", arrays(), type="model")
    assert not is_imatrix(path)
    with pytest.raises(BadModelFile, match="no importance matrix"):
        read_imatrix(path)


def dat(*entries, end=b""):
    parts = [struct.pack("<i", len(entries))]
    for name, chunks, values in entries:
        parts += [struct.pack("<i", len(name)), name.encode()]
        parts.append(struct.pack("<ii", chunks, len(values)))
        parts.append(struct.pack(f"<{len(values)}f", *values))
    return b"".join(parts) + end


END = struct.pack("<ii", 10, 8) + b"wiki.txt"


@pytest.mark.parametrize(("end", "datasets"), [(b"", ()), (END, ("wiki.txt",))])
def test_that_older_files_are_read(tmp_path, end, datasets):
    path = tmp_path / "m.dat"
    path.write_bytes(dat(("a.weight", 10, [20.0, 0.0, 80.0]), ("b", 0, [3.0]), end=end))
    assert is_imatrix(path)
    found = read_imatrix(path)
    assert found.columns("a.weight").tolist() == [2, 0, 8]
    assert found.columns("b").tolist() == [3]
    assert found.datasets == datasets


GOOD = dat(("a.weight", 10, [20.0, 0.0, 80.0]), ("b", 1, [3.0]), end=END)


@pytest.mark.parametrize("kept", range(len(GOOD) - len(END)))
def test_that_an_older_file_that_is_cut_off_is_refused(tmp_path, kept):
    path = tmp_path / "m.dat"
    path.write_bytes(GOOD[:kept])
    with pytest.raises(AppError):
        read_imatrix(path)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<i", 2**31 - 1) + bytes(100),
        struct.pack("<i", -1) + bytes(100),
        struct.pack("<ii", 1, 2**30) + bytes(100),
        dat(("a", 1, [])),
        dat(("a", -1, [1.0])),
        dat(("a", 1, [float("nan")])),
        dat(("a", 1, [1.0]), ("a", 1, [1.0])),
        dat(("a\nb", 1, [1.0])),
        b"<!DOCTYPE html><html>" + bytes(50),
        b"",
    ],
)
def test_that_a_damaged_older_file_is_refused(tmp_path, data):
    path = tmp_path / "m.dat"
    path.write_bytes(data)
    with pytest.raises(AppError):
        read_imatrix(path)


def test_that_statistics_are_those_of_the_means(matrix):
    experts, one = statistics(matrix)
    values = np.array([2, 0, 8, 1.0])
    shares = values[values > 0] / values.sum()
    assert one.name == "output.weight"
    assert one.total == pytest.approx(11)
    assert (one.smallest, one.largest) == (0, 8)
    assert one.mean == pytest.approx(values.mean())
    assert one.deviation == pytest.approx(values.std())
    assert one.active == pytest.approx(3 / 4)
    assert one.evenness == pytest.approx(-(shares * np.log(shares)).sum() / np.log(4))
    assert one.top_share == pytest.approx(8 / 11)
    assert one.top_columns == (2, 0, 3)
    assert (experts.matrices, experts.reached, experts.tokens) == (3, 2, 3)
    assert experts.total == pytest.approx(1 + 2 + 10 + 1)

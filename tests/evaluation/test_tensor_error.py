import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_models import drain

from app.core.errors import BadModelFile
from app.core.plan import Plan, PlannedFile, PlannedTensor
from app.core.tensor import TensorInfo
from app.evaluation.tensor_error import Written, measure_results, measure_tensors
from app.formats import slices


class Memory:
    """A conversion and its written result, both in memory; the result is off by known errors."""

    path = Path("nowhere")

    def __init__(self, wanted, written, together=1):
        self.wanted, self.written, self.together = wanted, written, together
        self.tensors = {
            name: TensorInfo(name, tuple(t.shape), "F32", 4 * t.numel())
            for name, t in written.items()
        }
        self.asked = []

    def plan(self):
        planned = tuple(
            PlannedTensor(name, tuple(t.shape), "F32", 0, 4 * t.numel(), (name,))
            for name, t in self.wanted.items()
        )
        return Plan("F32", planned, (PlannedFile(b"", 0),))

    def measure(self, threads=2):
        events, rows = drain(measure_tensors(_Conversion(self), self.plan(), self, threads))
        return events, {row.name: row for row in rows}

    def rows(self, name, start=0, stop=None):
        return _rows(self.written[name])[start:stop]


class _Conversion:
    def __init__(self, memory):
        self.memory = memory

    def rows(self, tensor, start, stop):
        self.memory.asked.append((tensor.name, start, stop))
        return _rows(self.memory.wanted[tensor.name])[start:stop]

    def row_step(self, tensor):
        return self.memory.together

    def source_bytes(self, tensor):
        return 2 * tensor.weights


def _rows(tensor):
    return tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim else tensor.reshape(1, 1)


def by_hand(wanted, written):
    a, b = wanted.numpy().astype(np.float64), written.numpy().astype(np.float64)
    return np.linalg.norm(b - a) / np.linalg.norm(a), np.abs(b - a).max()


@pytest.fixture
def memory():
    generator = torch.Generator().manual_seed(0)
    shapes = {"matrix": (70, 96), "experts": (4, 10, 32), "vector": (96,), "scalar": ()}
    wanted = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    written = {
        name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in wanted.items()
    }
    return Memory(wanted, written)


@pytest.mark.parametrize("weights_a_slice", [1, 100, 1 << 21])
def test_that_errors_are_those_of_the_whole_tensor(memory, monkeypatch, weights_a_slice):
    monkeypatch.setattr(slices, "SLICE_WEIGHTS", weights_a_slice)
    _, rows = memory.measure()
    assert list(rows) == ["matrix", "experts", "vector", "scalar"]
    for name, row in rows.items():
        expected = by_hand(memory.wanted[name], memory.written[name])
        assert (row.error, row.max_error) == pytest.approx(expected, rel=1e-6)
        assert (row.before, row.after) == (2 * row.after // 4, 4 * memory.wanted[name].numel())


def test_that_slices_keep_rows_together_that_change_places(memory, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_WEIGHTS", 96 * 16)
    memory.together = 7
    memory.measure()
    asked = sorted(slice_[1:] for slice_ in memory.asked if slice_[0] == "matrix")
    assert asked == [(start, start + 14) for start in range(0, 70, 14)]


@pytest.mark.parametrize("scale", [1e-30, 1e-38, 1e25, 1e37])
def test_that_tiny_and_huge_weights_are_measured(scale):
    wanted = {"w": scale * torch.randn(64, 64)}
    written = {"w": wanted["w"] * 1.01}
    row = Memory(wanted, written).measure()[1]["w"]
    assert row.error == pytest.approx(by_hand(wanted["w"], written["w"])[0], rel=1e-4)


@pytest.mark.parametrize(("written", "error"), [(0.0, 0.0), (0.5, 1.0)])
def test_that_a_tensor_of_zeros_is_measured(written, error):
    row = Memory({"w": torch.zeros(8, 8)}, {"w": torch.full((8, 8), written)}).measure()[1]["w"]
    assert (row.error, row.max_error) == (error, written)


def test_that_an_equal_tensor_has_no_error(memory):
    _, rows = Memory(memory.wanted, memory.wanted).measure()
    assert {row.error for row in rows.values()} == {row.max_error for row in rows.values()} == {0.0}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_that_values_that_are_no_numbers_are_named(memory, value):
    memory.written["experts"][3, 9, 31] = value
    with pytest.raises(BadModelFile, match="experts contains values that are not numbers"):
        memory.measure()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_that_a_source_without_numbers_is_not_blamed_on_the_disk(memory, value):
    for tensors in (memory.wanted, memory.written):
        tensors["experts"][3, 9, 31] = value
    with pytest.raises(BadModelFile, match="model's tensor experts contains") as found:
        memory.measure()
    assert "disk" not in found.value.hint


def test_that_progress_counts_every_weight(memory, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_WEIGHTS", 500)
    events, _ = memory.measure()
    done = [event.done for event in events]
    assert done == sorted(done)
    assert done[-1] == events[-1].total == memory.plan().weights
    assert events[-1].overall == 1


def test_that_results_of_one_conversion_are_compared_with_one_reading_of_it(memory, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_WEIGHTS", 500)
    _, alone = memory.measure(threads=1)
    slices_read = sorted(memory.asked)
    exact = Memory(memory.wanted, memory.wanted)
    memory.asked.clear()
    conversion = _Conversion(memory)
    both = [Written(conversion, one.plan(), one) for one in (memory, exact)]
    events, (first, second) = drain(measure_results(both, 1))
    assert sorted(memory.asked) == slices_read
    assert {row.name: row for row in first} == alone
    assert [row.error for row in second] == [0, 0, 0, 0]
    assert events[-1].done == events[-1].total == 2 * memory.plan().weights


def test_that_stopping_leaves_no_threads(memory, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_WEIGHTS", 100)
    before = threading.active_count()
    measuring = measure_tensors(_Conversion(memory), memory.plan(), memory, 2)
    next(measuring)
    measuring.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "F16"},
        {"shape": (96, 70)},
        {"nbytes": 4},
    ],
    ids=str,
)
def test_that_a_tensor_written_otherwise_than_planned_is_named(memory, change):
    memory.tensors["matrix"] = replace(memory.tensors["matrix"], **change)
    with pytest.raises(BadModelFile, match="matrix was not written as it was planned"):
        memory.measure()


def test_that_a_lost_and_a_surplus_tensor_are_named(memory):
    del memory.tensors["vector"]
    with pytest.raises(BadModelFile, match="vector"):
        memory.measure()
    memory.tensors["vector"] = memory.tensors["more"] = memory.tensors["matrix"]
    with pytest.raises(BadModelFile, match=r"more|vector"):
        memory.measure()


@pytest.mark.parametrize("damage", ["none", "header", "cut", "longer"])
def test_that_header_and_size_of_the_file_are_checked(memory, tmp_path, damage):
    memory.path = tmp_path / "result.gguf"
    memory.files = [memory.path]
    content = {
        "none": b"header" + bytes(10),
        "header": b"hEader" + bytes(10),
        "cut": b"header" + bytes(9),
        "longer": b"header" + bytes(11),
    }[damage]
    memory.path.write_bytes(content)
    plan = replace(memory.plan(), files=(PlannedFile(b"header", 16),))
    measuring = measure_tensors(_Conversion(memory), plan, memory, 1)
    if damage == "none":
        assert len(drain(measuring)[1]) == 4
    else:
        with pytest.raises(BadModelFile, match="not what was planned"):
            next(measuring)

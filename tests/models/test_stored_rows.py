"""Rows are mapped, not loaded, and only from the file that was opened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.core.errors import BadModelFile
from app.models.open import open_model
from app.models.safetensors_folder import SafetensorsFolder
from tests.models.malformed_safetensors import CONFIG, safetensors


def write(folder: Path, header: dict[str, object], data: bytes) -> SafetensorsFolder:
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(safetensors(header, data))
    return SafetensorsFolder(folder)


def place(dtype: str, shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 0), (0, 1), (3, 7), (9_999, 10_000), (10_000, None)]
)
def test_that_any_range_of_rows_can_be_read(start: int, stop: int | None, tmp_path: Path) -> None:
    numbers = torch.arange(100 * 100 * 6, dtype=torch.int32).reshape(100, 100, 6)
    data = numbers.numpy().tobytes()
    model = write(tmp_path, {"a": place("I32", [100, 100, 6], 0, len(data))}, data)
    assert torch.equal(model.rows("a", start, stop), numbers.reshape(-1, 6)[start:stop])


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 1), (0, 5), (5, None)])
def test_that_rows_that_do_not_exist_are_an_error(
    start: int, stop: int | None, tmp_path: Path
) -> None:
    model = write(tmp_path, {"a": place("U8", [4, 4], 0, 16)}, bytes(16))
    with pytest.raises(IndexError, match="a has 4 rows"):
        model.rows("a", start, stop)


def test_that_numbers_at_odd_places_are_read_right(tmp_path: Path) -> None:
    numbers = torch.randn(5, 3)
    data = b"x" + numbers.numpy().tobytes()
    header = {"odd": place("U8", [1], 0, 1), "a": place("F32", [5, 3], 1, 61)}
    model = write(tmp_path, header, data)
    found = model.rows("a", 1, 4)
    assert torch.equal(found, numbers[1:4])
    assert found.data_ptr() % 4 == 0


def test_that_odd_booleans_are_true(tmp_path: Path) -> None:
    model = write(tmp_path, {"a": place("BOOL", [4], 0, 4)}, b"\x00\x01\x07\xff")
    assert model.tensor("a").tolist() == [False, True, True, True]


def test_that_writing_to_a_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    model = write(tmp_path, {"a": place("U8", [4, 4], 0, 16)}, bytes(16))
    before = (tmp_path / "model.safetensors").read_bytes()
    model.tensor("a").fill_(7)
    assert model.tensor("a").sum() == 0
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_that_an_unknown_tensor_is_a_key_error(tmp_path: Path) -> None:
    model = write(tmp_path, {"a": place("U8", [4, 4], 0, 16)}, bytes(16))
    with pytest.raises(KeyError):
        model.rows("b")


@pytest.mark.parametrize("change", ["longer", "shorter", "touched", "replaced"])
def test_that_a_changed_file_is_noticed(change: str, tmp_path: Path) -> None:
    model = write(tmp_path, {"a": place("U8", [4, 4], 0, 16)}, bytes(16))
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    match change:
        case "longer":
            path.write_bytes(content + b"x")
        case "shorter":
            os.truncate(path, len(content) - 1)
        case "touched":
            os.utime(path, ns=(0, 10**18))
        case _:
            path.unlink()
            path.write_bytes(content[:-1] + b"x")
            os.utime(path, ns=(0, 10**18))
    with pytest.raises(BadModelFile, match=r"model\.safetensors has changed"):
        model.rows("a", 0, 1)


def test_that_a_file_that_is_gone_is_noticed(tmp_path: Path) -> None:
    model = write(tmp_path, {"a": place("U8", [4, 4], 0, 16)}, bytes(16))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BadModelFile, match=r"model\.safetensors is missing"):
        model.rows("a")


_READ = """
import sys
from pathlib import Path
import torch
from app.models.open import open_model

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def mappings():
    return Path("/proc/self/maps").read_text().count("model.safetensors")

model = open_model(sys.argv[1])
model.rows("a", 0, 10).float().sum()
before, total = memory("VmHWM"), 0
for start in range(0, 300_000, 10_000):
    piece = model.rows("a", start, start + 10_000)
    total += int(piece.view(torch.int16).sum(dtype=torch.int64))
    assert mappings() == 1
del piece
assert mappings() == 0
print(total, memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_that_reading_300_mb_in_slices_takes_less_than_100_mb(tmp_path: Path) -> None:
    rows, nbytes = 300_000, 300_000 * 1000
    write(tmp_path, {"b": place("U8", [0], 0, 0)}, b"")
    header = json.dumps({"a": place("BF16", [rows, 500], 0, nbytes)}).encode()
    pattern = torch.arange(500_000, dtype=torch.int16)
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(300):
            file.write(pattern.numpy().tobytes())
    assert open_model(tmp_path).nbytes == nbytes
    child = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    total, growth = map(int, child.stdout.split())
    assert total == 300 * int(pattern.sum(dtype=torch.int64))
    assert growth < 100_000_000

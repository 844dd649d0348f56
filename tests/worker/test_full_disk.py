"""A disk that is really full: a small file system in memory, where this user may mount one."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.errors import NotEnoughSpace
from app.core.events import Finished, TensorDone
from app.worker.convert import convert


def _fails(command):
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if sys.platform != "linux" or _fails(command):
        pytest.skip("cannot mount a small file system here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "job"
    made.mkdir()
    return made


def fill(path):
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")


def test_that_a_disk_too_small_is_refused_before_anything_is_written(make_job, small_disk, folder):
    job = make_job("F32", target=small_disk / "out.gguf")
    with pytest.raises(NotEnoughSpace, match=r"23\.2 MB are needed and 16\.8 MB are free"):
        list(convert(job, folder))
    assert not list(small_disk.glob("*.gguf*"))


@pytest.mark.parametrize("tensors", [1, 5, 30, 70])
def test_that_a_disk_filled_by_others_stops_the_job_until_there_is_space(
    make_job, small_disk, folder, tmp_path, digest, tensors
):
    whole = make_job("BF16", target=tmp_path / "whole.gguf")
    list(convert(whole, folder))
    (folder / "written-0.json").unlink()
    job = make_job("BF16", target=small_disk / "out.gguf", threads=1)
    events = convert(job, folder)
    for _ in range(tensors):
        next(event for event in events if isinstance(event, TensorDone))
    fill(small_disk / "filler")
    with pytest.raises(NotEnoughSpace, match=r"out\.gguf could not be written") as caught:
        list(events)
    assert "goes on where it stood" in caught.value.hint
    assert not Path(job.target).exists()
    (small_disk / "filler").unlink()
    assert isinstance(list(convert(job, folder))[-1], Finished)
    assert digest(Path(job.target)) == digest(Path(whole.target))

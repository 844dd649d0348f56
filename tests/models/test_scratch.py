import errno
import os

import psutil
import pytest
import torch
from checkpoint_models import CheckpointSource, random_family
from random_models import drain

from app.core.errors import BadModelFile, NotEnoughSpace
from app.models import scratch
from app.models.layerwise import Place, run_layers
from app.models.scratch import Scratch
from app.models.skeleton import Skeleton

SHAPE = (3, 5, 7)
NBYTES = 4 * 3 * 5 * 7


@pytest.fixture
def on_disk(tmp_path):
    """Everything waits on the disk."""
    return Scratch(tmp_path / "scratch")


@pytest.fixture
def mapped(on_disk):
    """The files of the scratch's folder that this process has in its memory."""
    if not hasattr(psutil.Process, "memory_maps"):
        pytest.skip("this system does not list what is mapped")

    def found():
        place = str(on_disk.folder)
        return [one.path for one in psutil.Process().memory_maps() if one.path.startswith(place)]

    return found


@pytest.fixture
def tokens():
    return torch.randint(0, 160, (5, 32), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def source():
    return CheckpointSource(random_family("llama"))


def passing(source, tokens, scratch):
    return run_layers(Skeleton(source.config), [source], tokens, Place(scratch=scratch))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_that_a_large_tensor_is_a_file_as_long_as_it_is_used(on_disk, mapped, dtype):
    tensor = on_disk.empty(SHAPE, dtype)
    assert tensor.shape == SHAPE
    assert tensor.dtype == dtype
    expected = torch.arange(3 * 5 * 7, dtype=dtype).view(SHAPE)
    tensor.copy_(expected)
    part = tensor[1:]
    assert len(mapped()) == 1
    del tensor
    assert torch.equal(part, expected[1:])
    del part
    assert not mapped()
    assert not list(on_disk.folder.iterdir())


def test_that_a_small_tensor_stays_in_memory(tmp_path):
    for place in (Scratch(), Scratch(tmp_path / "none", NBYTES)):
        assert place.empty(SHAPE, torch.float32).shape == SHAPE
    assert not list(tmp_path.iterdir())


def test_that_hidden_states_on_the_disk_are_the_same_to_the_bit(source, tokens, on_disk, mapped):
    _, (expected,) = drain(passing(source, tokens, Scratch()))
    _, (found,) = drain(passing(source, tokens, on_disk))
    assert mapped()
    assert torch.equal(found, expected)


def test_that_a_pass_leaves_no_file_at_its_end(source, tokens, on_disk, mapped):
    drain(passing(source, tokens, on_disk))
    assert not mapped()
    assert not list(on_disk.folder.iterdir())


def test_that_a_pass_leaves_no_file_when_it_is_stopped(source, tokens, on_disk, mapped):
    steps = passing(source, tokens, on_disk)
    next(steps)
    assert mapped()
    steps.close()
    assert not mapped()
    assert not list(on_disk.folder.iterdir())


def test_that_a_pass_leaves_no_file_when_it_fails(source, tokens, on_disk, mapped):
    del source.tensors["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(BadModelFile):
        drain(passing(source, tokens, on_disk))
    assert not mapped()
    assert not list(on_disk.folder.iterdir())


def test_that_a_disk_without_room_is_refused_before_any_work(source, tokens, on_disk, monkeypatch):
    monkeypatch.setattr(scratch, "free_bytes", lambda _: scratch.SPARE_BYTES + 1000)
    needed = 4 * tokens.numel() * 64
    with pytest.raises(NotEnoughSpace, match=r"takes 41\.0 kB.* 2\.0 GB are free") as refused:
        next(passing(source, tokens, on_disk))
    assert needed == 40_960
    assert refused.value.hint == "Free 40.0 kB more there, or show the model less text."
    assert not on_disk.folder.exists()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room is taken by writing there")
def test_that_a_disk_that_fills_up_meanwhile_is_refused(on_disk, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NotEnoughSpace, match="too much for the memory") as refused:
        on_disk.empty(SHAPE, torch.float32)
    assert "No space left" in refused.value.details
    assert not list(on_disk.folder.iterdir())


def test_that_what_a_power_cut_has_left_is_deleted(on_disk):
    on_disk.folder.mkdir()
    (on_disk.folder / "tmp1a2b.states").write_bytes(b"old")
    other = on_disk.folder / "settings.json"
    other.write_text("{}")
    on_disk.empty(SHAPE, torch.float32)
    assert list(on_disk.folder.iterdir()) == [other]


@pytest.mark.parametrize("reserved", [True, False])
def test_that_the_room_on_the_disk_is_taken_at_once(tmp_path, monkeypatch, reserved):
    """Where the system cannot do it, by writing."""
    if not reserved:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    nbytes = 3 * (1 << 20) + 5
    with (tmp_path / "file").open("wb") as file:
        scratch._reserve(file, nbytes)
    stat = (tmp_path / "file").stat()
    assert stat.st_size == nbytes
    assert not hasattr(stat, "st_blocks") or 512 * stat.st_blocks >= nbytes

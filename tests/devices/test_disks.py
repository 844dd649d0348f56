import sys
from pathlib import Path

import pytest

from app.devices.disks import Mount, disks


def names(folder, *mounted):
    return [disk.name for disk in disks(folder, mounted)]


def test_that_the_folders_disk_comes_first_by_the_folders_name(tmp_path):
    (found,) = disks(tmp_path, [Mount("/dev/sda1", "/")])
    assert found.name == str(tmp_path)
    assert 0 < found.free < found.total


def test_that_a_folder_still_to_be_made_is_on_its_parents_disk(tmp_path):
    (found,) = disks(tmp_path / "a" / "b", [])
    assert found.name == str(tmp_path / "a" / "b")
    assert found.total > 0


def test_that_what_cannot_hold_a_model_is_left_out(tmp_path):
    assert names(
        tmp_path,
        Mount("/dev/sda1", "/"),
        Mount("/dev/loop3", "/snap/core/1", "squashfs", "ro"),
        Mount("/dev/loop4", "/proc"),
        Mount("tmpfs", "/dev/shm", "tmpfs"),
        Mount("/dev/sda2", "/boot"),
        Mount("/dev/sr0", "/proc", "iso9660", "ro"),
        Mount("/dev/sdb1", "/proc", "ext4", "ro,relatime"),
        Mount("/dev/sda1", "/etc/hostname"),
        Mount("/dev/sdz1", "/nowhere at all"),
    ) == [str(tmp_path)]


@pytest.mark.skipif(sys.platform != "linux", reason="takes other mounts of Linux for disks")
def test_that_a_second_disk_is_listed_once(tmp_path):
    assert names(
        tmp_path,
        Mount("/dev/sda1", "/"),
        Mount("/dev/sdb1", "/dev/shm"),
        Mount("/dev/sdb1", "/dev"),
        Mount("/dev/sdc1", "/proc"),  # it has no size
    ) == [str(tmp_path), "/dev"]


@pytest.mark.skipif(sys.platform != "linux", reason="takes other mounts of Linux for disks")
def test_that_only_the_nearest_mount_above_is_the_folders_own():
    found = names(Path("/dev/shm"), Mount("/dev/sda1", "/"), Mount("/dev/sdb1", "/dev/shm"))
    assert found == ["/dev/shm", "/"]

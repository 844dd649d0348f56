import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from app.core import partial as module
from app.core.errors import AppError, NotEnoughSpace
from app.core.partial import PartialFile, discard_partial

PIECES = {0: b"abc", 3: b"defgh", 8: b"ij"}


@pytest.fixture
def target(tmp_path):
    return tmp_path / "model.gguf"


def opened(target, fingerprint="f", size=10):
    file = PartialFile(target, size, fingerprint)
    file.open()
    return file


def test_that_the_file_has_its_name_only_when_it_is_complete(target):
    file = opened(target)
    for offset, content in PIECES.items():
        file.write(offset, content)
        assert not target.exists()
    file.commit()
    assert target.read_bytes() == b"abcdefghij"
    assert [entry.name for entry in target.parent.iterdir()] == ["model.gguf"]


def test_that_another_run_keeps_what_was_made_durable(target):
    first = opened(target)
    first.write(0, b"abc")
    first.checkpoint()
    first.write(3, b"defgh")  # written, but not promised
    first.close()
    second = opened(target)
    assert second.has(0, 3)
    assert not second.has(3, 5)
    second.write(3, b"defgh")
    second.write(8, b"ij")
    second.commit()
    assert target.read_bytes() == b"abcdefghij"


def test_that_damaged_pieces_are_noticed(target):
    first = opened(target)
    first.write(0, b"abc")
    first.checkpoint()
    first.close()
    with first.path.open("r+b") as file:
        file.write(b"x")
    assert not opened(target).has(0, 3)


@pytest.mark.parametrize("other", [{"fingerprint": "g"}, {"size": 11}])
def test_that_another_recipe_starts_over(target, other):
    first = opened(target)
    first.write(0, b"abc")
    first.checkpoint()
    first.close()
    assert not opened(target, **other).has(0, 3)


@pytest.mark.parametrize(
    "journal", [b"", b"{", b"[1]\n", b'{"fingerprint": "f", "size": 10}\n{"at": 0}\n', b"\xff\n"]
)
def test_that_a_damaged_journal_starts_over(target, journal):
    first = opened(target)
    first.write(0, b"abc")
    first.checkpoint()
    first.close()
    first.path.with_name("model.gguf.partial.journal").write_bytes(journal)
    assert not opened(target).has(0, 3)


def test_that_a_journal_line_cut_short_costs_only_its_piece(target):
    first = opened(target)
    first.write(0, b"abc")
    first.checkpoint()
    first.close()
    with first.path.with_name("model.gguf.partial.journal").open("ab") as journal:
        journal.write(b'{"at": 3, "len')
    second = opened(target)
    assert second.has(0, 3)
    second.write(3, b"defgh")
    second.checkpoint()
    second.close()
    third = opened(target)
    assert third.has(0, 3)
    assert third.has(3, 5)


def test_that_two_jobs_cannot_write_the_same_file(target, monkeypatch):
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    first = opened(target)
    with pytest.raises(AppError, match=r"Another job is writing model\.gguf"):
        opened(target)
    first.close()
    opened(target).close()


def test_that_too_small_a_disk_is_refused_with_numbers(target, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda _: 4_000_000_000)
    with pytest.raises(NotEnoughSpace, match=r"22\.0 GB are needed and 4\.0 GB are free") as caught:
        opened(target, size=22_000_000_000)
    assert "18.0 GB more" in caught.value.hint
    assert not target.with_name("model.gguf.partial").exists()


def test_that_a_disk_that_fills_up_says_so_and_keeps_what_there_is(target, monkeypatch):
    file = opened(target)
    file.write(0, b"abc")
    file.checkpoint()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "os", SimpleNamespace(**{**vars(os), "pwrite": full}))
        with pytest.raises(NotEnoughSpace, match=r"model\.gguf could not be written"):
            file.write(3, b"defgh")
    file.close()
    assert opened(target).has(0, 3)


def test_that_a_given_up_file_leaves_nothing(target):
    file = opened(target)
    file.write(0, b"abc")
    file.checkpoint()
    file.close()
    discard_partial(target)
    assert [entry.name for entry in target.parent.iterdir()] == []


WRITER = """
import sys
from pathlib import Path
from app.core.partial import PartialFile
file = PartialFile(Path(sys.argv[1]), 64 * 1000, "f")
file.open()
for number in range(1000):
    if not file.has(64 * number, 64):
        file.write(64 * number, bytes([number % 251]) * 64)
    if number % 10 == 9:
        file.checkpoint()
        print(number, flush=True)
file.commit()
"""


@pytest.mark.parametrize("lines", [1, 20, 70])
def test_that_a_killed_writer_has_kept_all_it_promised(target, lines):
    command = [sys.executable, "-c", WRITER, str(target)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    promised = [int(writer.stdout.readline()) for _ in range(lines)][-1]
    writer.kill()
    writer.communicate()
    assert not target.exists()
    file = PartialFile(target, 64 * 1000, "f")
    file.open()
    assert all(file.has(64 * number, 64) for number in range(promised + 1))
    file.close()
    subprocess.run(command, check=True, capture_output=True)
    assert target.read_bytes() == b"".join(bytes([number % 251]) * 64 for number in range(1000))

"""Real loads in real llama.cpp, and what they do to the estimate."""

import json
import shutil

import pytest
from checkpoints import write_llama

from app.advisor import AS_IT_IS, MeasuredFits, fits_of
from app.advisor.load import find_server, measure_load
from app.commands.program import run
from app.core.errors import AppError, Unsupported
from app.core.events import Finished
from app.core.fit import FitOptions
from app.core.job import Job, Output
from app.core.machine import Cpu, Machine, Space
from app.core.recipe import Recipe
from app.devices.known import imagine
from app.models import open_model
from app.worker.convert import convert

MACHINE = Machine(Cpu("c", 2, 2), Space("Memory", 16 * 10**9, 12 * 10**9))
OPTIONS = FitOptions(context=1024)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("loaded")
    write_llama(tmp_path / "model", layers=2, hidden=1024, inner=2816)
    target = tmp_path / "model.gguf"
    job = Job("j", str(tmp_path / "model"), (Output(str(target), Recipe("Q8_0")),), evaluate=False)
    assert isinstance(list(convert(job, tmp_path))[-1], Finished)
    return target


@pytest.fixture
def server():
    try:
        return find_server()
    except Unsupported:
        pytest.skip("there is no llama.cpp here")


def test_that_real_loads_bring_the_estimate_to_what_is_taken(file, server, home):
    checkpoint = open_model(file)
    before = fits_of(checkpoint, MACHINE, OPTIONS)[AS_IT_IS]
    for _ in range(3):
        measure_load(checkpoint, MACHINE, OPTIONS, MeasuredFits())
    after = fits_of(checkpoint, MACHINE, OPTIONS, MeasuredFits())[AS_IT_IS]
    took = json.loads((home / "measured_fits.json").read_text())[0]["loads"][-1][1]
    assert file.stat().st_size < took < before.high
    assert after.low <= took <= after.high
    assert after.high - after.low <= before.high - before.low


def test_that_the_command_measures_and_remembers(file, server, home, capsys):
    assert run(["fit", str(file), "--context", "1024", "--measure"]) == 0
    assert (home / "measured_fits.json").is_file()
    assert "as it is" in capsys.readouterr().out


def test_that_only_a_gguf_file_is_measured(capsys):
    assert run(["fit", "sample", "--measure"]) == 2
    assert "gguf" in capsys.readouterr().err


def test_that_an_imagined_computer_is_not_measured(file):
    with pytest.raises(Unsupported, match="real computer"):
        measure_load(open_model(file), imagine("RTX 4090"), OPTIONS, MeasuredFits())


def test_that_a_computer_without_llama_cpp_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Unsupported, match=r"no llama\.cpp"):
        find_server()


def test_that_a_program_that_fails_is_an_error_with_its_words(file, monkeypatch, tmp_path):
    program = tmp_path / "llama-server"
    program.write_text("#!/bin/sh\necho out of memory >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AppError, match="could not load") as caught:
        measure_load(open_model(file), MACHINE, OPTIONS, MeasuredFits())
    assert "out of memory" in caught.value.details

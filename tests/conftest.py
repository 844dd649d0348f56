import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the application does
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers keep every core busy already
# Some two hundred processes are started; without this, some machines compile Python in each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.path.insert(0, str(Path(__file__).parent))

_KERNELS = Path(__file__).parents[1] / ".pytest_cache" / "kernels"
os.environ.setdefault("NUMBA_CACHE_DIR", str(_KERNELS))  # compiled once for all tests
_COMPILE = """
import sys
from app.encodings.kernels import warm_up
for weighed in (False, True):
    list(warm_up(sys.argv[1:], weighed=weighed))
"""


def pytest_sessionstart(session):
    """Compile every kernel before the workers start: each of them would compile them all."""
    processes = session.config.getoption("numprocesses", None)
    if not processes or hasattr(session.config, "workerinput"):
        return
    from app.encodings import ENCODINGS, kernels

    compiled = kernels._cache_folder() / "all-compiled"
    if compiled.exists():
        return
    names = sorted(ENCODINGS)
    size = -(-len(names) // processes)
    parts = [names[start : start + size] for start in range(0, len(names), size)]
    command = [sys.executable, "-c", _COMPILE]
    root = Path(__file__).parents[1]
    running = [subprocess.Popen([*command, *part], cwd=root) for part in parts]
    codes = [process.wait() for process in running]
    if not any(codes) and compiled.parent.exists():
        compiled.touch()


@pytest.fixture
def one_thread():
    """PyTorch's threads wait for each other most of the time where matrices are small."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def say(capsys):
    """Run a command in this process: exit code, standard output, standard error."""
    from app.commands.program import run

    def command(*arguments):
        code = run([str(word) for word in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """New folders; `mktemp` reads the names of all that it has made each time."""
    parent = tmp_path_factory.mktemp("homes")
    return (parent / str(number) for number in count())


@pytest.fixture(autouse=True)
def home(homes, monkeypatch):
    """Every test has a user data folder of its own."""
    folder = next(homes)
    folder.mkdir()
    monkeypatch.setenv("NIBBLE_HOME", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)

import subprocess
import sys

import pytest

from app.ui.instance import Instance

CALL = """
import sys
from pathlib import Path
from PySide6.QtCore import QCoreApplication
from app.ui.instance import Instance
app = QCoreApplication([])
instance = Instance(Path(sys.argv[1]))
print(instance.claim(), instance.call("/models/from outside"))
"""


@pytest.fixture
def instance(qapp, tmp_path):
    instance = Instance(tmp_path)
    yield instance
    instance.release()


def test_that_a_second_start_calls_the_first_with_its_model(instance, qtbot, tmp_path):
    assert instance.claim()
    other = subprocess.Popen(
        [sys.executable, "-c", CALL, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with qtbot.waitSignal(instance.called, timeout=10_000) as called:
        pass
    assert other.communicate(timeout=10)[0].split() == ["False", "True"]
    assert called.args == ["/models/from outside"]


def test_that_another_data_folder_is_another_instance(instance, tmp_path):
    assert instance.claim()
    other = Instance(tmp_path / "other")
    assert other.claim()
    other.release()


def test_that_the_place_is_free_after_a_crash(instance, tmp_path):
    crash = CALL.replace("print(", "import os; print(").replace(
        'instance.call("/models/from outside"))', "flush=True); os._exit(9)"
    )
    out = subprocess.run(
        [sys.executable, "-c", crash, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (out.stdout.strip(), out.returncode) == ("True", 9)
    assert instance.claim()

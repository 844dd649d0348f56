"""kill -9 at random bytes: nothing wrong is kept, and little is asked for twice."""

import json
import random
import subprocess
import sys
import time

import pytest
from hub_parts import bytes_of
from local_hub import Fault, Repo

SIZE = 3_000_000
STEP = 200_000
NAME = "model.safetensors"
PROGRAM = f"""
import sys
import app.hub.file_download as part
part._SYNC_BYTES = {STEP}
from app.commands.program import run
sys.exit(run(["download", "org/m", "--to", sys.argv[1]]))
"""


def safe_bytes(folder):
    try:
        return json.loads((folder / f"{NAME}.part.json").read_bytes())["safe"]
    except FileNotFoundError:
        return 0


def kill_at_random_bytes(hub, folder, kills, seed):
    """How many of the kills found something to go on with."""
    body = bytes_of(SIZE)
    hub.repos["org/m"] = Repo("org/m", {NAME: body, "config.json": b"{}"})
    generator, command, resumed = random.Random(seed), [sys.executable, "-c", PROGRAM], 0
    part = folder / f"{NAME}.part"
    for _ in range(kills):
        hub.faults.clear()
        hub.spoil("content", Fault(rate=6_000_000, times=-1))
        start = safe_bytes(folder)
        until = generator.randint(min(start + 1, SIZE - 1), SIZE - 1)
        hub.seen.clear()
        child = subprocess.Popen([*command, str(folder)], stderr=subprocess.PIPE)
        while child.poll() is None and not (
            hub.requests("content", NAME) and part.exists() and part.stat().st_size >= until
        ):
            time.sleep(0.005)
        child.kill()
        child.communicate()
        asked = [seen.first or 0 for seen in hub.requests("content", NAME)]
        assert asked == ([start] if start < SIZE else [])
        if (folder / NAME).exists():
            assert (folder / NAME).read_bytes() == body
            (folder / NAME).unlink()
            continue
        assert safe_bytes(folder) <= part.stat().st_size
        assert part.read_bytes()[: safe_bytes(folder)] == body[: safe_bytes(folder)]
        assert part.stat().st_size - safe_bytes(folder) <= STEP + (1 << 17)
        resumed += safe_bytes(folder) > 0
    hub.faults.clear()
    subprocess.run([*command, str(folder)], check=True, capture_output=True)
    assert (folder / NAME).read_bytes() == body
    assert [
        path.name for path in folder.iterdir() if "part" in path.name or "tmp" in path.name
    ] == []
    return resumed


def test_that_a_killed_download_goes_on_from_the_last_safe_byte(hub, tmp_path):
    assert kill_at_random_bytes(hub, tmp_path / "m", kills=3, seed=1) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_that_fifty_kills_lose_nothing(hub, tmp_path):
    assert kill_at_random_bytes(hub, tmp_path / "m", kills=50, seed=2) > 20

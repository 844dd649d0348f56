import re

from app.commands.terminal import ProgressLine
from app.core.events import Progress


def test_that_no_line_of_progress_promises_less_than_no_time(capsys, monkeypatch):
    times = iter([0.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0])
    monkeypatch.setattr("app.commands.terminal.time.monotonic", lambda: next(times))
    line = ProgressLine()
    for overall in (0.5, 1 + 2**-40):  # sums of shares are not exact
        line.show(Progress("evaluate", 1, 2, "sample texts", overall))
    said = capsys.readouterr().err
    assert re.findall(r"\S+ s left", said) == ["0 s left"]

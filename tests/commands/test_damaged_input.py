"""Every damaged model, given to the whole program: one clear line, at once, and nothing written."""

import time

from app.commands.program import run
from tests.models.corpus import malformed


def test_that_no_damaged_model_gets_past_one_clear_line(tmp_path, capsys):
    target = tmp_path / "out.gguf"
    options = ["--format", "Q8_0", "--no-evaluate", "--out", str(target)]
    tried = 0
    for number, case in enumerate(malformed()):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = case.write(folder)
        began = time.process_time()
        code = run(["quantize", str(path), *options])
        spent = time.process_time() - began
        said = capsys.readouterr()
        assert code == 2, (case.name, said.err)
        assert said.out == "", case.name
        assert said.err.startswith("error: "), (case.name, said.err)
        assert len(said.err.splitlines()) == 1, (case.name, said.err)
        assert "mistake" not in said.err, (case.name, said.err)
        assert spent < 2, case.name
        assert not target.exists(), case.name
        tried += 1
    assert tried >= 200

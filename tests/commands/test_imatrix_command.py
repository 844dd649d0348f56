import json

import gguf
import pytest

from app.commands.program import run as run_program


def run(capsys, *args):
    code = run_program(["imatrix", *map(str, args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("It is a truth universally acknowledged, that text repeats itself. " * 400)
    return path


def test_that_a_matrix_is_computed_written_and_shown(capsys, tmp_path, text):
    out = tmp_path / "m.gguf"
    code, printed, _ = run(capsys, "sample", "--text", text, "--chunks", 2, "--out", out)
    assert code == 0
    assert "2 x 512 tokens of text.txt" in printed
    reader = gguf.GGUFReader(out)
    assert "blk.7.ffn_down.weight.in_sum2" in {tensor.name for tensor in reader.tensors}
    code, again, _ = run(capsys, out)
    assert code == 0
    assert again == printed
    rows = [line.split()[0] for line in printed.splitlines() if line.startswith(("blk", "token"))]
    assert rows[0].startswith("blk.0.")
    assert rows[-1] == "token_embd.weight"


def test_that_statistics_are_plain_values_for_programs(capsys, tmp_path, text):
    out = tmp_path / "m.gguf"
    run(capsys, "sample", "--text", text, "--chunks", 1, "--out", out)
    _, printed, _ = run(capsys, out, "--json")
    document = json.loads(printed)
    assert (document["chunks"], document["chunk_size"]) == (1, 512)
    row = next(row for row in document["tensors"] if row["name"] == "blk.0.attn_q.weight")
    assert row["tokens"] == 512
    assert 0 < row["smallest"] < row["mean"] < row["largest"]


def test_that_an_existing_file_is_replaced_only_on_request(capsys, tmp_path, text):
    out = tmp_path / "m.gguf"
    out.write_bytes(b"precious")
    args = ("sample", "--text", text, "--chunks", 1, "--out", out)
    code, _, error = run(capsys, *args)
    assert code != 0
    assert "--overwrite" in error
    assert out.read_bytes() == b"precious"
    assert run(capsys, *args, "--overwrite")[0] == 0
    assert out.read_bytes().startswith(b"GGUF")


def test_that_chats_are_read_from_jsonl_only(capsys, tmp_path, text):
    code, _, error = run(capsys, "sample", "--chat", text, "--out", tmp_path / "m.gguf")
    assert code != 0
    assert ".jsonl" in error


def test_that_a_model_without_a_template_says_so(capsys, tmp_path):
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}))
    code, _, error = run(capsys, "sample", "--chat", chats, "--out", tmp_path / "m.gguf")
    assert code != 0
    assert "no chat template" in error


def test_that_what_was_kept_can_be_forgotten(capsys, tmp_path, text, home):
    run(capsys, "sample", "--text", text, "--chunks", 1, "--out", tmp_path / "m.gguf")
    assert list((home / "importance").iterdir())
    code, printed, _ = run(capsys, "--clear")
    assert code == 0
    assert "freed" in printed
    assert not list((home / "importance").iterdir())


def test_that_without_a_model_nothing_is_guessed(capsys):
    code, _, error = run(capsys)
    assert code != 0
    assert "No model" in error

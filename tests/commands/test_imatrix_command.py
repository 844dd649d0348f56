import json

import gguf
import pytest


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("It is a truth universally acknowledged, that text repeats itself. " * 400)
    return path


def test_that_a_matrix_is_computed_written_and_shown(say, tmp_path, text):
    out = tmp_path / "m.gguf"
    code, printed, _ = say("imatrix", "sample", "--text", text, "--chunks", 2, "--out", out)
    assert code == 0
    assert "2 x 512 tokens of text.txt" in printed
    reader = gguf.GGUFReader(out)
    assert "blk.7.ffn_down.weight.in_sum2" in {tensor.name for tensor in reader.tensors}
    code, again, _ = say("imatrix", out)
    assert code == 0
    assert again == printed
    rows = [line.split()[0] for line in printed.splitlines() if line.startswith(("blk", "token"))]
    assert rows[0].startswith("blk.0.")
    assert rows[-1] == "token_embd.weight"


def test_that_statistics_are_plain_values_for_programs(say, tmp_path, text):
    out = tmp_path / "m.gguf"
    say("imatrix", "sample", "--text", text, "--chunks", 1, "--out", out)
    _, printed, _ = say("imatrix", out, "--json")
    document = json.loads(printed)
    assert (document["chunks"], document["chunk_size"]) == (1, 512)
    row = next(row for row in document["tensors"] if row["name"] == "blk.0.attn_q.weight")
    assert row["tokens"] == 512
    assert 0 < row["smallest"] < row["mean"] < row["largest"]


def test_that_an_existing_file_is_replaced_only_on_request(say, tmp_path, text):
    out = tmp_path / "m.gguf"
    out.write_bytes(b"precious")
    args = ("sample", "--text", text, "--chunks", 1, "--out", out)
    code, _, error = say("imatrix", *args)
    assert code != 0
    assert "--overwrite" in error
    assert out.read_bytes() == b"precious"
    assert say("imatrix", *args, "--overwrite")[0] == 0
    assert out.read_bytes().startswith(b"GGUF")


def test_that_chats_are_read_from_jsonl_only(say, tmp_path, text):
    code, _, error = say("imatrix", "sample", "--chat", text, "--out", tmp_path / "m.gguf")
    assert code != 0
    assert ".jsonl" in error


def test_that_a_model_without_a_template_says_so(say, tmp_path):
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}))
    code, _, error = say("imatrix", "sample", "--chat", chats, "--out", tmp_path / "m.gguf")
    assert code != 0
    assert "no chat template" in error


def test_that_what_was_kept_can_be_forgotten(say, tmp_path, text, home):
    say("imatrix", "sample", "--text", text, "--chunks", 1, "--out", tmp_path / "m.gguf")
    assert list((home / "importance").iterdir())
    code, printed, _ = say("imatrix", "--clear")
    assert code == 0
    assert "freed" in printed
    assert not list((home / "importance").iterdir())


def test_that_without_a_model_nothing_is_guessed(say):
    code, _, error = say("imatrix")
    assert code != 0
    assert "No model" in error

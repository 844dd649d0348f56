import json
import random
import subprocess
import sys

import pytest

from app.calibration.chats import ChatTemplate, read_chats
from app.calibration.text import calibration_text, cut_calibration_windows, digest
from app.core.errors import BadModelFile, Unsupported
from app.core.places import sample_model
from app.evaluation.text import evaluation_text
from app.evaluation.tokenizer import open_tokenizer
from app.models import open_model

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}"
)
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


class Letters:
    """A tokenizer whose tokens are letters."""

    def __init__(self, opening=None):
        self.opening = opening

    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "letters.txt"
    path.write_text("".join(chr(97 + n % 26) for n in range(1000)))
    return path


def cut(tokenizer, path, **more):
    return cut_calibration_windows(tokenizer, path, **{"chunks": 3, "length": 20, **more})


def test_that_windows_follow_one_another(text):
    windows = cut(Letters(), text)
    assert windows.tokens.shape == (3, 20)
    assert windows.tokens.flatten().tolist() == Letters().encode(text.read_text()[:60])
    assert windows.text == "letters.txt"


def test_that_an_opening_token_takes_the_first_place_of_every_window(text):
    """llama-imatrix opens the whole text, and then replaces the first token of each chunk."""
    tokens = cut(Letters(opening=1), text).tokens
    letters = Letters().encode(text.read_text())
    assert tokens[:, 0].tolist() == [1, 1, 1]
    assert tokens[0, 1:].tolist() == letters[:19]
    assert tokens[1, 1:].tolist() == letters[20:39]


def test_that_a_text_shorter_than_a_window_is_refused(tmp_path):
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(Unsupported, match=r"short\.txt is too short .* 9 of at least 20") as found:
        cut(Letters(), tmp_path / "short.txt")
    assert "at least 1,000 words" in found.value.hint
    with pytest.raises(Unsupported) as found:
        cut(Letters(), tmp_path / "short.txt", chunks=1, length=100_000)
    assert "at least 100,000 words" in found.value.hint


def test_that_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "photo.txt").write_bytes(random.Random(1).randbytes(5000))
    (tmp_path / "wide.txt").write_text("In another encoding. " * 50, encoding="utf-16")
    (tmp_path / "old.txt").write_text("Der Fluß fließt über große Brücken. " * 50, "latin-1")
    for name in ("photo.txt", "wide.txt"):
        with pytest.raises(Unsupported, match=f"{name} is no text in UTF-8"):
            cut(Letters(), tmp_path / name)
    assert len(cut(Letters(), tmp_path / "old.txt").tokens) == 3  # a few letters are lost


def test_that_any_seed_draws_windows(text):
    large = cut(Letters(), text, seed=10**30).tokens
    assert large.equal(cut(Letters(), text, seed=10**30).tokens)
    assert not large.equal(cut(Letters(), text, seed=3).tokens)


def test_that_little_text_is_noted_unless_little_was_asked_for(text):
    assert "letters.txt is short: 1,000 tokens" in cut(Letters(), text, chunks=64, length=100).note
    assert not cut(Letters(), text, chunks=3).note
    assert not cut(Letters(), text, chunks=64).note  # 50 windows


def test_that_chats_are_written_by_the_models_own_template(tmp_path):
    path = tmp_path / "chats.jsonl"
    other = {"conversations": [{"from": "human", "value": "A"}, {"from": "gpt", "value": "B"}]}
    lines = [{"messages": CHAT}, other, {"text": "plain"}]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    assert list(read_chats(path, ChatTemplate(CHATML, {}))) == [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n",
        "<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n",
        "plain",
    ]
    windows = cut_calibration_windows(
        Letters(), path, chunks=2, length=30, template=ChatTemplate(CHATML, {})
    )
    assert Letters().decode(windows.tokens.flatten().tolist()).startswith("<|im_start|>user\nHi")


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", '{"messages": []}', '{"messages": ["a"]}', '{"messages": [{"role": 1}]}',
     '{"messages": 5}', '{"messages": {"a": 1}}', '"text"', "[" * 100_000],
)  # fmt: skip
def test_that_a_line_that_is_no_chat_is_named(tmp_path, line):
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"text": "a"}) + "\n" + line)
    with pytest.raises(BadModelFile, match=r"Line 2 of chats\.jsonl"):
        list(read_chats(path, ChatTemplate(CHATML, {})))


def test_that_chats_need_a_template(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": CHAT}))
    with pytest.raises(Unsupported, match="no chat template"):
        list(read_chats(path, None))


@pytest.mark.parametrize(
    "template",
    [
        "{% for",
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{% set x = messages.append(1) %}",
        "{{ 1 // 0 }}",
        "{{ messages[9]['role'] }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
    ],
)
def test_that_a_template_that_fails_or_reaches_out_is_refused(template):
    with pytest.raises(BadModelFile, match="chat template"):
        ChatTemplate(template, {}).render(CHAT)


def test_that_a_folders_template_and_special_tokens_are_found(tmp_path):
    checkpoint = open_model(sample_model())
    assert ChatTemplate.of(checkpoint) is None
    folder = tmp_path / "model"
    folder.mkdir()
    for file in sample_model().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"bos_token": {"content": "<s>"}, "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(
        "{{ bos_token }}{{ messages|length }}{{ eos_token }}"
    )
    assert ChatTemplate.of(open_model(folder)).render(CHAT) == "<s>2</s>"


def test_that_the_shipped_text_is_long_enough_and_unlike_the_evaluation_text():
    tokenizer = open_tokenizer(open_model(sample_model()))
    windows = cut_calibration_windows(tokenizer, calibration_text(), chunks=64, length=512)
    assert windows.tokens.shape == (64, 512)
    mixed = calibration_text().read_text(encoding="utf-8")
    for paragraph in evaluation_text().read_text(encoding="utf-8").split("\n\n"):
        assert len(paragraph) < 60 or paragraph not in mixed
    letters = {"de": "ß", "ru": "ы", "zh": "的", "ja": "の", "ar": "ال", "hi": "में", "ko": "는"}
    first_third = mixed[: len(mixed) // 3]
    assert sum(sign in first_third for sign in letters.values()) >= 3
    assert all(sign in mixed for sign in letters.values())


def test_that_a_digest_is_that_of_the_content(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 3_000_000)
    program = (
        "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert digest(path) == done.stdout.strip()

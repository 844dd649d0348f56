import pytest
import torch

from app.core.errors import Unsupported
from app.evaluation.text import cut_windows, evaluation_text, prompts, window_length


class Letters:
    """A tokenizer whose tokens are characters."""

    def __init__(self, opening=None):
        self.opening = opening

    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "letters.txt"
    path.write_text("abcdefgh" * 5)
    return path


def test_that_windows_follow_each_other_through_the_text(text):
    windows = cut_windows(Letters(), tokens=30, context=10, path=text)
    assert windows.tokens.shape == (3, 10)
    assert Letters().decode(windows.tokens.flatten().tolist()) == ("abcdefgh" * 5)[:30]
    assert windows.text == "letters"


def test_that_every_window_opens_as_the_model_expects(text):
    windows = cut_windows(Letters(opening=1), tokens=30, context=10, path=text)
    plain = cut_windows(Letters(), tokens=30, context=10, path=text)
    assert windows.tokens[:, 0].tolist() == [1, 1, 1]
    assert torch.equal(windows.tokens[:, 1:], plain.tokens[:, 1:])


def test_that_a_short_text_makes_one_short_window(text):
    assert cut_windows(Letters(), tokens=4096, context=512, path=text).tokens.shape == (1, 40)


def test_that_a_text_of_a_few_letters_is_refused(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("abc")
    with pytest.raises(Unsupported, match="too short"):
        cut_windows(Letters(), tokens=4096, path=path)


def test_that_the_shipped_text_is_long_enough_for_the_default():
    assert cut_windows(Letters(), tokens=4096).tokens.shape == (8, 512)


def test_that_text_of_unknown_characters_is_read_all_the_same(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("caf\xe9 au lait".encode("latin-1"))
    assert cut_windows(Letters(), tokens=100, path=path).tokens.shape == (1, 12)


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 256}, 256),
        ({"n_positions": 64}, 64),  # as GPT-2 calls it
        ({"max_position_embeddings": 40960}, 512),
        ({}, 512),
    ],
)
def test_that_a_window_is_never_longer_than_the_models_context(config, length):
    assert window_length(config) == length


def test_that_prompts_are_beginnings_of_different_paragraphs():
    found = prompts(Letters(), count=3, length=24)
    starts = {part.strip()[:24] for part in evaluation_text().read_text("utf-8").split("\n\n")}
    assert len({tuple(prompt) for prompt in found}) == 3
    assert all(Letters().decode(prompt) in starts for prompt in found)

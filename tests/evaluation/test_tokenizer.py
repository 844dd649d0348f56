import json
import shutil

import gguf
import numpy as np
import pytest
import tokenizers

from app.core.errors import BadModelFile, Unsupported
from app.core.places import sample_model
from app.evaluation.tokenizer import open_tokenizer
from app.models import open_model

TORTURE = (
    "Don't we'll I'M 12345 1,000.5  two  spaces\ttab\n\n\nlines   \n end",
    "na\u00efve \u00fcber \u6f22\u5b57\u304b\u306a \u0645\u0631\u062d\u0628\u0627",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 \u02bcs",
    "def f(x):\n    return {'a': x**2}  # comment\r\n",
    "before<|end|>after <|begin|> <|not a token|>",
    "",
    " ",
)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(sample_model(), tmp_path / "model")


@pytest.fixture
def make_gguf(tmp_path, folder):
    """A GGUF file with the sample's tokenizer, written by the gguf package."""

    def make(model="gpt2", pre="gpt-2", **flags):
        tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        numbers = tokenizer["model"]["vocab"] | {
            token["content"]: token["id"] for token in tokenizer["added_tokens"]
        }
        tokens = sorted(numbers, key=numbers.get)
        added = {token["content"] for token in tokenizer["added_tokens"]}
        merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
        path = tmp_path / "model.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tokenizer_model(model)
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types([3 if token in added else 1 for token in tokens])
        writer.add_token_merges(flags.pop("merges", merges))
        writer.add_bos_token_id(numbers["<|begin|>"])
        for name, value in flags.items():
            getattr(writer, name)(value)
        writer.add_tensor("token_embd.weight", np.zeros((32, 32), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return open_model(path)

    return make


def test_that_a_gguf_file_tokenizes_as_its_source_does(make_gguf, folder):
    ours = open_tokenizer(make_gguf())
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TORTURE:
        ids = library.encode(text, add_special_tokens=False).ids
        assert ours.encode(text) == ids
        assert ours.decode(ids) == library.decode(ids)


def test_that_a_gguf_file_says_whether_texts_are_opened(make_gguf):
    assert open_tokenizer(make_gguf(add_add_bos_token=True)).opening == 0
    assert open_tokenizer(make_gguf(add_add_bos_token=False)).opening is None
    assert open_tokenizer(make_gguf()).opening is None
    assert open_tokenizer(make_gguf(pre="llama-bpe")).opening == 0


def test_that_an_unknown_kind_of_gguf_tokenizer_is_refused(make_gguf):
    with pytest.raises(Unsupported, match="tokenizer inside this GGUF file"):
        open_tokenizer(make_gguf(model="t5"))
    with pytest.raises(Unsupported):
        open_tokenizer(make_gguf(pre="someone's own"))


def test_that_merges_of_unknown_tokens_are_damage(make_gguf):
    with pytest.raises(BadModelFile, match="cannot be used"):
        open_tokenizer(make_gguf(merges=["no such"]))


def test_that_a_folders_tokenizer_opens_texts_as_its_template_says(folder):
    tokenizer = open_tokenizer(open_model(folder))
    assert tokenizer.opening == 0
    ids = tokenizer.encode(TORTURE[1])
    assert 0 not in ids
    assert tokenizer.decode(ids) == TORTURE[1]


@pytest.mark.parametrize(("setting", "opening"), [(True, 0), (False, None), (None, None)])
def test_that_without_a_template_the_settings_decide(folder, setting, opening):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"post_processor": None}))
    settings = {"bos_token": "<|begin|>", "add_bos_token": setting}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert open_tokenizer(open_model(folder)).opening == opening


@pytest.mark.parametrize("content", ["{}", "[]", "not json", '{"model": {"type": "BPE"}}'])
def test_that_a_damaged_tokenizer_is_refused(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(BadModelFile):
        open_tokenizer(open_model(folder))


def test_that_a_folder_without_a_tokenizer_is_said_to_have_none(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(Unsupported, match="no tokenizer"):
        open_tokenizer(open_model(folder))


@pytest.fixture
def pieces(folder):
    """The folder with a SentencePiece tokenizer in place of its own."""
    sentencepiece = pytest.importorskip("sentencepiece")
    (folder / "tokenizer.json").unlink()
    words = folder / "words.txt"
    words.write_text("\n".join(f"the {a} {b} sees the {b}" for a in "old new" for b in TORTURE[:1]))
    sentencepiece.SentencePieceTrainer.train(
        input=str(words),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return folder


@pytest.mark.parametrize(("settings", "opening"), [({}, 1), ({"add_bos_token": False}, None)])
def test_that_a_sentencepiece_tokenizer_is_read(pieces, settings, opening):
    (pieces / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = open_tokenizer(open_model(pieces))
    assert tokenizer.opening == opening
    assert tokenizer.decode(tokenizer.encode("the old sees\u00fc")) == "the old sees\u00fc"


def test_that_a_damaged_sentencepiece_tokenizer_is_refused(pieces):
    (pieces / "tokenizer.model").write_bytes(b"nothing of the kind")
    with pytest.raises(BadModelFile, match=r"tokenizer\.model"):
        open_tokenizer(open_model(pieces))

"""A model's own tokenizer, wherever the checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from app.core.errors import BadModelFile, Unsupported
from app.models.base import Checkpoint
from app.models.config import read_json
from app.models.gguf_file import GgufFile
from app.models.vocabulary.base import TokenType
from app.models.vocabulary.pretokenizer import expressions_of

_TOKENIZER = "tokenizer.json"
_SETTINGS = "tokenizer_config.json"
_SENTENCEPIECE = "tokenizer.model"

#: Ways to cut text whose models get an opening token where the metadata does not say.
_OPENED_UNLESS_SAID = {"llama-bpe", "tekken"}
_UNMEASURED = "The result can be used, but its quality is not measured."


class Tokenizer(Protocol):
    """Text to token ids and back."""

    @property
    def opening(self) -> int | None:
        """The token that the model expects in front of every text."""

    def encode(self, text: str) -> Sequence[int]:
        """The ids of `text`, without any token that is not in it."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without special tokens."""


class FastTokenizer:
    """A tokenizer of the `tokenizers` library."""

    def __init__(self, tokenizer: Any, opening: int | None) -> None:
        self._tokenizer = tokenizer
        self.opening = opening

    def encode(self, text: str) -> Sequence[int]:
        """See `Tokenizer`."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """See `Tokenizer`."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


class PieceTokenizer:
    """A SentencePiece tokenizer."""

    def __init__(self, processor: Any, *, opens: bool) -> None:
        self._processor = processor
        first: int = processor.bos_id()
        self.opening = first if opens and first >= 0 else None

    def encode(self, text: str) -> Sequence[int]:
        """See `Tokenizer`."""
        ids: list[int] = self._processor.encode(text)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """See `Tokenizer`."""
        return str(self._processor.decode(list(ids)))


def open_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer of a model.

    Raises:
        BadModelFile: It is damaged.
        Unsupported: There is none, or it is of a kind that cannot be run here.
    """
    if isinstance(checkpoint, GgufFile):
        return _of_gguf(checkpoint)
    settings = checkpoint.path / _SETTINGS
    fields = read_json(settings) if settings.exists() else {}
    if (checkpoint.path / _TOKENIZER).exists():
        return _of_json(checkpoint.path / _TOKENIZER, fields)
    if (checkpoint.path / _SENTENCEPIECE).exists():
        return _of_pieces(checkpoint.path / _SENTENCEPIECE, fields)
    raise Unsupported("The model's folder holds no tokenizer.", _UNMEASURED)


def _of_json(path: Path, settings: Mapping[str, Any]) -> Tokenizer:
    import tokenizers

    read_json(path)  # with our limits, before a library without any sees it
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        bare, opened = (
            tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True)
        )
    except Exception as error:  # the library raises nothing narrower
        raise BadModelFile(
            "The model's tokenizer.json cannot be used.", "Download the model again.", str(error)
        ) from error
    opening = opened[0] if opened and opened[:1] != bare[:1] else None
    if opening is None and settings.get("add_bos_token") is True:
        token = settings.get("bos_token")
        opening = tokenizer.token_to_id(token if isinstance(token, str) else "")
    return FastTokenizer(tokenizer, opening)


def _of_pieces(path: Path, settings: Mapping[str, Any]) -> Tokenizer:
    try:
        import sentencepiece
    except ImportError as error:
        raise Unsupported(
            "This model's tokenizer needs the package sentencepiece.", _UNMEASURED
        ) from error
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise BadModelFile(
            "The model's tokenizer.model cannot be used.", "Download the model again.", str(error)
        ) from error
    return PieceTokenizer(processor, opens=settings.get("add_bos_token") is not False)


def _of_gguf(checkpoint: GgufFile) -> Tokenizer:
    """A byte-level BPE tokenizer from the metadata of a GGUF file."""
    get = checkpoint.header.get
    if get("tokenizer.ggml.model") != "gpt2":
        raise Unsupported(
            "The tokenizer inside this GGUF file cannot be run here.",
            "Compare with the folder that the file was made from.",
        )
    pre = get("tokenizer.ggml.pre", "")
    expressions, whole_words = expressions_of(pre)
    try:
        tokenizer = _bpe(
            get("tokenizer.ggml.tokens"), get("tokenizer.ggml.merges"), expressions, whole_words
        )
        _add_special(tokenizer, get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type", ()))
    except Exception as error:  # the library raises nothing narrower
        raise BadModelFile(
            "The tokenizer inside the GGUF file cannot be used.",
            "Download the file again.",
            str(error),
        ) from error
    opens = get("tokenizer.ggml.add_bos_token", pre in _OPENED_UNLESS_SAID)
    return FastTokenizer(tokenizer, get("tokenizer.ggml.bos_token_id") if opens else None)


def _bpe(
    tokens: Sequence[str], merges: Sequence[str], expressions: Sequence[str], whole_words: bool
) -> Any:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = tokenizers.Tokenizer(
        models.BPE(vocab=numbers, merges=pairs, ignore_merges=whole_words)
    )
    cuts = [pre_tokenizers.Split(tokenizers.Regex(one), "isolated") for one in expressions]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cuts, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _add_special(tokenizer: Any, tokens: Sequence[str], types: Sequence[int]) -> None:
    """Tell which tokens are found in a text before it is cut."""
    from tokenizers import AddedToken

    for token, kind in zip(tokens, types, strict=False):
        if kind == TokenType.CONTROL:
            tokenizer.add_special_tokens([AddedToken(token, normalized=False)])
        elif kind == TokenType.USER_DEFINED:
            tokenizer.add_tokens([AddedToken(token, normalized=False)])

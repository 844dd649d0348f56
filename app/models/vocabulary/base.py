"""What a runtime has to know to turn text into tokens and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from app.core.errors import BadModelFile

#: Tokens that models list as plain text but use for control (DeepSeek Coder, Gemma).
_CONTROL = frozenset({"<pad>", "<mask>", "<2mass>", "[@BOS@]"})
_SHOWN = frozenset(
    {
        "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
        "<tool_response|>", '<|"|>',
    }
)  # fmt: skip


class TokenType(IntEnum):
    """What a token is for; numbers as in SentencePiece and GGUF files."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    """Means something to the model, is never part of a text."""
    USER_DEFINED = 4
    """Added text that is always one token."""
    UNUSED = 5
    BYTE = 6
    """One byte, for text that no other token covers."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The tokens with a role."""

    ids: Mapping[str, int] = field(default_factory=dict)
    """Token by role: "bos", "eos", "unk", "sep", "pad", "mask"; "eot" (end of turn) and "eom"
    (end of message) where more than "eos" ends an answer."""
    add_bos: bool = False
    """Whether every text starts with "bos"."""
    add_eos: bool = False
    """Whether every text ends with "eos"."""
    suppressed: tuple[int, ...] = ()
    """Tokens that the model may not say."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens and the rules by which text is cut into them."""

    kind: str
    """"bpe" (merges over bytes, as GPT-2, or over characters, by `pre`), "gemma4" (merges over
    characters, as Gemma 4) or "spm" (SentencePiece: scores)."""
    tokens: tuple[str, ...]
    """One for each row of the embedding, all different."""
    types: tuple[TokenType, ...]
    pre: str = "default"
    """llama.cpp's name for the way text is cut before merging; for "bpe"."""
    merges: tuple[str, ...] = ()
    """Pairs, joined by a space, the first ones first; for "bpe"."""
    scores: tuple[float, ...] = ()
    """The best pair is the one with the highest score; for "spm"."""
    space_prefix: bool = False
    """Whether a space is put in front of a text."""
    special: SpecialTokens = SpecialTokens()
    chat_templates: Mapping[str, str] = field(default_factory=dict)
    """Ways to write a conversation down, by name; the usual one is "default"."""
    notes: tuple[str, ...] = ()
    """What the user should know, a sentence each."""


class TokenList:
    """Tokens by number while a tokenizer is read; holes are filled at the end.

    Args:
        size: Rows of the embedding: every number must be below.
        file: Where the tokens come from, for messages.
    """

    def __init__(self, size: int, file: str) -> None:
        self._file = file
        self._tokens: list[str | None] = [None] * size
        self._types = [TokenType.UNUSED] * size

    def put(self, number: object, token: object, kind: TokenType) -> None:
        """Set a token, or replace it.

        Raises:
            BadModelFile: The number is not one of the embedding's rows.
        """
        if not isinstance(token, str) or type(number) is not int:
            raise self.damaged(f"it lists {str(token)[:40]!r} as number {str(number)[:40]!r}")
        if not 0 <= number < len(self._tokens):
            raise self.damaged(
                f"its token {token[:40]!r} has the number {number}, but the model knows "
                f"{len(self._tokens)} tokens"
            )
        # llama.cpp reads names up to the first zero byte
        self._tokens[number] = token if "\0" not in token else None
        self._types[number] = kind

    def close(self) -> tuple[tuple[str, ...], tuple[TokenType, ...]]:
        """Tokens and types, with names for numbers that no token has.

        Raises:
            BadModelFile: Two numbers have the same token, which runtimes cannot tell apart.
        """
        tokens = tuple(
            f"[PAD{number}]" if token is None else token or f"[EMPTY_{number}]"
            for number, token in enumerate(self._tokens)
        )
        if len(set(tokens)) != len(tokens):
            seen: dict[str, int] = {}
            for number, token in enumerate(tokens):
                if seen.setdefault(token, number) != number:
                    raise self.damaged(
                        f"numbers {seen[token]} and {number} are both the token {token[:40]!r}"
                    )
        return tokens, tuple(self._types)

    def damaged(self, reason: str) -> BadModelFile:
        """An error to raise: `reason` is a clause."""
        return BadModelFile(
            f"The tokenizer ({self._file}) is damaged: {reason}.",
            "Download the tokenizer's files again.",
        )


def added_type(token: str, special: object) -> TokenType:
    """Type of an added token.

    Tokens in marks like <|im_end|> steer a conversation even where the tokenizer's author
    forgot to say so; runtimes find its end by them. Those of Gemma 4 in `_SHOWN` are special,
    but runtimes have to see them in an answer to understand it.
    """
    if token in _SHOWN:
        return TokenType.USER_DEFINED
    marked = token.startswith(("<|", "<\uff5c")) and token.endswith(("|>", "\uff5c>"))
    reserved = token in _CONTROL or (token.startswith("<unused") and token.endswith(">"))
    control = special is True or marked or reserved
    return TokenType.CONTROL if control else TokenType.USER_DEFINED

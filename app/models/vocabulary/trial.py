"""Try out whether an unknown way of cutting text does the same as a known one.

The pre-tokenizer of a tokenizer.json is run by the library that it was written for, on text
in which every kind of character meets every other; no code of the model is run. Patterns
that are built differently, such as with possessive quantifiers or in another order, then
turn out to be the same. Equal words prove more than equal tokens: the latter hold for the
model's own vocabulary only, so that this is also tried on every token of it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from app.models.vocabulary.ways import Way

#: One or two of every kind of character that an expression may tell apart.
_KINDS = "aBé\u01c5\u02b0字ひ가\u0e02\u093e\u0301\u06637½._'/+€ \t\n\r\u00a0\u200d😀"

_TEXTS = (
    "The quick brown fox doesn't jump; it's lazy, we're told I'LL, you'Ve, HE'D 'tis don''t",
    "".join(f"x{'1234567890123'[:n]} " for n in range(1, 14)) + "3.14 1,000,000 2026-11-22",
    "".join(f"a{' ' * n}b{chr(10) * n}c{chr(9) * n}" for n in range(1, 34)) + " \n ",
    "def f(x):\r\n\treturn {'a': x**2, \"b\": [x != 0]}  # ok\n\n\n    pass // --->> <|x|>",
    "snake_case CamelCase HTTPServer SCREAMING kebab-case ...!!!??? ---- *** (a)[b]{c}",
    "naïve Ångström ΕλληνικάΚείμενα Русский языкИмя cafe\u0301 Straße İstanbul ǅungla",
    "日本語のテキスト 中文文本\uff0c「测试」。 한국어 문장 ㅋㅋ ไทยไทย हिन्दी ক্ষ عربى עִבְרִית ကမ္ဘာ",
    "🦙🤗👩🏽\u200d💻 ⚡️ inside🙂emoji a\u00a0b\u2003c\u200bd\ufeffe \u2028 \uff15\uff16\uff17 ⅣⅤ",
    "https://example.com/a?b=c&d=%20#e user@mail.org C:\\path\\file.txt $12.50 50% #1 ~/x",
    " ",
    "\n",
    "x",
)


class Trial:
    """A tokenizer.json to be compared with ways of llama.cpp.

    Args:
        tokenizer: Its content; the model is byte-level BPE.
    """

    def __init__(self, tokenizer: Mapping[str, Any]) -> None:
        self._model = tokenizer["model"]
        self._whole_words = self._model.get("ignore_merges") is True
        kinds = ("".join(part) for part in itertools.product(_KINDS, repeat=3))
        self._texts = (*_TEXTS, "".join(kinds))
        self._library = _read(self._model, tokenizer.get("pre_tokenizer"))
        self._own = self._library and self._library.pre_tokenizer

    @property
    def size(self) -> int:
        """Number of tokens in the vocabulary."""
        return len(self._model["vocab"])

    def same_words(self, way: Way) -> bool:
        """Whether all texts are cut alike."""
        if self._library is None:
            return False
        other = _pre_tokenizer(way)
        return all(_words(self._own, text) == _words(other, text) for text in self._texts)

    def same_tokens(self, way: Way) -> bool:
        """Whether all texts, and all tokens as texts, become the same tokens."""
        if self._library is None:
            return False
        wanted = self._tokens_of_texts
        self._use(_pre_tokenizer(way), way.whole_words)
        pairs = zip(self._texts, wanted, strict=True)  # the long text comes last
        alike = all(self._library.encode(text).ids == tokens for text, tokens in pairs)
        return alike and self._differing(way, self._model["vocab"]) == 0

    def lost_tokens(self, way: Way) -> int:
        """How many tokens become others in a way that cuts the same words.

        That happens to words that are tokens but not the outcome of merges, if such words stay
        whole in one way and not in the other.
        """
        if self._library is None:
            return self.size
        model = self._library.model
        model.ignore_merges = False
        return self._differing(way, [t for t in self._model["vocab"] if len(model.tokenize(t)) > 1])

    def _differing(self, way: Way, tokens: Iterable[str]) -> int:
        """How many of `tokens`, read as text, become others than they should."""
        from tokenizers import decoders

        decoder = decoders.ByteLevel()
        texts = [text for text in (decoder.decode([token]) for token in tokens)
                 if text and "\ufffd" not in text]  # fmt: skip
        self._use(self._own, self._whole_words)
        wanted = self._encode(texts)
        self._use(_pre_tokenizer(way), way.whole_words)
        return sum(one != two for one, two in zip(self._encode(texts), wanted, strict=True))

    @cached_property
    def _tokens_of_texts(self) -> list[list[int]]:
        self._use(self._own, self._whole_words)
        return self._encode(self._texts)

    def _use(self, pre_tokenizer: Any, whole_words: bool) -> None:
        self._library.model.ignore_merges = whole_words
        self._library.pre_tokenizer = pre_tokenizer

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        batch = self._library.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in batch]


def _read(model: Any, pre_tokenizer: Any) -> Any:
    """The tokenizer without the tokens that are found before a text is cut.

    None where the library cannot read it.
    """
    import tokenizers

    parts = {"version": "1.0", "pre_tokenizer": pre_tokenizer, "model": model}
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(parts))
    except Exception:  # noqa: BLE001 - the library raises nothing narrower
        return None


def _pre_tokenizer(way: Way) -> Any:
    from tokenizers import Regex, pre_tokenizers

    cuts = [pre_tokenizers.Split(Regex(one), "isolated") for one in way.expressions]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*cuts, to_bytes])


def _words(pre_tokenizer: Any, text: str) -> list[str]:
    return [word for word, _ in pre_tokenizer.pre_tokenize_str(text)]

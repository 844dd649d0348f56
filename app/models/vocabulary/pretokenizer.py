"""Recognise the way a tokenizer cuts text before it merges.

llama.cpp implements a fixed set of ways, each with a name. A tokenizer.json describes its
way as a sequence of steps. Both are brought to one form, the list of regular expressions
that cut the text one after another, and compared. Unlike a hash over the tokens of some
text, this also recognises models with changed or added tokens; and what is not recognised
is refused, because a wrong cut makes a model stutter without any visible error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.core.errors import Unsupported

# Building blocks, in the notation of llama.cpp's llama-vocab.cpp and of tokenizer.json alike.
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
)
_CASED_REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}|{_REST}"
_DIGIT = r"\p{N}"
_DIGITS = r"\p{N}+"
_EAST_ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_HAN_AND_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_QWEN35 = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SEED_CODER = rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"{_CASED[0]}|{_CASED[1]}|\p{{N}}|{_CASED_REST}"
_GPT4O = rf"{_CASED[0]}{_CONTRACTION}?|{_CASED[1]}{_CONTRACTION}?|\p{{N}}{{1,3}}|{_CASED_REST}"

#: Name by the expressions and by `ignore_merges` (a word that is a token is taken whole).
_KNOWN = {
    ((_GPT2,), False): "gpt-2",
    ((_DIGIT, _GPT2), False): "smollm",
    ((_LLAMA3,), True): "llama-bpe",
    ((_LLAMA3,), False): "smaug-bpe",
    ((_QWEN2,), False): "qwen2",
    ((_QWEN35,), False): "qwen35",
    ((_TEKKEN,), True): "tekken",
    ((_GPT4O,), False): "gpt-4o",
    ((_SEED_CODER,), False): "seed-coder",
    ((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _EAST_ASIAN, _DIGIT), False): "deepseek-coder",
    ((r"\p{N}{1,3}", _HAN_AND_KANA, _DEEPSEEK3), False): "deepseek-v3",
}


def recognise_pretokenizer(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for what a tokenizer.json does before merging.

    Raises:
        Unsupported: llama.cpp has no such way, or it is not known here.
    """
    expressions = tuple(_expressions(tokenizer.get("pre_tokenizer")))
    ignore_merges = tokenizer["model"].get("ignore_merges") is True
    name = _KNOWN.get((expressions, ignore_merges))
    if name is None:
        raise unknown_way("It cuts text into words in an unknown way.", "\n".join(expressions))
    _check_normalizer(tokenizer.get("normalizer"))
    return name


def expressions_of(name: str) -> tuple[tuple[str, ...], bool]:
    """The expressions behind llama.cpp's `name`, and whether words that are tokens stay whole.

    Raises:
        Unsupported: The name is not known here.
    """
    for way, known in _KNOWN.items():
        if known == name:
            return way
    raise unknown_way("It cuts text into words in an unknown way.", name)


def unknown_way(reason: str, details: str) -> Unsupported:
    """An error to raise for a tokenizer that a GGUF file cannot describe."""
    return Unsupported(
        f"This model's tokenizer is not supported. {reason}",
        "A converted model would read text wrongly. Choose another model of the same family.",
        details,
    )


def _expressions(step: Any) -> list[str]:
    """The regular expressions that a pre-tokenizer cuts by, one after another.

    Every step is of the kind that keeps all text; a step of another kind is given by a name
    that no known way has.
    """
    if not isinstance(step, Mapping):
        return [f"<{step!r}>"]
    match step.get("type"):
        case "Sequence":
            steps = step.get("pretokenizers")
            inner = steps if isinstance(steps, list) else []
            return [expression for part in inner for expression in _expressions(part)]
        case "ByteLevel" if not step.get("add_prefix_space"):
            return [_GPT2] if step.get("use_regex", True) else []
        case "Digits":
            return [_DIGIT if step.get("individual_digits") else _DIGITS]
        case "Split" if _keeps_all(step):
            return [_expression(step.get("pattern"))]
    return [f"<{str(step)[:2000]}>"]


def _keeps_all(step: Mapping[str, Any]) -> bool:
    """Whether matches and the text between them both become pieces.

    With "Removed" and "invert", what lies between matches is dropped; the expressions of
    language models match everything, so that nothing lies there.
    """
    behavior, invert = step.get("behavior"), step.get("invert", False)
    return behavior == "Isolated" or (behavior == "Removed" and invert is True)


def _expression(pattern: Any) -> str:
    """One notation for expressions that mean the same."""
    if not isinstance(pattern, Mapping):
        return f"<{pattern!r}>"
    plain = pattern.get("String")
    if isinstance(plain, str):
        return re.escape(plain)
    text = str(pattern.get("Regex"))
    # The rule of the GPT-4 family is written with the contractions spelled out or not.
    spelled = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    text = text.replace(spelled, _CONTRACTION).replace("{1}", "")
    return text.replace("\r", r"\r").replace("\n", r"\n")


def _check_normalizer(normalizer: Any) -> None:
    """Refuse changes of the text that llama.cpp does not make.

    Unicode composition (NFC) is let through: nearly all text is composed already.
    """
    if normalizer is None:
        return
    kind = normalizer.get("type") if isinstance(normalizer, Mapping) else None
    if kind == "Sequence" and isinstance(normalizer.get("normalizers"), list):
        for part in normalizer["normalizers"]:
            _check_normalizer(part)
    elif kind != "NFC":
        raise unknown_way("It changes text in a way that llama.cpp cannot.", str(normalizer)[:2000])

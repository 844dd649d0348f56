"""Recognise the way a tokenizer cuts text before it merges.

llama.cpp implements a fixed set of ways, each with a name. A tokenizer.json describes its
way as a sequence of steps. Both are brought to one form, the list of regular expressions
that cut the text one after another, and compared. Unlike a hash over the tokens of some
text, this also recognises models with changed or added tokens. A way that is written in
other words is tried out on text made to be difficult. What is not recognised is refused,
because a wrong cut makes a model stutter without any visible error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.core.errors import Unsupported
from app.models.vocabulary.trial import Trial
from app.models.vocabulary.ways import (
    AGREEING,
    CONTRACTION,
    DIGIT,
    DIGITS,
    GPT2,
    PUNCTUATION,
    WAYS,
    Way,
    way_named,
)

_UNKNOWN = "It cuts text into words in an unknown way."
#: Of the tokens, this share may be out of reach of llama.cpp before a model is refused.
_TOLERATED = 0.01
#: Spellings of the endings 's, 't, 're, 've, 'm, 'll and 'd in any case.
_SPELLED = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
    r"(?:'(?i:s|t|re|ve|m|ll|d))",
    r"(?i:'(?:s|t|re|ve|m|ll|d))",
)


def recognise_pretokenizer(tokenizer: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """llama.cpp's name for what a tokenizer.json does before merging, and notes for the user.

    Args:
        tokenizer: Content of tokenizer.json with a byte-level BPE model.

    Raises:
        Unsupported: llama.cpp has no such way, or it is not known here.
    """
    _check_normalizer(tokenizer.get("normalizer"))
    steps = tokenizer.get("pre_tokenizer")
    expressions = tuple(_expressions(steps))
    if not has_byte_level(steps):
        raise unknown_way("It does not work on bytes.", "\n".join(expressions))
    if not _ends_with_bytes(steps):
        expressions = (*expressions, "<over bytes>")
    whole_words = tokenizer["model"].get("ignore_merges") is True
    known = sorted(
        (way for way in WAYS if way.expressions == expressions),
        key=lambda way: way.whole_words != whole_words,
    )
    if known and known[0].whole_words == whole_words:
        return known[0].names[0], ()
    trial = Trial(tokenizer)
    if known:
        return known[0].names[0], _out_of_reach(trial, known[0])
    agreeing = way_named(AGREEING.get(expressions, ""))
    if agreeing is not None and trial.same_tokens(agreeing):
        return agreeing.names[0], ()
    way, notes = _found_by_trial(trial, whole_words)
    if way is None:
        raise unknown_way(_UNKNOWN, "\n".join(expressions))
    return way.names[0], notes


def _out_of_reach(trial: Trial, way: Way) -> tuple[str, ...]:
    """Notes on a way that differs only in whether words that are tokens stay whole.

    Raises:
        Unsupported: That makes a difference for many tokens.
    """
    lost = trial.lost_tokens(way)
    if not lost:
        return ()
    if lost > _TOLERATED * trial.size:
        raise unknown_way(
            "Its list of pairs to merge is incomplete.",
            f"{lost} of {trial.size} tokens differ for {way.names[0]}",
        )
    return (f"llama.cpp reads words that are one of {lost} rare tokens as other tokens.",)


def _found_by_trial(trial: Trial, whole_words: bool) -> tuple[Way | None, tuple[str, ...]]:
    """The way that does the same as the unknown one under trial."""
    ways = sorted(WAYS, key=lambda way: way.whole_words != whole_words)
    alike = next((way for way in ways if trial.same_words(way)), None)
    if alike is not None:
        note = (
            "How the tokenizer cuts text into words is not known by name. "
            f"In all trials the words were those of \u201c{alike.names[0]}\u201d."
        )
        notes = () if alike.whole_words == whole_words else _out_of_reach(trial, alike)
        return alike, (note, *notes)
    alike = next((way for way in ways if trial.same_tokens(way)), None)
    if alike is None:
        return None, ()
    note = (
        "How the tokenizer cuts text into words is not known. "
        f"In all trials \u201c{alike.names[0]}\u201d led to the same tokens."
    )
    return alike, (note,)


def expressions_of(name: str) -> tuple[tuple[str, ...], bool]:
    """The expressions behind llama.cpp's `name`, and whether words that are tokens stay whole.

    Raises:
        Unsupported: The name is not known here.
    """
    way = way_named(name)
    if way is None:
        raise unknown_way(_UNKNOWN, name)
    return way.expressions, way.whole_words


def unknown_way(reason: str, details: str) -> Unsupported:
    """An error to raise for a tokenizer that a GGUF file cannot describe."""
    return Unsupported(
        f"This model's tokenizer is not supported. {reason}",
        "A converted model would read text wrongly. Choose another model of the same family.",
        details,
    )


def has_byte_level(step: Any) -> bool:
    """Whether a pre-tokenizer turns bytes into characters of their own, as GPT-2 does."""
    if not isinstance(step, Mapping):
        return False
    inner = step.get("pretokenizers")
    if step.get("type") == "Sequence" and isinstance(inner, list):
        return any(has_byte_level(part) for part in inner)
    return step.get("type") == "ByteLevel"


def _ends_with_bytes(step: Any) -> bool:
    """Whether no step follows that would see bytes instead of text.

    Some bytes are written as digits: the second one of a letter may be.
    """
    inner = step.get("pretokenizers")
    return not isinstance(inner, list) or has_byte_level(inner[-1])


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
            return [GPT2] if step.get("use_regex", True) else []
        case "Digits":
            return [DIGIT if step.get("individual_digits") else DIGITS]
        case "Punctuation" if step.get("behavior", "Isolated") in {"Isolated", "Contiguous"}:
            return [PUNCTUATION + "+" * (step.get("behavior") == "Contiguous")]
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
    for spelled in _SPELLED:
        text = text.replace(spelled, CONTRACTION)
    return text.replace("{1}", "").replace("\r", r"\r").replace("\n", r"\n")


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

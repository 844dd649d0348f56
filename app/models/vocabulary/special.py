"""Tokens with a role: from the files beside the tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.models.config import read_json
from app.models.vocabulary.base import SpecialTokens, Vocabulary

CONFIG_FILE = "tokenizer_config.json"
_GENERATION_FILE = "generation_config.json"
_ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")
#: Tokens that llama.cpp takes for the end of an answer by their names.
_KNOWN_ENDS = frozenset(
    {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
        "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]",
        "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>", "[e~[",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """The small files of a model's folder that say how its tokenizer is used."""

    tokenizer_config: Mapping[str, Any]
    model_config: Mapping[str, Any]
    generation_config: Mapping[str, Any]

    def token(self, role: str, tokens: Sequence[str]) -> int | None:
        """Number of the token with a role, if there is one."""
        given = self.tokenizer_config.get(f"{role}_token")
        text = given.get("content") if isinstance(given, Mapping) else given
        if isinstance(text, str) and text in tokens:
            return tokens.index(text)
        numbers = self._numbers(self.model_config, f"{role}_token_id", len(tokens))
        return next(iter(numbers), None)

    def ends(self, size: int) -> list[int]:
        """All tokens that end an answer, of the `size` tokens that there are."""
        configs = (self.generation_config, self.model_config)
        return [id_ for config in configs for id_ in self._numbers(config, "eos_token_id", size)]

    def suppressed(self, size: int) -> tuple[int, ...]:
        """Tokens that the model may not say."""
        return tuple(self._numbers(self.generation_config, "suppress_tokens", size))

    def _numbers(self, config: Mapping[str, Any], key: str, size: int) -> Iterator[int]:
        """The token or tokens that a config names, in its part about text if need be."""
        text = config.get("text_config")
        given = config.get(key)
        if given is None and isinstance(text, Mapping):
            given = text.get(key)
        for number in given if isinstance(given, list) else [given]:
            if type(number) is int and 0 <= number < size:
                yield number


def special_tokens(
    settings: Settings, tokenizer: Mapping[str, Any], vocabulary: Vocabulary
) -> SpecialTokens:
    """Roles, and whether texts get a first and a last token.

    Args:
        settings: The files beside the tokenizer.
        tokenizer: Content of tokenizer.json; empty where there is none.
        vocabulary: With what holds where nobody says more.
    """
    tokens = vocabulary.tokens
    ids = dict(vocabulary.special.ids)
    for role in _ROLES:
        number = settings.token(role, tokens)
        if number is not None:
            ids[role] = number
    add_bos, add_eos = vocabulary.special.add_bos, False
    template = _template(tokenizer.get("post_processor"))
    explicit = {key: settings.tokenizer_config.get(f"add_{key}_token") for key in ("bos", "eos")}
    if any(isinstance(value, bool) for value in explicit.values()):
        # transformers then rebuilds the template, whatever tokenizer.json says
        add_bos, add_eos = explicit["bos"] is True, explicit["eos"] is True
    elif template is not None:
        before, after = ([name for name in names if name in tokens] for names in template)
        add_bos, add_eos = len(before) == 1, len(after) == 1
        if before:
            ids["bos"] = tokens.index(before[0])
        if add_eos:
            ids["eos"] = tokens.index(after[0])
    ids |= _further_ends(settings, tokens, ids.get("eos"))
    return SpecialTokens(
        ids, add_bos and "bos" in ids, add_eos and "eos" in ids, settings.suppressed(len(tokens))
    )


def _further_ends(settings: Settings, tokens: Sequence[str], eos: int | None) -> dict[str, int]:
    """Ends of an answer that llama.cpp would not find by itself, in the two roles it has."""
    further = [
        number
        for number in dict.fromkeys(settings.ends(len(tokens)))
        if number != eos and tokens[number] not in _KNOWN_ENDS
    ]
    return dict(zip(("eot", "eom"), further, strict=False))


def _template(processor: Any) -> tuple[Sequence[str], Sequence[str]] | None:
    """The tokens that a tokenizer.json puts in front of a text and behind it.

    None where it does not say at all. llama.cpp can put one token on each side. Models that
    start with more, such as GLM with [gMASK]<sop>, have them in their chat template as well.
    """
    if not isinstance(processor, Mapping):
        return None
    if processor.get("type") == "Sequence":
        parts = processor.get("processors")
        said = [_template(part) for part in (parts if isinstance(parts, list) else [])]
        # a part that puts something there decides over parts that put nothing
        return max((found for found in said if found is not None), key=any, default=None)
    if processor.get("type") == "ByteLevel":
        return (), ()
    single = processor.get("single")
    if processor.get("type") != "TemplateProcessing" or not isinstance(single, list) or not single:
        return None
    names = [_special(part) for part in single]
    at = names.index("") if "" in names else len(names)
    return names[:at], names[at + 1 :]


def _special(part: Any) -> str:
    """The special token of one part of a template; "" where it is the text."""
    token = part.get("SpecialToken") if isinstance(part, Mapping) else None
    name = token.get("id") if isinstance(token, Mapping) else None
    return name if isinstance(name, str) else ""


def read_settings(folder: Path, model_config: Mapping[str, Any]) -> Settings:
    """Read the tokenizer's settings, if there are any.

    Raises:
        BadModelFile: A file is damaged.
    """
    files = (folder / CONFIG_FILE, folder / _GENERATION_FILE)
    tokenizer, generation = (read_json(file) if file.exists() else {} for file in files)
    return Settings(tokenizer, model_config, generation)

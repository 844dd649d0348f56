"""Rotary position embedding: its parameters in config.json, in GGUF and as numbers.

Su et al., "RoFormer", arXiv:2104.09864. Scaling to longer contexts: linear, YaRN (Peng et
al., arXiv:2309.00071), and the wavelength rule of Llama 3.1, for which llama.cpp takes a
tensor of divisors (`rope_freqs.weight`) instead of parameters.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures.base import ROPE_FACTORS, Config

_YARN_RAMP = {"beta_fast": 32, "beta_slow": 1, "truncate": True, "mscale": None}
_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
_KEPT_FREQUENCY = 1e-5  # a divisor this near to 1 or to the factor is taken for equal to it


@dataclass(frozen=True, slots=True)
class Rope:
    """How positions are rotated."""

    theta: float
    """Base of the wavelengths."""
    kind: str = "default"
    """"default", "linear", "yarn", "llama3" or "longrope"."""
    parameters: Mapping[str, float] | None = None
    """Of the scaling, by transformers' names."""
    short: tuple[float, ...] = ()
    """LongRoPE: what each frequency is divided by in texts of the original length."""
    long: tuple[float, ...] = ()
    """LongRoPE: the same in longer texts."""
    log_multiplier: float = 0.0
    """YaRN: how fast the temperature grows, for families that tell it; 0: as in the paper."""

    @classmethod
    def from_config(cls, config: Config, default_theta: float, *, partial: bool = False) -> Rope:
        """Read config.json, in the notation of any version of transformers.

        Args:
            config: Its content.
            default_theta: What holds where it is silent.
            partial: Whether the family may leave some of a head as it is.

        Raises:
            BadModelFile: A parameter is missing or not a number.
            Unsupported: A kind of scaling that llama.cpp does not have for these families.
        """
        given = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if not isinstance(given, Mapping):
            raise BadModelFile(
                "The parameters of the position embedding are not a group of values.",
                "The model's description (config.json) is damaged. Download it again.",
            )
        theta = _number(given.get("rope_theta", config.get("rope_theta", default_theta)))
        kind = str(given.get("rope_type") or given.get("type") or "default").lower()
        if not partial and rotated_share(config, 1.0) != 1:
            kind = "partial"
        if kind == "default":
            return cls(theta)
        if kind == "linear":
            return cls(theta, kind, {"factor": _number(given.get("factor"))})
        if kind == "llama3":
            return cls(theta, kind, {key: _number(given.get(key)) for key in _LLAMA3})
        if kind == "yarn":
            return cls(theta, kind, _yarn(given, config))
        if kind in {"longrope", "su"}:
            short, long = _factors(given, "short_factor"), _factors(given, "long_factor")
            return cls(theta, "longrope", _longrope(given, config), short, long)
        raise Unsupported(
            f"This model stretches its context by the {kind!r} rule, which llama.cpp does not have "
            "for this kind of model.",
            "Choose a model without it.",
            f"rope parameters: {given}",
        )

    def to_config(self) -> dict[str, Any]:
        """The entries of config.json."""
        scaling = self.parameters or {}
        return {"rope_parameters": {"rope_type": self.kind, "rope_theta": self.theta, **scaling}}

    def metadata(self) -> dict[str, Any]:
        """The entries of a GGUF file, without the architecture's prefix."""
        entries: dict[str, Any] = {"rope.freq_base": float(self.theta)}
        if self.kind in {"linear", "yarn"}:
            assert self.parameters is not None
            entries["rope.scaling.type"] = self.kind
            entries["rope.scaling.factor"] = float(self.parameters["factor"])
        if self.kind == "longrope":
            assert self.parameters is not None
            known = self.parameters
            entries["rope.scaling.type"] = self.kind
            entries["rope.scaling.original_context_length"] = int(
                known["original_max_position_embeddings"]
            )
            entries["rope.scaling.attn_factor"] = known["attention_factor"]
        if self.kind == "yarn":
            assert self.parameters is not None
            known = self.parameters
            entries["rope.scaling.original_context_length"] = int(
                known["original_max_position_embeddings"]
            )
            if self.log_multiplier:
                entries["rope.scaling.yarn_log_multiplier"] = self.log_multiplier
            if "attention_factor" in known:
                # llama.cpp multiplies this with YaRN's usual factor, transformers replaces it
                share = known["attention_factor"] / _usual_attention(known["factor"])
                entries["rope.scaling.attn_factor"] = share
        return entries

    @classmethod
    def from_metadata(
        cls, entries: Mapping[str, Any], divisors: Sequence[float] | None, head: int
    ) -> Rope:
        """Inverse of `metadata` and `divisors`.

        Args:
            entries: The file's metadata without the architecture's prefix.
            divisors: Content of `rope_freqs.weight`, if there is one.
            head: Elements of a head.

        Raises:
            BadModelFile: A parameter is missing or not a number.
            Unsupported: The divisors follow another rule than Llama 3's.
        """
        theta = _number(entries.get("rope.freq_base", 10000.0))
        if divisors is not None:
            return _of_divisors(theta, divisors, head)
        kind = entries.get("rope.scaling.type", "none")
        if kind == "linear":
            return cls(theta, "linear", {"factor": _number(entries.get("rope.scaling.factor"))})
        if kind == "longrope":
            raise Unsupported(
                "This file stretches its context by a rule that is not stored in it as a whole.",
                "Start from the original folder with .safetensors files instead.",
            )
        if kind != "yarn":
            return cls(theta)
        factor = _number(entries.get("rope.scaling.factor"))
        known = {
            "factor": factor,
            "original_max_position_embeddings": _number(
                entries.get("rope.scaling.original_context_length")
            ),
            "attention_factor": _usual_attention(factor)
            * _number(entries.get("rope.scaling.attn_factor", 1.0)),
        }
        return cls(theta, "yarn", known)

    def divisors(self, head: int) -> list[float] | None:
        """What each frequency is divided by (head / 2 numbers); None where nothing is stored."""
        if self.kind != "llama3":
            return None
        assert self.parameters is not None
        factor, low, high, context = (self.parameters[key] for key in _LLAMA3)
        result = []
        for wavelength in _wavelengths(self.theta, head):
            # 1 keeps a frequency (short waves), 0 divides it by the factor (long waves)
            kept = (context / wavelength - low) / (high - low)
            result.append(
                1 / ((1 - kept) / factor + kept) if 0 < kept < 1 else (factor if kept <= 0 else 1.0)
            )
        return result


def rotated_share(config: Config, default: float) -> float:
    """Share of a head's elements that is rotated.

    Raises:
        BadModelFile: It is no positive number.
    """
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    places = (given, config) if isinstance(given, Mapping) else (config,)
    for place in places:
        if place.get("partial_rotary_factor") is not None:
            return _number(place["partial_rotary_factor"])
    return default


def _wavelengths(theta: float, head: int) -> list[float]:
    return [2 * math.pi * theta ** (2 * j / head) for j in range(head // 2)]


def _usual_attention(factor: float) -> float:
    """YaRN's attention temperature, section 3.4 of the paper."""
    return 0.1 * math.log(factor) + 1 if factor > 1 else 1.0


def _longrope(given: Mapping[str, Any], config: Config) -> dict[str, float]:
    """Original context and temperature; Ding et al., "LongRoPE", arXiv:2402.13753."""
    context = _number(config.get("max_position_embeddings"))
    original = _number(
        given.get("original_max_position_embeddings")
        or config.get("original_max_position_embeddings", context)
    )
    factor = _number(given.get("factor") or context / original)
    usual = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 < original else 1.0
    attention = given.get("attention_factor")
    return {
        "original_max_position_embeddings": original,
        "attention_factor": usual if attention is None else _number(attention),
    }


def _factors(given: Mapping[str, Any], key: str) -> tuple[float, ...]:
    values = given.get(key)
    if not isinstance(values, list):
        values = [None]
    return tuple(float(_number(value)) for value in values)


def _yarn(given: Mapping[str, Any], config: Config) -> dict[str, float]:
    fallback = config.get("original_max_position_embeddings", config.get("max_position_embeddings"))
    context = given.get("original_max_position_embeddings") or fallback
    known = {
        "factor": _number(given.get("factor")),
        "original_max_position_embeddings": _number(context),
    }
    if given.get("attention_factor") is not None:
        known["attention_factor"] = _number(given["attention_factor"])
    for key, usual in _YARN_RAMP.items():
        # llama.cpp reads these from the file for a few other families only
        value = given.get(key)
        if value is not None and value != usual:
            raise Unsupported(
                "This model uses a variant of YaRN that llama.cpp does not have for it.",
                "Choose a model without it.",
                f"rope parameters: {given}",
            )
    return known


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        raise BadModelFile(
            f"A parameter of the position embedding is {str(value)[:40]!r}, not a positive number.",
            "The model's description (config.json) is damaged. Download it again.",
        )
    return value


def _of_divisors(theta: float, divisors: Sequence[float], head: int) -> Rope:
    if len(divisors) == head // 2 and all(0.5 < divisor < 1e6 for divisor in divisors):
        with contextlib.suppress(ZeroDivisionError):
            rope = Rope(theta, "llama3", _llama3_parameters(theta, divisors, head))
            again = rope.divisors(head) or ()
            if all(map(_is_near, again, divisors)):
                return rope
    raise Unsupported(
        "This file stretches its context by an unknown rule.",
        "Its quality cannot be measured, but programs that load GGUF files may run it.",
        f"{ROPE_FACTORS}: {list(divisors)[:256]}",
    )


def _is_near(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=1e-3)


def _llama3_parameters(theta: float, divisors: Sequence[float], head: int) -> dict[str, float]:
    """Parameters that lead to `divisors`.

    Between the short and the long waves, the kept share is a line in 1 / wavelength. Its
    slope is context / (high - low) and it is 0 at low / context, so of the three numbers one
    is free; low = 1 is what Llama uses, and the context is a whole number.
    """
    factor = max(divisors)
    waves = _wavelengths(theta, head)
    between = [
        ((1 / divisor - 1 / factor) / (1 - 1 / factor), 1 / wave)
        for divisor, wave in zip(divisors, waves, strict=True)
        if 1 + _KEPT_FREQUENCY < divisor < factor * (1 - _KEPT_FREQUENCY)
    ]
    if len(between) < 2:
        # too few waves lie between to tell: the numbers that every Llama 3 has
        return {
            "factor": factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }
    (kept, inverse), (kept_last, inverse_last) = between[0], between[-1]
    slope = (kept - kept_last) / (inverse - inverse_last)
    zero = inverse_last - kept_last / slope  # low / context
    context = round(1 / zero)
    low = context * zero
    return {
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": low + context / slope,
        "original_max_position_embeddings": context,
    }

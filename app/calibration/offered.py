"""The methods that a person may choose from for a result, described for a list and a form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from app.calibration.treatment import CASTS, Treatment, method_options
from app.core.model import MethodFacts, OptionFacts
from app.core.plan import Plan
from app.encodings import find_encoding
from app.encodings.as_stored import AsStored
from app.encodings.base import Encoding
from app.methods import METHODS, SMOOTHINGS
from app.methods.base import Method
from app.methods.nearest import Nearest
from app.methods.options import Option

_FOR_INPUTS = frozenset({"smoothquant"})
"""Smoothings that only help where programs round what weights are multiplied with, too."""
_AFTER_SMOOTHING = ("gptq",)
"""Ways of rounding that are offered behind a smoothing, beside the usual one."""


def methods_for(plan: Plan, *, rounds_inputs: bool) -> tuple[str, ...]:
    """Names of the methods that can choose most of a result's numbers, the simplest first."""
    weights: Counter[str] = Counter()
    for tensor in plan.tensors:
        weights[tensor.encoding] += tensor.weights
    codes = {
        encoding: weights[encoding.name]
        for encoding in map(find_encoding, weights)
        if encoding.name not in CASTS and not isinstance(encoding, AsStored)
    }
    if not codes:
        return (Nearest.name,)
    plain = [name for name in METHODS if name != Nearest.name and _fits(METHODS[name](), codes)]
    smooth = [name for name in SMOOTHINGS if rounds_inputs or (plain and name not in _FOR_INPUTS)]
    both = [f"{one}+{two}" for one in smooth for two in _AFTER_SMOOTHING if two in plain]
    return (Nearest.name, *plain, *smooth, *both)


def describe_methods(names: Iterable[str]) -> tuple[MethodFacts, ...]:
    """What lists and forms say of methods, each once."""
    return tuple(_facts(name) for name in dict.fromkeys(names))


def _fits(method: Method, codes: Mapping[Encoding, int]) -> bool:
    """Whether a method fills at least half of the weights, given by their encodings."""
    filled = sum(count for encoding, count in codes.items() if method.fits(encoding))
    return 2 * filled >= sum(codes.values())


def _facts(name: str) -> MethodFacts:
    treatment = Treatment.of(name)
    summary = " ".join(_summary({**METHODS, **SMOOTHINGS}[part]) for part in name.split("+"))
    options = tuple(_option(option) for option in method_options(name))
    return MethodFacts(name, summary, bool(treatment.needs), options)


def _summary(kind: type[Any]) -> str:
    """The first paragraph of a class's docstring, which is what people are told of it."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


def _option(option: Option) -> OptionFacts:
    return OptionFacts(
        name=option.name,
        sentence=option.sentence,
        kind={bool: "switch", int: "whole", float: "number"}.get(option.type, "numbers"),
        default=option.written(option.default),
        optional=option.optional,
        least=option.least,
        most=option.most,
        values=option.values,
    )

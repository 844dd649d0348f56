"""What a recipe's method stands for: a way of rounding, perhaps after a smoothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from app.core.errors import Unsupported
from app.core.plan import Plan
from app.encodings import find_encoding
from app.encodings.base import DTYPE_BYTES, Encoding
from app.methods import METHODS, SMOOTHINGS
from app.methods.base import Method, Smoothing
from app.methods.clipped import Clipped
from app.methods.nearest import Nearest
from app.methods.options import Option, options_of, with_options

_AND = "+"
CASTS = frozenset(DTYPE_BYTES)
"""Encodings without codes to choose."""
_AFTER_SMOOTHING = Clipped()
"""What rounds behind a smoothing where nothing is said."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """How the numbers of a result are chosen."""

    methods: tuple[Method, ...]
    """Ways of rounding: the first one that fits an encoding. The last one fits all."""
    smoothing: Smoothing | None = None
    """What is done to the weights before."""

    @classmethod
    def of(cls, name: str, options: Iterable[tuple[str, str]] = ()) -> Treatment:
        """Understand what a recipe says.

        Args:
            name: A method ("gptq"), a smoothing ("awq"), or both ("awq+gptq").
            options: Fields of theirs, with values as text; see `Option.read`.

        Raises:
            Unsupported: There is no such method or option, or a value cannot be read.
        """
        chosen = tuple(options)
        kinds = _kinds(name)
        _check_names(name, kinds, chosen)
        methods: list[Method] = []
        smoothing: Smoothing | None = None
        for kind in kinds:
            made = with_options(kind, chosen)
            if isinstance(made, Smoothing):
                smoothing = made
            elif isinstance(made, Method):
                methods.append(made)
        if smoothing is not None and not methods:
            methods.append(_AFTER_SMOOTHING)
        return cls((*(one for one in methods if one != Nearest()), Nearest()), smoothing)

    @property
    def main(self) -> Method:
        """The first choice."""
        return self.methods[0]

    @property
    def needs(self) -> frozenset[str]:
        """What has to be known of the inputs, fields of `Statistics`."""
        needs = frozenset[str]().union(*(method.needs for method in self.methods))
        if self.smoothing is None:
            return needs
        # Samples judge what is searched for, and rounding after a smoothing weighs columns.
        return needs | self.smoothing.needs | {"samples", "importance"}

    def rounding(self, encoding: Encoding) -> Method:
        """What chooses the codes of an encoding."""
        return next(method for method in self.methods if method.fits(encoding))

    def noted(self, plan: Plan) -> Plan:
        """The plan, with a sentence for each encoding whose codes another method has to choose.

        Raises:
            Unsupported: That is so for all of them, or there is none.
        """
        return replace(plan, notes=(*plan.notes, *self._notes(plan)))

    def _notes(self, plan: Plan) -> tuple[str, ...]:
        quantized = [one.encoding for one in plan.tensors if one.encoding not in CASTS]
        chosen = self.smoothing or self.main
        if chosen != Nearest() and not quantized:
            raise Unsupported(
                f"The method {chosen.name} has nothing to choose here: no weight is quantized.",
                "Choose another format, or leave the method out.",
            )
        others = [name for name in quantized if not self.main.fits(find_encoding(name))]
        if not others or (self.smoothing is not None and self.main == _AFTER_SMOOTHING):
            return ()
        if len(others) == len(quantized):
            raise Unsupported(
                f"The method {self.main.name} cannot choose the numbers of the format "
                f"{plan.preset}.",
                "Choose another method, or another format.",
            )
        return tuple(
            f"{others.count(name)} of {len(quantized)} quantized tensors "
            f"{'is' if others.count(name) == 1 else 'are'} {name}, which {self.main.name} cannot "
            "fill: their weights are rounded to the nearest."
            for name in sorted(set(others))
        )


def method_names() -> tuple[str, ...]:
    """What a recipe may say, without combinations."""
    return (*METHODS, *SMOOTHINGS)


def method_options(name: str) -> tuple[Option, ...]:
    """The options of what a recipe says, for a form or a help text.

    Raises:
        Unsupported: There is no such method.
    """
    return tuple(one for kind in _kinds(name) for one in options_of(kind))


def _kinds(name: str) -> list[type[Any]]:
    """The classes of a method's name: at most one smoothing, then at most one way of rounding."""
    parts = [part.strip().lower() for part in name.split(_AND)]
    known = {**METHODS, **SMOOTHINGS}
    unknown = [part for part in parts if part not in known]
    if unknown:
        raise Unsupported(
            f"There is no method called {unknown[0]!r}.", f"Choose: {', '.join(method_names())}."
        )
    both = len(parts) == 2 and parts[0] in SMOOTHINGS and parts[1] in METHODS
    if len(parts) > 1 and not both:
        raise Unsupported(
            f"The methods of {name!r} do not go together.",
            f"Join one of {', '.join(SMOOTHINGS)} with one of {', '.join(METHODS)}: awq+gptq.",
        )
    return [known[part] for part in parts]


def _check_names(name: str, kinds: list[type[Any]], chosen: tuple[tuple[str, str], ...]) -> None:
    known = [one.name for kind in kinds for one in options_of(kind)]
    for option, _ in chosen:
        if option not in known:
            there = f"It has: {', '.join(known)}." if known else "It has none."
            raise Unsupported(f"The method {name} has no option called {option!r}.", there)

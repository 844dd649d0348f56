"""What a recipe asks for by name: checked before anything is read, and told where it is in vain."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.core.errors import Unsupported
from app.core.plan import ImportanceFacts, PlannedFile, PlannedTensor
from app.core.recipe import Recipe
from app.core.words import size
from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.formats.gguf.choice import EMBEDDING, OUTPUT, Choice, Override, needs_importance
from app.formats.gguf.rules import GgufRecipe

_EXPERTS = "MXFP4_MOE"
_WITHOUT_CHOICE = {"F32", "F16", "BF16", "Q8_0"}  # importances change nothing in these


@dataclass(frozen=True, slots=True)
class Wishes:
    """A recipe whose words for types and tensors are understood."""

    recipe: Recipe
    """With the names of encodings as they are written in `ENCODINGS`."""
    overrides: tuple[Override, ...]

    @classmethod
    def of(cls, recipe: Recipe) -> Wishes:
        """Understand the types and patterns of a recipe.

        Raises:
            Unsupported: A type does not exist, or a pattern cannot be read.
        """
        overrides = tuple((_pattern(text), _type(kind)) for text, kind in recipe.overrides)
        named = replace(
            recipe,
            output=recipe.output and _type(recipe.output),
            embedding=recipe.embedding and _type(recipe.embedding),
        )
        return cls(named, overrides)

    def check(self, names: Collection[str], matrices: Collection[str]) -> None:
        """Refuse what would have no effect.

        Args:
            names: Of the result's tensors.
            matrices: Those that may be quantized.

        Raises:
            Unsupported: A pattern finds nothing, or only what is not quantized.
        """
        for find, kind in self.overrides:
            if not any(map(find.search, names)):
                raise Unsupported(
                    f"No tensor of this model has a name like {find.pattern!r}.",
                    f"Its names are like {', '.join(sorted(matrices)[-3:])}.",
                )
            if not any(map(find.search, matrices)):
                raise Unsupported(
                    f"{kind} was asked for tensors like {find.pattern!r}, which stay as they are.",
                    "Norms, biases and other small tensors are never quantized: they take next "
                    "to no space, and every rounding of them is felt.",
                )


def _type(name: str) -> str:
    types = [known for known, encoding in ENCODINGS.items() if isinstance(encoding, Block)]
    for known in types:
        if known.lower() == name.lower():
            return known
    raise Unsupported(
        f"There is no type called {name!r}.", f"Choose one of: {', '.join(sorted(types))}."
    )


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise Unsupported(
            f"{text!r} is no pattern for names of tensors.",
            "Write a part of a name, such as ffn_down, or a regular expression.",
            str(error),
        ) from error


def check_importance(gguf: GgufRecipe, choices: Mapping[str, Choice]) -> None:
    """Refuse types that need an importance matrix; there is none.

    Raises:
        Unsupported: There are such types.
    """
    in_need = {
        name: choice.encoding
        for name, choice in choices.items()
        if needs_importance(gguf, name, choice.encoding)
    }
    if in_need:
        kinds = ", ".join(sorted(set(in_need.values())))
        raise Unsupported(
            f"{gguf.preset.name} needs an importance matrix here: {len(in_need)} tensors become "
            f"{kinds}, which is of no use without one.",
            "Let Nibble compute it, give the file of one made for this model, or choose a larger "
            "format.",
            "\n".join(f"{name}: {kind}" for name, kind in in_need.items()),
        )


def check_covered(
    gguf: GgufRecipe, choices: Mapping[str, Choice], importance: ImportanceFacts
) -> None:
    """Refuse types that need importances where the matrix has none, as llama.cpp does.

    Raises:
        Unsupported: There are such types.
    """
    in_need = [
        name
        for name, choice in choices.items()
        if importance.covered
        and name not in importance.covered
        and needs_importance(gguf, name, choice.encoding)
    ]
    if in_need:
        raise Unsupported(
            f"{gguf.preset.name} needs an importance matrix that knows more: this one lacks "
            f"{len(in_need)} of the tensors that become very small, such as {in_need[0]}.",
            "Choose a larger format, or a matrix that was made for this model.",
            "\n".join(in_need),
        )


def uncovered(
    tensors: Sequence[PlannedTensor], importance: ImportanceFacts | None
) -> tuple[str, ...]:
    """A sentence on the tensors that are quantized without importances, against expectation."""
    if importance is None or not importance.covered:
        return ()
    names = [
        tensor.name
        for tensor in tensors
        if tensor.name not in importance.covered
        and len(tensor.shape) > 1
        and tensor.name != EMBEDDING  # looked up and never multiplied
        and tensor.encoding not in _WITHOUT_CHOICE
    ]
    if not names:
        return ()
    some = names[0] if len(names) == 1 else f"{len(names)} tensors, such as {names[0]}"
    note = f"The importance matrix knows nothing of {some}: all of the columns count alike there."
    return (note,)


def plan_notes(
    gguf: GgufRecipe,
    wishes: Wishes,
    tensors: Sequence[PlannedTensor],
    files: Sequence[PlannedFile],
) -> tuple[str, ...]:
    """What the user should know about a planned file before it is made."""
    return (
        *_fallbacks(tensors),
        *_in_vain(wishes, {tensor.name for tensor in tensors}),
        *_without_experts(gguf, tensors),
        *_large_parts(files, wishes.recipe.split_bytes),
    )


def _fallbacks(tensors: Sequence[PlannedTensor]) -> Iterable[str]:
    """A sentence for each pair of encodings, the wanted one and what took its place."""
    groups: dict[tuple[str, str], list[PlannedTensor]] = {}
    for tensor in tensors:
        if tensor.wanted:
            groups.setdefault((tensor.wanted, tensor.encoding), []).append(tensor)
    for (wanted, encoding), group in groups.items():
        block = ENCODINGS[wanted]
        assert isinstance(block, Block)
        extra = sum(_extra_bytes(tensor, block) for tensor in group)
        yield (
            f"{len(group)} of {len(tensors)} tensors {'has' if len(group) == 1 else 'have'} rows "
            f"that do not divide by {block.block}: {encoding} instead of {wanted}, "
            f"{size(extra)} more."
        )


def _extra_bytes(tensor: PlannedTensor, wanted: Block) -> float:
    return tensor.nbytes - tensor.weights * wanted.bits / 8


def _in_vain(wishes: Wishes, names: Collection[str]) -> Iterable[str]:
    taken: set[str] = set()
    if wishes.recipe.embedding:
        taken.add(EMBEDDING)
    if wishes.recipe.output or wishes.recipe.leave_output:
        taken.add(OUTPUT)
    for find, kind in wishes.overrides:
        found = {name for name in names if find.search(name)}
        if found <= taken:
            yield f"{find.pattern}={kind} changes nothing: all its tensors are chosen already."
        taken |= found
    if wishes.recipe.leave_output and OUTPUT not in names:
        yield "This model has no output layer of its own that could be left as it is."


def _without_experts(gguf: GgufRecipe, tensors: Sequence[PlannedTensor]) -> Iterable[str]:
    if gguf.preset.name == _EXPERTS and all(len(tensor.shape) < 3 for tensor in tensors):
        yield "This model is no mixture of experts: the file is the same as with Q8_0."


def _large_parts(files: Sequence[PlannedFile], limit: int) -> Iterable[str]:
    large = sum(file.nbytes > limit for file in files) if limit else 0
    if large:
        yield (
            f"{large} of {len(files)} files {'is' if large == 1 else 'are'} larger than "
            f"{size(limit)}, because one tensor alone is."
        )

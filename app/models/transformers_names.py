"""Which tensors of a checkpoint become which parameters of a transformers model.

Mostly the names are the same. Where they are not (another prefix, older names, one tensor per
expert in the file and one for all experts in the module), transformers has rules to rename and
to convert. They are used as they are, but for one layer at a time. These are the only lines that
touch that machinery, which is not a stable interface of transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Read = Callable[[str], "Tensor"]
"""Gives a tensor of the checkpoint by its name, float32."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Tensors of a checkpoint that become parameters together."""

    parameters: tuple[str, ...]
    sources: Mapping[str, list[str]] = field(default_factory=dict)
    """Names in the checkpoint by the rule's pattern they match, in the order they are stacked."""
    rule: Any = None
    """transformers' `WeightConverter`; None where the tensor is taken as it is."""

    @property
    def names(self) -> list[str]:
        """Every name in the checkpoint."""
        return [name for group in self.sources.values() for name in group]

    def matrix_of(self, name: str) -> int | None:
        """Which matrix of a stacked parameter `name` is; None where it is not one of several."""
        if not self._stacks:
            return None
        return next(group.index(name) for group in self.sources.values() if name in group)

    @property
    def _stacks(self) -> bool:
        return any(_kind(operation) == "MergeModulelist" for operation in self._operations)

    @property
    def _operations(self) -> list[Any]:
        return [] if self.rule is None else list(self.rule.operations)

    def read(self, model: Any, read: Read) -> dict[str, Tensor]:
        """The parameters that the tensors become, by name, float32 and contiguous.

        Raises:
            RuntimeError: The tensors do not fit together.
        """
        import torch

        if self.rule is None:
            return {self.parameters[0]: read(self.names[0]).contiguous()}
        shape = model.get_parameter(self.parameters[0]).shape
        if self._is_plain_stack(shape):
            return {self.parameters[0]: self._stacked(shape, read)}
        rule = deepcopy(self.rule)
        for pattern, names in self.sources.items():
            for name in names:
                rule.add_tensor(self.parameters[0], name, pattern, lambda name=name: read(name))
        with torch.no_grad():
            made = rule.convert(self.parameters[0], model=model, config=model.config)
        return {
            name: (value[0] if isinstance(value, list) else value).float().contiguous()
            for name, value in made.items()
        }

    def _is_plain_stack(self, shape: tuple[int, ...]) -> bool:
        """Whether the experts are only laid one after the other, and there are as many as needed.

        Told apart because transformers' own way holds every expert two or three times.
        """
        kinds = [(_kind(one), getattr(one, "dim", None)) for one in self._operations]
        stack, joined = ("MergeModulelist", 0), ("Concatenate", 1)
        known = kinds in ([stack], [stack, joined])
        several = {len(names) for names in self.sources.values()} == {shape[0]}
        complete = list(self.sources) == list(self.rule.source_patterns)
        return known and several and complete

    def _stacked(self, shape: tuple[int, ...], read: Read) -> Tensor:
        """Every tensor read and copied to its place, one at a time."""
        import torch

        whole = torch.empty(shape)
        height = shape[1] // len(self.sources)
        for matrix in range(shape[0]):
            for place, names in enumerate(self.sources.values()):
                part = read(names[matrix])
                if part.shape != (height, *shape[2:]):
                    raise RuntimeError(f"{names[matrix]} is {tuple(part.shape)}")
                whole[matrix, place * height : (place + 1) * height] = part
        return whole


class ParameterNames:
    """The origin of every parameter of `model` in a checkpoint with the names `stored`."""

    def __init__(self, model: Any, stored: Collection[str]) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import (
            WeightConverter,
            WeightRenaming,
            dot_natural_key,
        )

        rules = get_model_conversion_mapping(model)
        self._renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
        self._converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
        self._prefix = model.base_model_prefix
        self._wanted = model.state_dict()
        self._origins: dict[str, Origin] = {}
        for name in sorted(stored, key=dot_natural_key):
            self._add(name)

    def origin(self, parameter: str) -> Origin | None:
        """Where a parameter or buffer comes from; None: the checkpoint does not have it."""
        return self._origins.get(parameter)

    def _add(self, name: str) -> None:
        parameter, pattern = self._renamed(name, self._renamings, self._converters)
        if parameter not in self._wanted and name in self._wanted:
            parameter, pattern = self._renamed(name, [], [])  # not meant by the rules
        if parameter not in self._wanted:
            return
        if pattern is None:
            self._origins[parameter] = Origin((parameter,), {"": [name]})
            return
        origin = self._origins.get(parameter)
        if origin is None or origin.rule is None:
            origin = self._converted(parameter, pattern)
        origin.sources[pattern].append(name)

    def _renamed(
        self, name: str, renamings: list[Any], converters: list[Any]
    ) -> tuple[str, str | None]:
        from transformers.core_model_loading import rename_source_key

        renamed: tuple[str, str | None] = rename_source_key(
            name, renamings, converters, self._prefix, self._wanted
        )
        return renamed

    def _converted(self, parameter: str, pattern: str) -> Origin:
        """A new origin for all parameters that the rule of `pattern` makes with this one."""
        rule = next(rule for rule in self._converters if pattern in rule.source_patterns)
        first = rule.target_patterns[0]
        parameters = tuple(parameter.replace(first, other) for other in rule.target_patterns)
        origin = Origin(parameters, {one: [] for one in rule.source_patterns}, rule)
        self._origins |= dict.fromkeys(parameters, origin)
        return origin


def _kind(operation: Any) -> str:
    return type(operation).__name__

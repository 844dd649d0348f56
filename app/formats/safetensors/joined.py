"""Weights that runtimes join into one matrix, and that must then have one scale for all.

vLLM and SGLang multiply with q, k and v at a time, and with gate and up. Where an encoding has one
scale for a whole weight, all of them need the one that the largest weight of any of them asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Self

from typing_extensions import override

from app.encodings.base import Part
from app.encodings.extremes import largest_of
from app.encodings.folder import FolderEncoding
from app.encodings.fp8 import Float8
from app.encodings.microscaled import NvFp4

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Among(FolderEncoding):
    """An encoding that knows the largest magnitude of all weights that are joined."""

    encoding: NvFp4 | Float8
    largest: float

    @classmethod
    @override
    def variants(cls) -> Iterator[Self]:
        yield from ()  # it depends on the weights

    @property
    @override
    def name(self) -> str:
        return self.encoding.name

    @override
    def tensor_name(self, weight: str, part: str) -> str:
        return self.encoding.tensor_name(weight, part)

    @override
    def layout(self, shape: tuple[int, ...]) -> tuple[Part, ...]:
        return self.encoding.layout(shape)

    @override
    def encode(self, weight: Tensor, importance: Tensor | None = None) -> dict[str, Tensor]:
        del importance
        return self.encoding.encode_among(weight, self.largest)

    @override
    def decode(self, parts: dict[str, Tensor], shape: tuple[int, ...]) -> Tensor:
        return self.encoding.decode(parts, shape)


class Largest:
    """The largest magnitude of each group, read when it is first asked for. Thread-safe."""

    def __init__(self, members: Callable[[str], Iterable[Tensor]]) -> None:
        """`members` reads the weights of a group, in slices."""
        self._members = members
        self._found: dict[str, float] = {}
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()

    def of(self, group: str) -> float:
        """The largest magnitude in all weights of a group.

        Raises:
            NotFinite: One is NaN or infinite.
        """
        with self._lock:
            lock = self._locks.setdefault(group, Lock())
        with lock:  # others that wait for the same group do not read it again
            if group not in self._found:
                self._found[group] = max(map(largest_of, self._members(group)), default=0.0)
            return self._found[group]

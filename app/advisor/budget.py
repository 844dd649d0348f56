"""What there is to fill: the cards and the memory of a computer, now and with all else closed."""

from __future__ import annotations

from dataclasses import dataclass

from app.advisor.memory import BACKENDS, MIB
from app.advisor.placement import MEMORY, Place
from app.core.machine import Gpu, Machine

_SYSTEM_LEAST, _SYSTEM_SHARE = 1024 * MIB, 0.10  # of the memory, for the system itself
_SCREEN_LEAST, _SCREEN_SHARE = 256 * MIB, 0.03  # of a card, for the screen


@dataclass(frozen=True, slots=True)
class Budget:
    """Places to fill. A card that shares the computer's memory takes its part of that."""

    memory: Place
    cards: tuple[Place, ...] = ()

    @property
    def total(self) -> int:
        """Bytes in all places together."""
        own = sum(card.budget for card in self.cards if not card.shared)
        return own + self.memory.budget

    @property
    def on_cards(self) -> int:
        """Bytes on all cards together."""
        return sum(card.budget for card in self.cards)


def budget_now(machine: Machine, reserve: int) -> Budget:
    """What is free, less a reserve in each place."""
    free = machine.memory.free
    return _budget(machine, free, {gpu: gpu.free for gpu in machine.gpus}, reserve)


def budget_after_closing(machine: Machine, reserve: int) -> Budget:
    """What would be free with nothing else running but the system."""
    total = machine.memory.total
    free = max(machine.memory.free, total - max(_SYSTEM_LEAST, round(total * _SYSTEM_SHARE)))
    cards = {
        gpu: max(gpu.free, gpu.total - max(_SCREEN_LEAST, round(gpu.total * _SCREEN_SHARE)))
        for gpu in machine.gpus
    }
    return _budget(machine, free, cards, reserve)


def _budget(machine: Machine, memory: int, cards: dict[Gpu, int], reserve: int) -> Budget:
    """Cards with memory of their own are used alone where there are any, as llama.cpp does."""
    bandwidth = machine.cpu.bandwidth
    own = [gpu for gpu in machine.gpus if not gpu.shared]
    return Budget(
        Place(MEMORY, "cpu", max(0, memory - reserve), bandwidth),
        tuple(
            Place(
                gpu.name,
                BACKENDS.get(gpu.vendor, "vulkan"),
                max(0, (min(cards[gpu], memory) if gpu.shared else cards[gpu]) - reserve),
                gpu.bandwidth or (bandwidth if gpu.shared else 0.0),
                gpu.shared,
            )
            for gpu in own or machine.gpus
        ),
    )

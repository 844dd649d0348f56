"""A computer that is not here: "what if I had an RTX 4090?"."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass

from app.core.errors import Unsupported
from app.core.machine import Cpu, Gpu, Machine, Space
from app.devices import catalogue
from app.devices.apple import working_set
from app.devices.catalogue import GIB, Card, Chip

_USUAL_MEMORY = 32  # GiB beside a graphics card of which only the card is named
_LARGEST = 4096  # GiB that a text may ask for
_SYSTEM = 4 * GIB  # taken by the system and a browser, or a quarter of a small memory
_SCREEN = GIB // 2  # of a card's memory, taken by the screen
_PLAIN_SPEED = 40e9  # bytes a second, as measured with two channels of DDR4-3200
_EXAMPLES = 'Say for example "RTX 4060 Ti 16 GB", "2x RTX 3090", "M3 Max 64 GB" or "16 GB".'

_SEPARATOR = re.compile(r"\s*(?:[+,&]|\bwith\b|\band\b)\s*")
_MEMORY = re.compile(
    r"(?:(?:pc|computer|laptop|ram|memory)\s*)*(\d{1,5})\s*gi?b?(?:\s*(?:ram|memory))?"
)
_CARD = re.compile(
    r"(?:([1-9])\s*[x×]\s*)?(?P<name>.*?)(?:[\s(]+(\d{1,5})\s*gi?b\)?)?(?:\s+[x×]\s*([1-9]))?"  # noqa: RUF001
)
_MAC = re.compile(
    r"(?=.*\b(?:mac\w*|m\d)\b)(?:apple\s*)?(?:i?mac(?:\s*book)?(?:\s*(?:pro|air|mini|studio))?\s*)?"
    r"(?P<chip>m\d(?:\s*(?:pro|max|ultra))?)?\s*(?:(\d{1,5})\s*gi?b?)?"
)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a text names."""

    memory: int = 0  # GiB
    mac: str | None = None  # its chip; "" where the text says only "Mac"
    cards: tuple[Card, ...] = ()


def imagine(text: str) -> Machine:
    """The computer that a text describes.

    Graphics cards ("RTX 4090", "2x RTX 3090", "RTX 4060 Ti 16 GB"), Macs ("Mac 32 GB",
    "M3 Max 64 GB"), memory ("16 GB"), or a card and memory: "RTX 4090 + 64 GB". What
    `Machine.simulated` says describes the same computer again.

    Raises:
        Unsupported: It names something that is not listed; the hint has what is near.
    """
    found = _Parts()
    for part in _SEPARATOR.split(" ".join(text.lower().split())):
        found = _join(found, _read(part))
    if not 0 <= found.memory <= _LARGEST:
        raise Unsupported("No computer has that amount of memory.", _EXAMPLES)
    return _computer(found) if found.mac is None else _mac(found.mac, found.memory)


def _join(one: _Parts, other: _Parts) -> _Parts:
    macs = [parts.mac for parts in (one, other) if parts.mac is not None]
    cards = (*one.cards, *other.cards)
    if len(macs) > 1 or (macs and cards):
        raise Unsupported("This is not one computer.", "Name one Mac, or graphics cards.")
    return _Parts(one.memory or other.memory, macs[0] if macs else None, cards)


def _read(part: str) -> _Parts:
    if memory := _MEMORY.fullmatch(part):
        return _Parts(memory=int(memory[1]) or -1)
    if mac := _MAC.fullmatch(part):
        return _Parts(memory=int(mac[2] or 0), mac=mac["chip"] or "")
    match = _CARD.fullmatch(part)
    assert match is not None  # it matches every line
    sold = catalogue.find_cards(match["name"])
    if sold and sold[0].shared:
        return _Parts(memory=int(match[3] or 0), cards=(sold[0],))
    fitting = [card for card in sold if not match[3] or card.gigabytes == int(match[3])]
    if not fitting:
        raise _no_such_size(sold) if sold else _unknown(part)
    return _Parts(cards=(fitting[0],) * int(match[1] or match[4] or 1))


def _no_such_size(sold: list[Card]) -> Unsupported:
    name = sold[0].name
    sizes = " or ".join(f"{card.gigabytes} GB" for card in sold)
    return Unsupported(
        f"There is no {name} with this memory.",
        f"It has {sizes}. To name the computer's memory, say: {name} + 32 GB.",
    )


def _unknown(part: str) -> Unsupported:
    names = {catalogue.key(card.name): card.name for card in catalogue.CARDS}
    names |= {catalogue.short_key(card.name): card.name for card in catalogue.CARDS}
    names |= {catalogue.key(chip.name): chip.name for chip in catalogue.CHIPS}
    near = difflib.get_close_matches(catalogue.key(part), names, n=6, cutoff=0.5)
    offer = ", ".join(dict.fromkeys(names[word] for word in near))
    title = f"{part[:60]!r} is not in the list of hardware."
    return Unsupported(title, f"Did you mean {offer}? {_EXAMPLES}" if offer else _EXAMPLES)


def _computer(parts: _Parts) -> Machine:
    shared = [card.gigabytes for card in parts.cards if card.shared]
    gigabytes = parts.memory or max(shared, default=_USUAL_MEMORY)
    numbers: Counter[str] = Counter()
    gpus: list[Gpu] = []
    for card in parts.cards:
        kind = "xpu" if card.vendor == "intel" else "cuda"
        gpus.append(_gpu(card, f"{kind}:{numbers[kind]}", gigabytes))
        numbers[kind] += 1
    counts = Counter(
        card.name if card.shared else f"{card.name} {card.gigabytes} GB" for card in parts.cards
    )
    names = [f"{count}x {name}" if count > 1 else name for name, count in counts.items()]
    return Machine(
        cpu=Cpu("Processor with 8 cores", 8, 16, ("AVX2",), _PLAIN_SPEED),
        memory=_memory(gigabytes),
        gpus=tuple(gpus),
        simulated=" + ".join([*names, f"{gigabytes} GB memory"]),
    )


def _gpu(card: Card, device: str, gigabytes: int) -> Gpu:
    total = card.gigabytes * GIB
    if card.shared:
        total = gigabytes * GIB * 3 // 4
    return Gpu(
        name=card.name,
        vendor=card.vendor,
        device=device,
        total=total,
        free=total - _SCREEN,
        shared=card.shared,
        capability=card.capability,
        bandwidth=card.speed * 1e9,
    )


def _mac(name: str, gigabytes: int) -> Machine:
    chip = _chip(name, gigabytes)
    gigabytes = gigabytes or chip.gigabytes[0]
    memory = _memory(gigabytes)
    limit = working_set(memory.total)
    gpu = Gpu(
        name=f"Apple {chip.name}",
        vendor="apple",
        device="mps:0",
        total=limit,
        free=min(limit, memory.free),
        shared=True,
        bandwidth=chip.speed * 1e9,
    )
    cores = chip.cores or 8
    newer = () if chip.name.startswith("M1") else ("I8MM", "BF16")
    return Machine(
        cpu=Cpu(gpu.name, cores, cores, ("NEON", "DOTPROD", *newer), gpu.bandwidth),
        memory=memory,
        gpus=(gpu,),
        simulated=f"{chip.name} {gigabytes} GB",
    )


def _chip(name: str, gigabytes: int) -> Chip:
    """The chip of this name; of several that are sold with this memory, the slowest."""
    named = catalogue.find_chips(name) if name else list(catalogue.CHIPS)
    fitting = [chip for chip in named if not gigabytes or gigabytes in chip.gigabytes]
    if fitting:
        return min(fitting, key=lambda chip: chip.speed)
    if not named:
        raise _unknown(name)
    sizes = sorted({size for chip in named for size in chip.gigabytes})
    raise Unsupported(
        f"There is no {name.title() or 'Mac'} with {gigabytes} GB.",
        f"It is sold with {', '.join(map(str, sizes))} GB.",
    )


def _memory(gigabytes: int) -> Space:
    total = gigabytes * GIB
    return Space("Memory", total, total - min(_SYSTEM, total // 4))

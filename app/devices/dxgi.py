"""Graphics cards as Windows lists them, through DXGI's COM interfaces.

DXGI keeps the card's own memory and what it may borrow from the computer apart; adding
the two up is how a 12 GB card comes to be sold as one of 20. Called without any package,
by the slots of the interfaces in dxgi.h. Not tested on Windows yet; tests drive it with
interfaces of their own making.
"""

from __future__ import annotations

import ctypes
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_int32, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64
from ctypes import c_void_p as pointer
from dataclasses import dataclass
from typing import Any

_FACTORY1 = "770aae78-f26f-4dba-a829-253c83d1b387"
_ADAPTER3 = "645967a4-1392-4310-a798-8053ce3e93fd"
_QUERY_INTERFACE, _RELEASE = 0, 2  # IUnknown
_ENUM_ADAPTERS1 = 12  # IDXGIFactory1
_GET_DESC1 = 10  # IDXGIAdapter1
_QUERY_VIDEO_MEMORY = 14  # IDXGIAdapter3
_SOFTWARE = 2  # DXGI_ADAPTER_FLAG_SOFTWARE
_MOST = 64  # adapters; a driver in trouble must not keep us here

_method: Callable[..., Any] = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)


@dataclass(frozen=True, slots=True)
class Adapter:
    """One graphics card, dedicated or part of a processor. Sizes in bytes."""

    name: str
    vendor: int
    """PCI number of the maker."""
    dedicated: int
    """The card's own memory, or what the firmware set aside for it."""
    shared: int
    """What it may borrow from the computer's memory at most."""
    budget: int = 0
    """What Windows would give this program of the local memory now; 0 when it does not say."""


class Guid(ctypes.Structure):
    """Name of an interface, in the byte order of Windows."""

    _fields_ = (("bytes", c_uint8 * 16),)

    @classmethod
    def of(cls, text: str) -> Guid:
        """From its written form."""
        return cls.from_buffer_copy(uuid.UUID(text).bytes_le)


class Description(ctypes.Structure):
    """DXGI_ADAPTER_DESC1."""

    _fields_ = (
        ("name", c_uint16 * 128),
        ("vendor", c_uint32),
        ("device", c_uint32),
        ("subsystem", c_uint32),
        ("revision", c_uint32),
        ("dedicated", c_size_t),
        ("dedicated_system", c_size_t),
        ("shared", c_size_t),
        ("luid_low", c_uint32),
        ("luid_high", c_int32),
        ("flags", c_uint32),
    )


class MemoryInfo(ctypes.Structure):
    """DXGI_QUERY_VIDEO_MEMORY_INFO."""

    _fields_ = (
        ("budget", c_uint64),
        ("usage", c_uint64),
        ("available_for_reservation", c_uint64),
        ("reservation", c_uint64),
    )


def adapters() -> tuple[Adapter, ...]:
    """This computer's cards; none on other systems and where DXGI does not answer."""
    if sys.platform == "win32":
        factory = pointer()
        try:
            failed = ctypes.WinDLL("dxgi").CreateDXGIFactory1(
                byref(Guid.of(_FACTORY1)), byref(factory)
            )
        except (OSError, AttributeError):
            return ()
        if not failed:
            with _released(factory):
                return tuple(read_adapters(factory))
    return ()


def read_adapters(factory: pointer) -> Iterator[Adapter]:
    """What an IDXGIFactory1 lists, without the adapters that are programs."""
    for index in range(_MOST):
        adapter = pointer()
        if _call(factory, _ENUM_ADAPTERS1, (c_uint32, POINTER(pointer)), index, byref(adapter)):
            return
        with _released(adapter):
            seen = Description()
            failed = _call(adapter, _GET_DESC1, (POINTER(Description),), byref(seen))
            if not failed and not seen.flags & _SOFTWARE:
                name = bytes(seen.name).decode("utf-16-le", errors="replace").partition("\0")[0]
                yield Adapter(name, seen.vendor, seen.dedicated, seen.shared, _budget(adapter))


def _budget(adapter: pointer) -> int:
    """What is left of the local memory for us, by IDXGIAdapter3 (Windows 10 and later)."""
    newer = pointer()
    kinds = (POINTER(Guid), POINTER(pointer))
    if _call(adapter, _QUERY_INTERFACE, kinds, byref(Guid.of(_ADAPTER3)), byref(newer)):
        return 0
    with _released(newer):
        info = MemoryInfo()
        words = (c_uint32, c_uint32, POINTER(MemoryInfo))
        if _call(newer, _QUERY_VIDEO_MEMORY, words, 0, 0, byref(info)):
            return 0
        return max(0, int(info.budget) - int(info.usage))


def _call(interface: pointer, slot: int, kinds: tuple[Any, ...], *arguments: Any) -> int:
    """Call a method by its place in the interface's table; 0 is success."""
    table = ctypes.cast(interface, POINTER(POINTER(pointer))).contents
    return int(_method(c_int32, pointer, *kinds)(table[slot])(interface, *arguments))


@contextmanager
def _released(interface: pointer) -> Iterator[None]:
    try:
        yield
    finally:
        _call(interface, _RELEASE, ())

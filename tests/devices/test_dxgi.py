"""DXGI's interfaces made by hand: tables of functions in memory, called as Windows would be."""

import ctypes
import sys
import uuid

import pytest

from app.devices import dxgi
from app.devices.dxgi import Adapter, Description, Guid, MemoryInfo

GIB = 1 << 30
NOT_FOUND, NO_INTERFACE = -2005270526, -2147467262  # 0x887A0002, 0x80004002
pointer = ctypes.c_void_p


class Com:
    """An interface: a pointer to a table of functions, the unnamed ones failing the test."""

    def __init__(self, **methods):
        self.references = 1
        self.called = []
        table = (pointer * 20)()
        self.kept = [table]
        methods = {"s2": (self.release, ()), **methods}
        for slot in range(20):
            function, kinds = methods.get(f"s{slot}", (self.forbidden, ()))
            call = dxgi._method(ctypes.c_int32, pointer, *kinds)(function)
            table[slot] = ctypes.cast(call, pointer)
            self.kept.append(call)
        self.object = pointer(ctypes.addressof(table))
        self.address = ctypes.addressof(self.object)
        self.pointer = pointer(self.address)

    def release(self, this):
        assert this == self.address
        self.references -= 1
        return self.references

    def forbidden(self, this):
        self.called.append("a method that is none of ours")
        return NO_INTERFACE


def adapter(name, vendor, dedicated, shared, flags=0, budget=None):
    def describe(this, out):
        found = out.contents
        for index, letter in enumerate(name.encode("utf-16-le")[::2]):
            found.name[index] = letter
        found.vendor, found.dedicated, found.shared = vendor, dedicated, shared
        found.flags = flags
        return 0

    def ask(this, wanted, out):
        if budget is None:
            return NO_INTERFACE
        assert bytes(wanted.contents.bytes) == uuid.UUID(dxgi._ADAPTER3).bytes_le
        com.references += 1
        out[0] = this
        return 0

    def memory(this, node, group, out):
        assert (node, group) == (0, 0)
        out.contents.budget, out.contents.usage = budget, GIB
        return 0

    com = Com(
        s0=(ask, (ctypes.POINTER(Guid), ctypes.POINTER(pointer))),
        s10=(describe, (ctypes.POINTER(Description),)),
        s14=(memory, (ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(MemoryInfo))),
    )
    return com


def factory(*listed):
    def enumerate_adapters(this, index, out):
        if index >= len(listed):
            return NOT_FOUND
        out[0] = listed[index].address
        return 0

    return Com(s12=(enumerate_adapters, (ctypes.c_uint32, ctypes.POINTER(pointer))))


def test_that_adapters_are_read_and_let_go_of():
    card = adapter("Radeon RX 7900 XTX", 0x1002, 24 * GIB, 32 * GIB, budget=23 * GIB)
    part = adapter("Intel(R) UHD Graphics", 0x8086, 128 << 20, 16 * GIB)
    program = adapter("Microsoft Basic Render Driver", 0x1414, 0, 16 * GIB, flags=2)
    root = factory(card, part, program)
    assert list(dxgi.read_adapters(root.pointer)) == [
        Adapter("Radeon RX 7900 XTX", 0x1002, 24 * GIB, 32 * GIB, 22 * GIB),
        Adapter("Intel(R) UHD Graphics", 0x8086, 128 << 20, 16 * GIB, 0),
    ]
    assert [com.references for com in (card, part, program)] == [0, 0, 0]
    assert root.called == []


def test_that_no_adapters_is_an_answer():
    assert list(dxgi.read_adapters(factory().pointer)) == []


def test_that_the_structures_have_the_size_windows_expects():
    if ctypes.sizeof(pointer) == 8:
        assert ctypes.sizeof(Description) == 312
    assert ctypes.sizeof(MemoryInfo) == 32
    assert ctypes.sizeof(Guid) == 16


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has DXGI")
def test_that_other_systems_have_no_dxgi():
    assert dxgi.adapters() == ()

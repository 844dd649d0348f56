"""Vectors of eight numbers, for loops that the compiler does not vectorise by itself.

A vector of float32 or int32 is one SIMD register with AVX2 and two with NEON or SSE; the compiler
splits it as the processor needs. Among themselves they have + - * (float32 also /, int32 also
& | ^), and there are the functions below. Nothing is checked: who loads and stores stays within
the array.

    lowest = spread(np.float32(np.inf))
    for row in range(rows):
        lowest = least(lowest, load(table, 8 * row))
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.typing import signature as signature_of
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, register_model

WIDTH = 8
"""Numbers in a vector."""

FUSED = ("contract", "nsz")
"""As in `lanes`: multiply and add may be fused, nothing is reordered."""

INT = ir.IntType(32)


class Vector(types.Type):  # type: ignore[misc]  # numba has no types
    """numba's type of `WIDTH` numbers of one kind."""

    def __init__(self, name: str, element: Any, lowered: ir.Type) -> None:
        self.element = element
        self.lowered = ir.VectorType(lowered, WIDTH)
        super().__init__(name=name)


class FloatVector(Vector):
    """Eight float32."""

    def __init__(self) -> None:
        super().__init__("Floats", types.float32, ir.FloatType())


class IntVector(Vector):
    """Eight int32."""

    def __init__(self) -> None:
        super().__init__("Ints", types.int32, INT)


class Mask(Vector):
    """Eight answers to a question."""

    def __init__(self) -> None:
        super().__init__("Mask", types.boolean, ir.IntType(1))


FLOATS, INTS, MASK = FloatVector(), IntVector(), Mask()


@register_model(FloatVector)
@register_model(IntVector)
@register_model(Mask)
class VectorModel(PrimitiveModel):  # type: ignore[misc]
    """A vector is kept as it is computed with."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.lowered)


@infer_global(operator.add)
@infer_global(operator.sub)
@infer_global(operator.mul)
@infer_global(operator.truediv)
@infer_global(operator.and_)
@infer_global(operator.or_)
@infer_global(operator.xor)
class Arithmetic(AbstractTemplate):  # type: ignore[misc]
    """The type of what an operator makes of two vectors."""

    def generic(self, args: tuple[Any, ...], _: dict[str, Any]) -> Any:
        """Both are of the same kind, and so is the result."""
        if len(args) == 2 and args[0] == args[1] and isinstance(args[0], Vector):
            return signature_of(args[0], *args)
        return None


def _lower(function: Callable[..., Any], kind: type[Vector], name: str, **flags: Any) -> None:
    """Compute an operator by the instruction of that name."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return getattr(builder, name)(*args, **flags)

    lower_builtin(function, kind, kind)(emit)


for _symbol in ("add", "sub", "mul"):
    _lower(getattr(operator, _symbol), FloatVector, "f" + _symbol, flags=FUSED)
    _lower(getattr(operator, _symbol), IntVector, _symbol)
_lower(operator.truediv, FloatVector, "fdiv", flags=FUSED)
for _symbol in ("and_", "or_", "xor"):
    _lower(getattr(operator, _symbol), IntVector, _symbol)


def _kind_of(element: Any) -> Vector:
    return FLOATS if element == types.float32 else INTS


def _constant(number: int) -> ir.Constant:
    return ir.Constant(INTS.lowered, [number] * WIDTH)


def _address(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """A pointer to the vector that starts with element `at`."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _kind_of(kind.dtype).lowered.as_pointer())


@intrinsic
def load(_: Any, array: Any, at: Any) -> Any:  # noqa: ARG001
    """Elements at .. at + 8 of a contiguous array."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *args), align=4)

    return _kind_of(array.dtype)(array, types.intp), emit


@intrinsic
def load_bytes(_: Any, array: Any, at: Any) -> Any:  # noqa: ARG001
    """Elements at .. at + 8 of a contiguous array of bytes, which are signed, as float32."""
    lowered = ir.VectorType(ir.IntType(8), WIDTH)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), lowered.as_pointer())
        return builder.sitofp(builder.load(address, align=1), FLOATS.lowered)

    return FLOATS(array, types.intp), emit


@intrinsic
def store(_: Any, array: Any, at: Any, vector: Any) -> Any:  # noqa: ARG001
    """Write elements at .. at + 8 of a contiguous array."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), emit


@intrinsic
def spread(_: Any, number: Any) -> Any:
    """A float32 or an int32, eight times."""
    kind = _kind_of(number)

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        empty = ir.Constant(kind.lowered, ir.Undefined)
        one = builder.insert_element(empty, args[0], ir.Constant(INT, 0))
        return builder.shuffle_vector(one, one, _constant(0))

    return kind(kind.element), emit


@intrinsic
def total(_: Any, floats: Any) -> Any:
    """The sum of the eight, from the first on."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        numbers = [builder.extract_element(args[0], ir.Constant(INT, i)) for i in range(WIDTH)]
        result = numbers[0]
        for number in numbers[1:]:
            result = builder.fadd(result, number)
        return result

    return types.float32(floats), emit


def _extreme(sign: str) -> Any:
    """The function that finds the number which no other is `sign` to."""

    @intrinsic
    def find(_: Any, numbers: Any) -> Any:
        compare = "fcmp_ordered" if numbers == FLOATS else "icmp_signed"

        def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            found = args[0]
            for apart in (4, 2, 1):
                order = ir.Constant(INTS.lowered, [i ^ apart for i in range(WIDTH)])
                other = builder.shuffle_vector(found, found, order)
                found = builder.select(getattr(builder, compare)(sign, found, other), found, other)
            return builder.extract_element(found, ir.Constant(INT, 0))

        return numbers.element(numbers), emit

    return find


lowest, highest = _extreme("<"), _extreme(">")
"""The smallest and the largest of the eight; any of them where one is NaN."""


@intrinsic(prefer_literal=True)
def exchanged(_: Any, floats: Any, distance: Any) -> Any:
    """Each number swapped with the one whose place differs in the bit `distance`, a constant."""
    apart = distance.literal_value
    order = ir.Constant(INTS.lowered, [i ^ apart for i in range(WIDTH)])

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.shuffle_vector(args[0], args[0], order)

    return floats(floats, distance), emit


@intrinsic
def below(_: Any, a: Any, b: Any) -> Any:
    """Where a < b; not where one is NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        compare = builder.fcmp_ordered if a == FLOATS else builder.icmp_signed
        return compare("<", *args)

    return MASK(a, b), emit


@intrinsic
def where(_: Any, mask: Any, a: Any, b: Any) -> Any:
    """Numbers of a where the mask is set, of b elsewhere."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return a(mask, a, b), emit


@intrinsic
def least(_: Any, a: Any, b: Any) -> Any:
    """The smaller of each two; b where they are equal or one is NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        compare = builder.fcmp_ordered if a == FLOATS else builder.icmp_signed
        return builder.select(compare("<", *args), *args)

    return a(a, b), emit


@intrinsic
def greatest(_: Any, a: Any, b: Any) -> Any:
    """The larger of each two; b where they are equal or one is NaN."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        compare = builder.fcmp_ordered if a == FLOATS else builder.icmp_signed
        return builder.select(compare(">", *args), *args)

    return a(a, b), emit


def _unary(name: str) -> Any:
    """The function of float32 numbers that LLVM calls by this name."""

    @intrinsic
    def apply(_: Any, floats: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(FLOATS.lowered, [FLOATS.lowered])
            lowered = f"llvm.{name}.v{WIDTH}f32"
            return builder.call(builder.module.declare_intrinsic(lowered, fnty=kind), args)

        return FLOATS(floats), emit

    return apply


root, rounded, magnitude = _unary("sqrt"), _unary("rint"), _unary("fabs")
"""Square roots, nearest integers (ties to even) and absolute values."""


@intrinsic
def floats_of(_: Any, ints: Any) -> Any:
    """The float32 numbers that have these bits."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], FLOATS.lowered)

    return FLOATS(ints), emit


@intrinsic
def bits_of(_: Any, floats: Any) -> Any:
    """The bits of float32 numbers."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], INTS.lowered)

    return INTS(floats), emit


@intrinsic
def steps_of(_: Any, floats: Any, start: Any, inverse: Any, bias: Any) -> Any:  # noqa: ARG001
    """(x - start) * inverse + bias, every operation rounded by itself; then without fractions."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        scaled = builder.fmul(builder.fsub(args[0], args[1]), args[2])
        return builder.fptosi(builder.fadd(scaled, args[3]), INTS.lowered)

    return INTS(floats, floats, floats, floats), emit


@intrinsic
def store_bytes(_: Any, array: Any, at: Any, ints: Any) -> Any:  # noqa: ARG001
    """Write the lowest byte of each to elements at .. at + 8 of a contiguous array of bytes."""
    lowered = ir.VectorType(ir.IntType(8), WIDTH)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), lowered.as_pointer())
        builder.store(builder.trunc(args[2], lowered), address, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, ints), emit


@intrinsic
def flags_of(_: Any, mask: Any) -> Any:
    """A number with bit i set where the mask is set for number i."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH)), INT)

    return types.uint32(mask), emit


@intrinsic
def byte_of(_: Any, ints: Any, place: Any) -> Any:  # noqa: ARG001
    """The signed byte number `place` of each, 0 being the lowest, as a float32."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        shift = builder.mul(args[1], ir.Constant(INT, 8))
        lane = ir.Constant(INT, 0)
        one = builder.insert_element(ir.Constant(INTS.lowered, ir.Undefined), shift, lane)
        up = builder.sub(_constant(24), builder.shuffle_vector(one, one, _constant(0)))
        top = builder.shl(args[0], up)
        return builder.sitofp(builder.ashr(top, _constant(24)), FLOATS.lowered)

    return FLOATS(ints, types.int32), emit

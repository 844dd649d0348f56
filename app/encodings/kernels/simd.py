"""Vectors of eight numbers, for loops that the compiler does not vectorise by itself.

A `Floats` or `Ints` is one SIMD register with AVX2 and two with NEON or SSE; the compiler splits it
as the processor needs. They have + - * among themselves, and the functions below. There are no
checks: whoever loads and stores stays within the array.

    m = spread(F1)
    for p in range(n):
        m = least(m, load(a, 8 * p))
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from llvmlite import ir
from numba import types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.typing import signature as typing_signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, register_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What numba hands to the code of an intrinsic; it has no types.
    Context = Any
    Value = Any

WIDTH = 8
"""Numbers in a vector."""

FUSED = ("contract", "nsz")
"""As for the loops of `lanes`: multiply and add may be fused, nothing reordered."""


class Vector(types.Type):  # type: ignore[misc]  # numba has no types
    """numba's type of `WIDTH` numbers of one kind."""

    def __init__(self, name: str, element: Any, lowered: ir.Type) -> None:
        self.element = element
        self.lowered = ir.VectorType(lowered, WIDTH)
        super().__init__(name=name)


class FloatsType(Vector):
    """Eight float32."""

    def __init__(self) -> None:
        super().__init__("Floats", types.float32, ir.FloatType())


class IntsType(Vector):
    """Eight int32."""

    def __init__(self) -> None:
        super().__init__("Ints", types.int32, ir.IntType(32))


class MaskType(Vector):
    """Eight answers to a comparison."""

    def __init__(self) -> None:
        super().__init__("Mask", types.boolean, ir.IntType(1))


FLOATS, INTS, MASK = FloatsType(), IntsType(), MaskType()


@register_model(FloatsType)
@register_model(IntsType)
@register_model(MaskType)
class VectorModel(PrimitiveModel):  # type: ignore[misc]
    """A vector is kept as it is computed with."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.lowered)


def _of_element(element: Any) -> Vector:
    return FLOATS if element == types.float32 else INTS


def _address(context: Context, builder: Value, kind: Any, array: Value, at: Value) -> Value:
    """A pointer to the vector that starts with element `at`."""
    data = context.make_array(kind)(context, builder, array).data
    lowered = _of_element(kind.dtype).lowered
    return builder.bitcast(builder.gep(data, [at]), lowered.as_pointer())


@intrinsic
def load(typing: Context, array: Any, at: Any) -> Any:
    """The vector of elements at .. at + 8 of a contiguous array."""
    kind = _of_element(array.dtype)

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        return builder.load(_address(context, builder, signature.args[0], *args), align=4)

    return kind(array, types.intp), code


@intrinsic
def store(typing: Context, array: Any, at: Any, vector: Any) -> Any:
    """Write a vector to elements at .. at + 8 of a contiguous array."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        address = _address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic
def spread(typing: Context, value: Any) -> Any:
    """The vector that holds a float32 or an int32 eight times."""
    kind = _of_element(value)

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        lane = ir.Constant(ir.IntType(32), 0)
        one = builder.insert_element(ir.Constant(kind.lowered, ir.Undefined), args[0], lane)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(one, one, everywhere)

    return kind(kind.element), code


@infer_global(operator.add)
@infer_global(operator.sub)
@infer_global(operator.mul)
class Arithmetic(AbstractTemplate):  # type: ignore[misc]
    """The type of a + b, a - b and a * b."""

    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        """Both of the same kind, and so is the result."""
        assert not kws
        if len(args) == 2 and args[0] == args[1] and isinstance(args[0], Vector):
            return typing_signature(args[0], *args)
        return None


def _lower(function: Callable[..., Any], operation: str) -> None:
    """Tell how a function of two vectors is computed."""

    def floats(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        return getattr(builder, "f" + operation)(*args, flags=FUSED)

    def ints(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        return getattr(builder, operation)(*args)

    lower_builtin(function, FloatsType, FloatsType)(floats)
    lower_builtin(function, IntsType, IntsType)(ints)


_lower(operator.add, "add")
_lower(operator.sub, "sub")
_lower(operator.mul, "mul")


@intrinsic
def below(typing: Context, a: Any, b: Any) -> Any:
    """Where a < b."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        if a == FLOATS:
            return builder.fcmp_ordered("<", *args)
        return builder.icmp_signed("<", *args)

    return MASK(a, b), code


@intrinsic
def where(typing: Context, mask: Any, a: Any, b: Any) -> Any:
    """Of a where the mask is set, of b elsewhere."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        return builder.select(*args)

    return a(mask, a, b), code


@intrinsic
def least(typing: Context, a: Any, b: Any) -> Any:
    """The smaller of each pair; b where they are equal or one is NaN."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        compare = builder.fcmp_ordered if a == FLOATS else builder.icmp_signed
        return builder.select(compare("<", *args), *args)

    return a(a, b), code


@intrinsic
def both(typing: Context, a: Any, b: Any) -> Any:
    """Bits set in both."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        return builder.and_(*args)

    return INTS(a, b), code


@intrinsic
def bits_of(typing: Context, floats: Any) -> Any:
    """The bits of float32 numbers as int32."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        return builder.bitcast(args[0], INTS.lowered)

    return INTS(floats), code


@intrinsic
def floats_of(typing: Context, ints: Any) -> Any:
    """Inverse of `bits_of`."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        return builder.bitcast(args[0], FLOATS.lowered)

    return FLOATS(ints), code


@intrinsic
def stamp(typing: Context, floats: Any, mask: Any, number: Any) -> Any:
    """Bits with those of `mask` replaced by `number`: a float that carries a small integer."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        bits = builder.bitcast(args[0], INTS.lowered)
        kept = builder.and_(bits, builder.not_(args[1]))
        return builder.or_(kept, args[2])

    return INTS(floats, mask, number), code


@intrinsic
def byte_of(typing: Context, ints: Any, place: Any) -> Any:
    """The signed byte number `place`, 0 being the lowest, of each integer, as a float32."""

    def code(context: Context, builder: Value, signature: Any, args: Any) -> Value:
        up = builder.shl(args[0], args[1])
        top = ir.Constant(INTS.lowered, [24] * WIDTH)
        return builder.sitofp(builder.ashr(up, top), FLOATS.lowered)

    return FLOATS(ints, place), code

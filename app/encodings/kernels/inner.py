"""How a function that only kernels call is compiled.

numba makes two more functions around each, for callers in Python and in C. Compiling those takes an
eighth of the whole time, and nobody calls them. Called by Python, such a function would crash.
"""

from __future__ import annotations

INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of `njit`."""

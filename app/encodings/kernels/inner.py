"""How a function that only kernels call is compiled.

numba makes two more functions around each, for callers in Python and in C. Compiling those takes a
sixth of the time of all, and nobody calls them here. Called by Python, such a function would crash.
"""

from __future__ import annotations

INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of `njit`."""

"""What methods compute on the processor, compiled by numba; see `app.encodings.kernels`."""

from __future__ import annotations

import app.encodings.kernels  # noqa: F401  says where compiled code is kept, before numba asks

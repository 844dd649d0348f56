"""Fast CPU kernels of the encodings, compiled by numba.

Every kernel is serial, keeps no state and releases the interpreter lock; parallel work is the
caller's: several threads, each with its own rows. A block's bytes depend on its weights alone, so
any division into rows gives the same file.

The compiled code is kept in the user's data folder, because an installed application's own folder
may not be writable. numba reads the place when it is first imported, hence here, in front of the
kernels' own imports.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from app.core.places import user_data

os.environ.setdefault("NUMBA_CACHE_DIR", str(user_data() / "kernels"))

NOT_FINITE = 1
"""Flag of an encoder's answer: a weight is NaN or infinite."""
TOO_LARGE = 2
"""Flag of an encoder's answer: a block needs a scale beyond float16's range."""


def warm_up(names: Iterable[str]) -> Iterator[str]:
    """Compile the kernels of these encodings; yields a name before the work on it.

    The first time takes seconds an encoding; from then on the compiled code is read from disk.
    """
    import torch

    from app.encodings import ENCODINGS

    for name in sorted(names):
        yield name
        zeros = torch.zeros(256)
        ENCODINGS[name].decode(ENCODINGS[name].encode(zeros), (256,))

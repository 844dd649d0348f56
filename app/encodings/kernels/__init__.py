"""Fast CPU kernels of the encodings, compiled by numba.

Every kernel is serial, keeps no state and releases the interpreter lock; parallel work is the
caller's: several threads, each with its own rows. A block's bytes depend on its weights and the
importance of its columns alone, so any division into rows gives the same file.

The compiled code is kept in the user's data folder, because an installed application's own folder
may not be writable. numba reads the place when it is first imported, hence here, in front of the
kernels' own imports. numba compiles a kernel anew when the kernel's file changes, but does not see
changes in the files that this one imports; hence a folder for each state of the sources.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from app import __version__
from app.core.places import user_data

NOT_FINITE = 1
"""Flag of an encoder's answer: a weight is NaN or infinite."""
TOO_LARGE = 2
"""Flag of an encoder's answer: a block needs a scale beyond float16's range."""


def _cache_folder() -> Path:
    """Where this state of the kernels is kept; `NUMBA_CACHE_DIR` overrides the parent folder."""
    sources = sorted(Path(__file__).parent.glob("*.py"))  # none in a frozen application
    checksum = zlib.crc32(b"".join(source.read_bytes() for source in sources))
    state = f"{__version__}-{checksum:08x}"
    parent = Path(os.environ.get("NUMBA_CACHE_DIR") or user_data() / "kernels")
    return parent if parent.name == state else parent / state  # a parent process has set it


os.environ["NUMBA_CACHE_DIR"] = str(_cache_folder())
if "numba" in sys.modules:  # some other library was faster
    sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


def warm_up(names: Iterable[str], *, weighed: bool = False) -> Iterator[str]:
    """Compile the kernels that these encodings need; yields an encoding's name before its turn.

    The first time takes seconds an encoding; from then on the compiled code is read from disk. Some
    encodings have kernels of their own for columns that differ in importance: `weighed`.
    """
    import torch

    from app.encodings import ENCODINGS
    from app.encodings.ggml_block import GgmlBlock

    for name in sorted(names):
        encoding = ENCODINGS.get(name)
        if isinstance(encoding, GgmlBlock):
            yield name
            weight = torch.zeros(encoding.block)
            importance = torch.ones(encoding.block) if weighed else None
            encoding.decode(encoding.encode(weight, importance), tuple(weight.shape))

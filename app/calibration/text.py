"""The text that models are calibrated with, as the tokens of one model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.calibration.chats import ChatTemplate, read_chats
from app.core.errors import Unsupported
from app.core.job import Job
from app.core.places import resources
from app.evaluation.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_CHUNKS = 64
"""Windows read for an importance matrix; more change little, fewer are felt."""
DEFAULT_SAMPLES = 128
"""Windows that methods are shown."""

_FEW_CHUNKS = 16
_CHARACTERS_A_TOKEN = 20  # far more than any tokenizer has on average; bounds what is read
_CHOICE = 16  # windows to draw from, for each one that is wanted
_SEEDS = 2**64
_UNREADABLE = ("\0", "\N{REPLACEMENT CHARACTER}")
"""What bytes that are no text are full of, read as UTF-8."""
_PIECE = 2**20


def calibration_text() -> Path:
    """The text that is shipped: prose, code, chats and numbers in many languages."""
    return resources() / "text" / "mixed.txt"


def text_at(path: str | Path | None) -> Path:
    """The text of a job: a user's own, or the one that is shipped where none is named.

    Raises:
        Unsupported: There is no such file.
    """
    text = Path(path) if path else calibration_text()
    if not text.is_file():
        raise Unsupported(f"There is no file {text}.", "Give the path of a text file.")
    return text


def most_tokens(job: Job, length: int) -> int:
    """How many tokens a job shows at most, in pieces of `length`: as many as its text may have.

    A token stands for one byte at the least, and a file has no more tokens than bytes. Three or
    four bytes are usual, but digits, and scripts that a vocabulary lacks, come down to one; chats
    get special tokens, where the file has JSON around them.

    Raises:
        Unsupported: There is no such text.
    """
    wanted = (job.samples or DEFAULT_SAMPLES) * length
    return min(wanted, text_at(job.calibration).stat().st_size)


@dataclass(frozen=True, slots=True)
class CalibrationWindows:
    """A text, cut into windows that are read independently."""

    tokens: Tensor
    """(windows, length), int64, on the host."""
    text: str
    """Name of the text."""
    note: str = ""
    """What the user should know of it."""


def cut_calibration_windows(
    tokenizer: Tokenizer,
    path: Path,
    *,
    chunks: int,
    length: int,
    template: ChatTemplate | None = None,
    seed: int = 0,
) -> CalibrationWindows:
    """Tokenize a text and cut it into windows, as llama-imatrix does.

    Where the tokenizer opens a text with a token of its own, that token takes the first place
    of every window.

    Args:
        tokenizer: The model's own.
        path: A text, or chats where its name ends in .jsonl; see `read_chats`.
        chunks: How many windows to cut at most.
        length: Tokens a window.
        template: How the model's chats are written.
        seed: Which windows of a text that has more; 0: the first ones.

    Raises:
        Unsupported: The file is no text, or does not fill one window.
        BadModelFile: The chats cannot be read.
    """
    import torch

    wanted = chunks * length * (_CHOICE if seed else 1)
    ids: list[int] = [] if tokenizer.opening is None else [tokenizer.opening]
    for text in _texts(path, _CHARACTERS_A_TOKEN * wanted, template):
        ids.extend(tokenizer.encode(text))
        if len(ids) >= wanted:
            break
    count = min(chunks, len(ids) // length)
    if count < 1:
        enough = min(chunks, _FEW_CHUNKS) * length
        raise Unsupported(
            f"The text {path.name} is too short to calibrate with: it has {len(ids):,} of at "
            f"least {length:,} tokens.",
            f"Choose a text of at least {-(-enough // 1000) * 1000:,} words, or shorter pieces.",
        )
    there = len(ids) // length
    windows = torch.tensor(ids[: there * length], dtype=torch.int64).reshape(there, length)
    if seed:
        drawn = torch.randperm(there, generator=torch.Generator().manual_seed(seed % _SEEDS))
        windows = windows[drawn[:count].sort().values]
    windows = windows[:count].clone()
    if tokenizer.opening is not None:
        windows[:, 0] = tokenizer.opening
    note = (
        f"The text {path.name} is short: {count * length:,} tokens. Ten times as many show more "
        "reliably which weights matter."
    )
    return CalibrationWindows(windows, path.name, note if count < _FEW_CHUNKS <= chunks else "")


def digest(path: Path) -> str:
    """A fingerprint of the text itself, SHA-256."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def _texts(path: Path, characters: int, template: ChatTemplate | None) -> Iterator[str]:
    """What the file holds, piece by piece; of a plain text at most so many characters."""
    if path.suffix.lower() == ".jsonl":
        yield from read_chats(path, template)
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(characters)
    if 5 * sum(map(text.count, _UNREADABLE)) > len(text):
        raise Unsupported(
            f"{path.name} is no text in UTF-8.", "Choose a text file, or save it as UTF-8 first."
        )
    yield text

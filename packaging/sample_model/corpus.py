"""Cuts six Jane Austen novels into training, validation, evaluation and calibration texts."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from rdata import read_package_data

# The works in the package, by the name of their data set.
TITLES = {
    "emma": "Emma",
    "mansfieldpark": "Mansfield Park",
    "northangerabbey": "Northanger Abbey",
    "persuasion": "Persuasion",
    "prideprejudice": "Pride and Prejudice",
    "sensesensibility": "Sense and Sensibility",
}

# Chapters that are never trained on, as (data set, chapter counted from the start of the book).
# The evaluation chapter is only scored once training is over; which checkpoint is kept depends on
# the validation chapter alone, so that the published perplexity is not the result of a selection.
EVALUATION_CHAPTER = ("emma", 26)  # Volume II, chapter VIII: the dinner at the Coles'.
VALIDATION_CHAPTER = ("sensesensibility", 29)

# Every how-many-th training chapter of each novel goes into the calibration text as well.
CALIBRATION_STRIDE = 9

_HEADING = re.compile(r"\s*(chapter|volume)\s+[ivxlc\d]+\.?\s*", re.IGNORECASE)
_END = re.compile(r"\s*(finis|the end|a note on the text)\s*", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Chapter:
    """One chapter of a novel, one line per paragraph, paragraphs separated by an empty line."""

    work: str
    number: int
    text: str


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The chapters of all novels, by what they are used for."""

    training: list[Chapter]
    validation: Chapter
    evaluation: Chapter

    @property
    def calibration(self) -> list[Chapter]:
        """Training chapters spread evenly over all novels."""
        works = [[c for c in self.training if c.work == work] for work in TITLES]
        return [
            c for chapters in works for c in chapters[CALIBRATION_STRIDE // 2 :: CALIBRATION_STRIDE]
        ]


def _paragraphs(lines: list[str]) -> str:
    """Joins hard-wrapped lines into paragraphs and drops the markup of the transcription."""
    text = "\n".join(lines).replace("_", "")  # Underscores mark italics.
    blocks = (re.sub(r"\s+", " ", block).strip() for block in re.split(r"\n\s*\n", text))
    return "\n\n".join(block for block in blocks if re.search(r"\w", block))


def _chapters(work: str, lines: list[str]) -> list[Chapter]:
    """Splits a novel at its headings; front matter and what follows the last line are left out."""
    chapters: list[list[str]] = []
    for line in lines:
        if _HEADING.fullmatch(line):
            chapters.append([])
        elif _END.fullmatch(line) and chapters:
            break
        elif chapters:
            chapters[-1].append(line)
    # A volume heading is directly followed by a chapter heading and leaves an empty text.
    texts = [text for text in map(_paragraphs, chapters) if text]
    return [Chapter(work, number, text) for number, text in enumerate(texts, start=1)]


def load_corpus(source: Path) -> Corpus:
    """Reads the novels and sets the validation and evaluation chapters apart.

    Args:
        source: Debian's ``r-cran-janeaustenr`` package, or a folder into which it was extracted.

    Returns:
        The chapters, in the order of the works.
    """
    data = read_package_data(source)
    chapters = {(c.work, c.number): c for work in TITLES for c in _chapters(work, data[work])}
    validation = chapters.pop(VALIDATION_CHAPTER)
    evaluation = chapters.pop(EVALUATION_CHAPTER)
    return Corpus(list(chapters.values()), validation, evaluation)


def write_texts(corpus: Corpus, folder: Path) -> None:
    """Writes ``evaluation.txt`` and ``calibration.txt``.

    Args:
        corpus: The chapters.
        folder: Where the two files go; it is created if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    calibration = "\n\n".join(chapter.text for chapter in corpus.calibration)
    for name, text in (("evaluation", corpus.evaluation.text), ("calibration", calibration)):
        (folder / f"{name}.txt").write_text(text + "\n", encoding="utf-8", newline="\n")

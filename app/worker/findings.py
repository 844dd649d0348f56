"""What fitting a result has shown that its user should know.

Kept in the job's folder, layer by layer, before anything is written: a run that goes on does not
look again at what an earlier one has done, and its report tells of both.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.core.events import Note
from app.core.files import write_atomic


@dataclass(slots=True)
class Findings:
    """Of one result. What is found again at the same place takes the place of the old."""

    path: Path
    """Where they are kept."""
    key: str
    """Says of which result they are."""
    smoothing: str = ""
    """Name of what scales its weights before."""
    heard: list[str] = field(default_factory=list)
    """Notes on the text."""
    few: dict[str, int] = field(default_factory=dict)
    """Matrices of a place in the model that met too few tokens to learn from."""
    left: dict[str, dict[str, int]] = field(default_factory=dict)
    """How often a smoothing left matrices alone in a layer, by kind."""

    def recall(self) -> Findings:
        """With what an earlier run has kept; a damaged file, or one of another result, is none."""
        try:
            content = json.loads(self.path.read_bytes())
            if content["of"] == self.key:
                found = content["heard"], content["few"], content["left"]
                self.heard, self.few, self.left = found
        except (OSError, ValueError, LookupError, TypeError):
            pass
        return self

    def hear(self, note: Note) -> Note:
        """Keep what is said of the text."""
        if note.text not in self.heard:
            self.heard.append(note.text)
            self._keep()
        return note

    def met_few(self, place: str, matrices: int) -> None:
        """Keep how many matrices met too few tokens, where there are any."""
        if matrices and self.few.get(place) != matrices:
            self.few[place] = matrices
            self._keep()

    def left_alone(self, place: str, kinds: Mapping[str, int]) -> None:
        """Keep what a smoothing found no place to fold into, where there is something."""
        if kinds:
            self.left[place] = dict(kinds)
            self._keep()

    def notes(self) -> tuple[str, ...]:
        """What the user should know, a sentence or two each."""
        found = list(self.heard)
        if self.few:
            found.append(
                f"{sum(self.few.values())} matrices met too few tokens of the text to learn from, "
                "and were rounded to the nearest. More text would help."
            )
        kinds: Counter[str] = Counter()
        for left in self.left.values():
            kinds.update(left)
        if kinds:
            left_alone = ", ".join(f"{kind} ({count})" for kind, count in kinds.items())
            found.append(
                f"{self.smoothing} left some matrices as they are, because nothing was found that "
                f"their scaling folds into: {left_alone}."
            )
        return tuple(found)

    def _keep(self) -> None:
        content = {"of": self.key, "heard": self.heard, "few": self.few, "left": self.left}
        write_atomic(self.path, json.dumps(content).encode())

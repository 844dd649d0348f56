"""Which of a repository's files make up the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.core.errors import BadModelFile, Unsupported
from app.core.hub import HubFile, HubModelDetails
from app.hub.names import check_distinct
from app.models.gguf_file import PART
from app.models.safetensors_folder import (
    INDEX,
    PICKLES,
    SINGLE,
    SMALL,
    SafetensorsFolder,
    pickle_refused,
    weight_map,
)

GGUF = "gguf"
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
#: GGUF files that another one can be made of without losing accuracy twice, the best first.
_GOOD_SOURCES = ("bf16", "f16", "fp16", "f32", "q8_0")


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of one model."""

    kind: str
    """"safetensors" or "gguf"."""
    small: tuple[HubFile, ...]
    """Config and tokenizer."""
    weights: tuple[HubFile, ...]

    @property
    def files(self) -> tuple[HubFile, ...]:
        """All of them, the small ones first."""
        return *self.small, *self.weights

    @property
    def nbytes(self) -> int:
        """Of all of them."""
        return sum(file.nbytes for file in self.files)

    def sizes(self, folder: Path) -> dict[Path, int]:
        """Bytes of each, by its place in `folder`."""
        return {folder / file.name: file.nbytes for file in self.files}

    def narrowed(self, folder: Path) -> Selection:
        """Only the weights that the index in `folder` lists, where there is an index.

        Raises:
            BadModelFile: The index is damaged, or lists what the repository does not have.
        """
        listed = set(weight_map(folder).values()) if not self._is_single else set()
        if not listed:
            return self
        by_name = {file.name: file for file in self.weights}
        missing = min(listed - by_name.keys(), default="")
        if missing:
            raise BadModelFile(
                f"{INDEX} lists {missing[:80]!r}, which the repository does not have.",
                "The upload may not be complete: choose another version of the model.",
            )
        return replace(self, weights=tuple(by_name[name] for name in sorted(listed)))

    @property
    def _is_single(self) -> bool:
        return [file.name for file in self.weights] == [SINGLE]


def select(details: HubModelDetails, file: str = "") -> Selection:
    """The files that are needed: no second copies, no other programs' formats.

    Args:
        details: The repository.
        file: Name of one of its GGUF files; "" to let its safetensors come first.

    Raises:
        BadModelFile: There is no such file, or no model.
        Unsupported: The model is of a kind that this application does not read.
    """
    by_name = {found.name: found for found in details.files}
    if file:
        if not file.lower().endswith(".gguf") or file not in by_name:
            raise BadModelFile(
                f"{details.model.id} has no GGUF file called {file}.",
                f"See what it has with: nibble inspect {details.model.id}",
            )
        return _gguf(by_name, file)
    weights = _safetensors(by_name)
    if weights:
        small = tuple(by_name[name] for name in SMALL if name in by_name)
        check_distinct(found.name for found in (*small, *weights))
        return Selection(SafetensorsFolder.kind, small, weights)
    if details.gguf_files:
        return _gguf(by_name, _best_gguf(details))
    raise _nothing(details)


def _safetensors(by_name: dict[str, HubFile]) -> tuple[HubFile, ...]:
    """In the order of preference of transformers: one file, numbered parts, any other."""
    if SINGLE in by_name:
        return (by_name[SINGLE],)
    own = [
        name
        for name in by_name
        if name.endswith(".safetensors") and "/" not in name and not _is_copy(name)
    ]
    numbered = [name for name in own if _SHARD.fullmatch(name)]
    found = own if INDEX in by_name else numbered or own
    return tuple(by_name[name] for name in sorted(found))


def _is_copy(name: str) -> bool:
    """Mistral's second copy of the weights, and adapters, are no part of the model."""
    return name.startswith(("consolidated", "adapter_"))


def _gguf(by_name: dict[str, HubFile], file: str) -> Selection:
    folder, slash, name = file.rpartition("/")
    part = PART.fullmatch(name)
    names = [file]
    if part is not None:
        stem, count = part[1], int(part[3])
        names = [
            f"{folder}{slash}{stem}-{n:05}-of-{count:05}{part[4]}"
            for n in range(1, min(count, len(by_name) + 1) + 1)
        ]
    missing = next((name for name in names if name not in by_name), "")
    if missing:
        raise BadModelFile(
            f"{missing}, a part of the model, is not in the repository.",
            "The upload may not be complete: choose another file.",
        )
    return Selection(GGUF, (), tuple(by_name[name] for name in names))


def _best_gguf(details: HubModelDetails) -> str:
    names = [file.name for file in details.gguf_files if not _is_projector(file.name)]
    for wanted in _GOOD_SOURCES:
        pattern = re.compile(rf"(?i)(^|[-._/]){wanted}([-._]|$)")
        found = sorted(name for name in names if pattern.search(name))
        if found:
            return found[0]
    if len(names) == 1:
        return names[0]
    raise Unsupported(
        f"{details.model.id} holds only GGUF files that are quantized already.",
        _where_from(details.base_models)
        or "They can be used as they are: download the one that fits this computer.",
    )


def _is_projector(name: str) -> bool:
    return "mmproj" in name.lower()


def _where_from(base_models: Sequence[str]) -> str:
    return f"They were made from {base_models[0]}: choose that one." if base_models else ""


def _nothing(details: HubModelDetails) -> Unsupported | BadModelFile:
    names = [file.name for file in details.files]
    pickle = next((name for name in names if Path(name).suffix.lower() in PICKLES), "")
    if pickle:
        return pickle_refused(pickle)
    if "adapter_config.json" in names:
        return Unsupported(
            f"{details.model.id} is an adapter (LoRA), not a whole model.",
            "Choose a version that was merged with its base model.",
        )
    return BadModelFile(
        f"{details.model.id} has no safetensors or GGUF files.",
        "Choose another version of the model.",
    )

"""Models on the hub: what a search finds, what a model's page says, and whether it can be used.

These cross the border between processes as JSON: `to_json` gives plain values, `from_json` is
its inverse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

_PART = r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_HUB_ID = re.compile(rf"({_PART}/{_PART})(?:@({_PART}(?:/{_PART})*))?", re.ASCII)
_FILE_ENDINGS = (".gguf", ".safetensors", ".json", ".bin", ".git")


def is_hub_id(text: str) -> bool:
    """Whether `text` names a model on the hub: "org/name", or "org/name@revision".

    A path is told apart by its shape alone: it is absolute, starts with a dot, has more or
    fewer parts, or ends like a file. Whoever takes what a person typed looks first whether
    there is a folder of that name.
    """
    return hub_id(text) is not None


def hub_id(text: str) -> tuple[str, str] | None:
    """The repository and the revision ("" for the newest one) that `text` names, if any."""
    match = _HUB_ID.fullmatch(text)
    if match is None or "--" in match[1] or ".." in text:
        return None
    if match[1].lower().endswith(_FILE_ENDINGS):
        return None
    return match[1], match[2] or ""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model in a list of search results."""

    id: str
    """"org/name"."""
    author: str = ""
    downloads: int = 0
    """Of the last 30 days."""
    likes: int = 0
    updated: str = ""
    """ISO 8601 time, UTC."""
    tags: tuple[str, ...] = ()
    licence: str = ""
    """The hub's short name of it: "apache-2.0"; "" when the page does not say."""
    gated: str = ""
    """"" open; "auto": agree to its terms; "manual": its owner decides who gets it."""
    task: str = ""
    """What it is for, in the hub's words: "text-generation"."""
    parameters: int = 0
    """Number of weights; 0 where the hub does not say."""
    nbytes: int = 0
    """Bytes of its weights; 0 where the hub does not say."""
    kind: str = ""
    """"safetensors", "gguf", or "" when it has neither."""
    quantized: str = ""
    """How it has been quantized already ("GGUF", "GPTQ", "AWQ"); "" for an original."""
    private: bool = False


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Some results of a search."""

    models: tuple[HubModel, ...]
    next: str = ""
    """What to pass as `page` for the results that follow; "" when there are no more."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the border between processes."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> SearchPage:
        """Inverse of `to_json`.

        Raises:
            ValueError: The fields are not those of a page of results.
        """
        try:
            return cls(tuple(_model(row) for row in fields["models"]), fields["next"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a page of search results") from error


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository."""

    name: str
    """Its path in the repository."""
    nbytes: int
    sha256: str = ""
    """Of its content, for the large files (LFS); else ""."""
    git_sha1: str = ""
    """Of its content as a git blob, for the small files; else ""."""


@dataclass(frozen=True, slots=True)
class HubModelDetails:
    """A model's page, at one commit."""

    model: HubModel
    commit: str
    """40 hexadecimal digits."""
    files: tuple[HubFile, ...]
    card: str = ""
    """The text of its page (Markdown) as its author wrote it: never shown unescaped."""
    base_models: tuple[str, ...] = ()
    """What it was made from, in the words of its page."""

    @property
    def gguf_files(self) -> tuple[HubFile, ...]:
        """The GGUF files it has already, the smallest first."""
        found = [file for file in self.files if file.name.lower().endswith(".gguf")]
        return tuple(sorted(found, key=lambda file: file.nbytes))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the border between processes."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> HubModelDetails:
        """Inverse of `to_json`.

        Raises:
            ValueError: The fields are not those of a model's page.
        """
        try:
            return cls(
                **{
                    **fields,
                    "model": _model(fields["model"]),
                    "files": tuple(HubFile(**row) for row in fields["files"]),
                    "base_models": tuple(fields["base_models"]),
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a model of the hub") from error


class Convertibility(StrEnum):
    """Whether a model can be converted."""

    YES = "yes"
    LIMITS = "yes, with limits"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Convertible:
    """The answer to "can Nibble convert this?", and why."""

    word: Convertibility
    sentences: tuple[str, ...] = ()
    """Reasons or limits, in plain words."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the border between processes."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Convertible:
        """Inverse of `to_json`.

        Raises:
            ValueError: The fields are not those of an answer.
        """
        try:
            return cls(Convertibility(fields["word"]), tuple(fields["sentences"]))
        except (KeyError, TypeError) as error:
            raise ValueError("not an answer") from error


def _model(row: Mapping[str, Any]) -> HubModel:
    return HubModel(**{**row, "tags": tuple(row["tags"])})

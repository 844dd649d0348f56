"""A model's page: its files at one commit, and what its author says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from app.core.hub import HubFile, HubModelDetails
from app.hub import errors
from app.hub.client import Client
from app.hub.names import is_plain
from app.hub.search import model_of

CARD = "README.md"
_LONGEST_CARD = 1_000_000
_MOST_FILES = 200_000
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def model(client: Client, repo: str, revision: str = "", *, card: bool = True) -> HubModelDetails:
    """Everything about a model that can be known without its weights.

    Args:
        client: The hub.
        repo: "org/name".
        revision: Branch, tag or commit; "" for the newest.
        card: Whether to read the text of its page, too.

    Raises:
        AppError: There is no such model, or the hub cannot be asked.
    """
    path = f"api/models/{quote(repo)}"
    if revision:
        path += f"/revision/{quote(revision, safe='')}"
    page, _ = client.json(path, [("blobs", "true")], about=repo)
    if not isinstance(page, Mapping):
        raise errors.strange_answer(client.endpoint, "no description of a model")
    commit = page.get("sha")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise errors.strange_answer(client.endpoint, "no commit")
    files = _files(page, client.endpoint)
    text = ""
    if card and any(file.name == CARD for file in files):
        text = _card(client, repo, commit)
    found = model_of({**page, "id": repo})
    return HubModelDetails(found, commit, files, text, _base_models(page))


def _files(page: Mapping[str, Any], endpoint: str) -> tuple[HubFile, ...]:
    """The files with plain names and known sizes; others are none of ours."""
    listed = page.get("siblings")
    rows = listed if isinstance(listed, list) else []
    if len(rows) > _MOST_FILES:
        raise errors.strange_answer(endpoint, f"a model of {len(rows):,} files")
    found = [_file(row) for row in rows if isinstance(row, Mapping)]
    return tuple(file for file in found if file is not None)


def _file(row: Mapping[str, Any]) -> HubFile | None:
    name, size, lfs, blob = (row.get(key) for key in ("rfilename", "size", "lfs", "blobId"))
    if not isinstance(name, str) or not is_plain(name):
        return None
    if type(size) is not int or not 0 <= size < 2**50:
        return None
    if isinstance(lfs, Mapping):
        sha256 = lfs.get("sha256")
        known = isinstance(sha256, str) and _SHA256.fullmatch(sha256)
        return HubFile(name, size, sha256=str(sha256)) if known else None
    known = isinstance(blob, str) and _COMMIT.fullmatch(blob)
    return HubFile(name, size, git_sha1=str(blob)) if known else None


def _card(client: Client, repo: str, commit: str) -> str:
    try:
        url = client.file_url(repo, commit, CARD)
        return client.read(url, _LONGEST_CARD, about=repo).decode(errors="replace")
    except (errors.AccessDenied, errors.NotOnHub):  # gated files; the page itself is public
        return ""


def _base_models(page: Mapping[str, Any]) -> tuple[str, ...]:
    card = page.get("cardData")
    said = card.get("base_model") if isinstance(card, Mapping) else None
    names = said if isinstance(said, list) else [said]
    return tuple(name[:200] for name in names if isinstance(name, str))

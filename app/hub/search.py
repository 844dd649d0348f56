"""Finding models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.errors import Unsupported
from app.core.hub import HubModel, SearchPage
from app.encodings.base import DTYPE_BYTES
from app.hub import errors
from app.hub.client import Client

SORTS = {
    "trending": "trendingScore",
    "downloads": "downloads",
    "likes": "likes",
    "updated": "lastModified",
    "new": "createdAt",
}
"""Orders of results by our names, and the hub's."""

_FIELDS = (
    "author", "cardData", "createdAt", "downloads", "gated", "gguf", "lastModified", "likes",
    "pipeline_tag", "private", "safetensors", "tags",
)  # fmt: skip

#: Tags that tell a model that has been quantized already, and what to call it.
_QUANTIZED = {
    "gguf": "GGUF",
    "gptq": "GPTQ",
    "awq": "AWQ",
    "exl2": "EXL2",
    "exl3": "EXL3",
    "mlx": "MLX",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed",
    "hqq": "HQQ",
    "aqlm": "AQLM",
    "fp8": "FP8",
    "nvfp4": "NVFP4",
    "8-bit": "8 bit",
    "4-bit": "4 bit",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What results have to be like; "" means any."""

    task: str = ""
    author: str = ""
    kind: str = ""
    """"gguf" for models that are GGUF files already; "original" for safetensors."""


def search(
    client: Client,
    query: str,
    filters: Filters | None = None,
    *,
    sort: str = "trending",
    limit: int = 20,
    page: str = "",
) -> SearchPage:
    """A page of results.

    Args:
        client: The hub.
        query: Words of the name; may be empty.
        filters: What results have to be like.
        sort: One of `SORTS`.
        limit: Results a page, 1 to 100.
        page: `SearchPage.next` of the page before.

    Raises:
        AppError: The hub cannot be asked.
    """
    if sort not in SORTS:
        raise Unsupported(f"There is no order called {sort!r}.", f"Choose: {', '.join(SORTS)}.")
    wanted = filters or Filters()
    tag = {"gguf": "gguf", "original": "safetensors"}.get(wanted.kind, "")
    said = {
        "search": query.strip(),
        "author": wanted.author,
        "filter": tag,
        "pipeline_tag": wanted.task,
        "sort": SORTS[sort],
        "limit": str(min(max(limit, 1), 100)),
        "cursor": page,
    }
    parameters = [(key, value) for key, value in said.items() if value]
    found, following = client.json(
        "api/models", [*parameters, *(("expand", field) for field in _FIELDS)]
    )
    if not isinstance(found, list):
        raise errors.strange_answer(client.endpoint, "no list of models")
    models = tuple(model_of(row) for row in found if isinstance(row, Mapping))
    if wanted.kind == "original":
        models = tuple(model for model in models if not model.quantized)
    return SearchPage(models, following)


def model_of(row: Mapping[str, Any]) -> HubModel:
    """A model as the hub's answers describe it; fields that are missing or odd are left out."""
    tags = tuple(tag for tag in _list(row.get("tags")) if isinstance(tag, str))
    tensors, gguf = _mapping(row.get("safetensors")), _mapping(row.get("gguf"))
    by_dtype = _mapping(tensors.get("parameters"))
    repo = _text(row.get("id") or row.get("modelId"))
    return HubModel(
        id=repo,
        author=_text(row.get("author")) or repo.partition("/")[0],
        downloads=_count(row.get("downloads")),
        likes=_count(row.get("likes")),
        updated=_text(row.get("lastModified")),
        tags=tags,
        licence=_licence(row, tags),
        gated=_text(row.get("gated")),
        task=_text(row.get("pipeline_tag")),
        parameters=_count(tensors.get("total")) or _count(gguf.get("total")),
        nbytes=sum(_count(number) * DTYPE_BYTES.get(kind, 0) for kind, number in by_dtype.items()),
        kind="safetensors" if "safetensors" in tags else "gguf" if "gguf" in tags else "",
        quantized=_quantized(tags),
        private=row.get("private") is True,
    )


def _quantized(tags: tuple[str, ...]) -> str:
    for tag in tags:
        if tag.lower() in _QUANTIZED:
            return _QUANTIZED[tag.lower()]
    return "quantized" if any(tag.startswith("base_model:quantized:") for tag in tags) else ""


def _licence(row: Mapping[str, Any], tags: tuple[str, ...]) -> str:
    card = _mapping(row.get("cardData"))
    said = _text(card.get("license_name")) or _text(card.get("license"))
    tagged = next((tag for tag in tags if tag.startswith("license:")), "")
    return said or tagged.removeprefix("license:")


def _text(value: object) -> str:
    """A short text of the hub on one line; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return "".join(letter for letter in value if letter.isprintable())[:300]


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**63 else 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

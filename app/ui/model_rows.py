"""Models of every origin as rows of one list."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QCoreApplication

from app.core import words
from app.core.fit import Fit
from app.core.hub import HubModel
from app.ui.local_models import LocalModel
from app.ui.phrases import model_title
from app.ui.widgets.model_list import ModelRow


def hub_row(model: HubModel, fit: Fit | None, *, is_favourite: bool) -> ModelRow:
    """A model of the hub, with what is known of it."""
    parts = [model.author]
    parts += [words.count(model.parameters)] if model.parameters else []
    parts += [words.size(model.nbytes)] if model.nbytes else []
    parts += [model.quantized] if model.quantized else []
    if model.downloads:
        downloads = QCoreApplication.translate("ModelRows", "{} downloads")
        parts.append(downloads.format(words.count(model.downloads)))
    return ModelRow(
        key=model.id,
        title=model_title(model.id),
        facts="  ·  ".join(parts),
        fit=fit,
        is_favourite=is_favourite,
        is_gated=bool(model.gated),
    )


def local_row(model: LocalModel) -> ModelRow:
    """A model on this computer."""
    return ModelRow(model.path, model.name, words.size(model.nbytes), is_local=True)


def named(rows: Iterable[ModelRow], text: str) -> list[ModelRow]:
    """Those whose name has every word of `text`."""
    wanted = text.lower().split()
    return [row for row in rows if all(word in row.key.lower() for word in wanted)]

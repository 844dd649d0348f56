"""`nibble lora ADAPTER`: a PEFT folder becomes an adapter for llama.cpp."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.companion import add_companion_options, write
from app.core.errors import BadModelFile
from app.core.hub import hub_id
from app.core.names import safe_name

if TYPE_CHECKING:
    from app.models.adapter import Adapter


class Lora(Command):
    """Converts the adapter alone; the model that it is for stays a file of its own."""

    name: ClassVar[str] = "lora"
    help: ClassVar[str] = "convert an adapter (LoRA) into a GGUF file for use with a model"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("adapter", type=Path, help="a folder with adapter_config.json")
        parser.add_argument(
            "--base",
            type=Path,
            help="the model that it was made from: its folder or its config.json "
            "(default: found on this computer by the adapter's own words)",
        )
        add_companion_options(parser)

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.formats.gguf.lora import adapter_conversion
        from app.models.adapter import Adapter, describe_base

        adapter = Adapter(args.adapter)
        base = args.base or _find(adapter)
        conversion = adapter_conversion(adapter, describe_base(base))
        name = f"{safe_name(adapter.name)}-lora-{args.format}.gguf"
        return write(conversion, args, name, adapter.files)


def _find(adapter: Adapter) -> Path:
    """The base model on this computer.

    Raises:
        BadModelFile: It is nowhere.
    """
    for place in _places(adapter):
        if (place / "config.json").is_file():
            return place
    named = adapter.base or "a model that it does not name"
    raise BadModelFile(
        f"The adapter was made from {named}, which is not on this computer.",
        "Say where it is with --base FOLDER; its config.json is enough.",
    )


def _places(adapter: Adapter) -> Iterator[Path]:
    """Where the base model may be: as named, beside the adapter, or where hub models are kept."""
    from app.core.places import user_data
    from app.hub.names import shared_home

    if not adapter.base:
        return
    named = Path(adapter.base).expanduser()
    yield named
    yield adapter.path.resolve().parent / named.name
    hub = hub_id(adapter.base)
    if hub is None:
        return
    repo = hub[0]
    yield from sorted((user_data() / "models" / repo.replace("/", "--")).glob("*/*"))
    cache = Path(os.environ.get("HF_HUB_CACHE") or shared_home() / "hub").expanduser()
    yield from sorted((cache / f"models--{repo.replace('/', '--')}" / "snapshots").glob("*"))

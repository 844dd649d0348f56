"""`nibble search QUERY`: find models on the hub.

With --json, one document (`core.hub.SearchPage`):

    {"models": [{"id": "org/name", "author": "org", "downloads": 12, "likes": 3,
                 "updated": "2026-05-01T10:00:00.000Z", "tags": ["safetensors"],
                 "licence": "apache-2.0", "gated": "", "task": "text-generation",
                 "parameters": 8030261248, "nbytes": 16060522496,
                 "kind": "safetensors", "quantized": "", "private": false}],
     "next": "what --page takes for the results that follow, or empty"}
"""

from __future__ import annotations

import argparse
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command
from app.commands.terminal import positive, table
from app.core import words
from app.core.hub import HubModel


class Search(Command):
    """Asks the hub; nothing is downloaded."""

    name: ClassVar[str] = "search"
    help: ClassVar[str] = "find models on the hub"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("query", nargs="?", default="", help="words of the model's name")
        parser.add_argument("--limit", type=positive, default=20, help="default: 20, at most 100")
        parser.add_argument(
            "--sort", default="trending", help="trending, downloads, likes, updated or new"
        )
        parser.add_argument("--task", default="", help="for example: text-generation")
        parser.add_argument("--author", default="", help="only models of this person or group")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--gguf", action="store_true", help="only models that are GGUF already")
        kind.add_argument(
            "--original", action="store_true", help="only models that nobody has quantized"
        )
        parser.add_argument("--page", default="", help='"next" of the page before')

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.hub.client import Client
        from app.hub.search import Filters, search

        kind = "gguf" if args.gguf else "original" if args.original else ""
        filters = Filters(args.task, args.author, kind)
        with Client() as client:
            page = search(
                client, args.query, filters, sort=args.sort, limit=args.limit, page=args.page
            )
        if not page.models:
            return Answer("Nothing found. Try fewer words.", page.to_json())
        head = ("model", "weights", "size", "downloads", "licence", "")
        return Answer(table(head, [_row(model) for model in page.models]), page.to_json())


def _row(model: HubModel) -> tuple[str, ...]:
    return (
        model.id,
        words.count(model.parameters) if model.parameters else "",
        words.size(model.nbytes) if model.nbytes else "",
        words.count(model.downloads),
        model.licence,
        ", ".join(filter(None, (model.quantized, "asks to sign in" if model.gated else ""))),
    )

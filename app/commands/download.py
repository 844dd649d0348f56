"""`nibble download REPO`: bring a model of the hub to this computer.

Progress goes to standard error, with --events as JSON lines (`core.events`: "Progress" with the
phase "download", and "Note"). With --json, one document at the end:

    {"model": "org/name", "commit": "40 hexadecimal digits", "folder": "/where/it/is",
     "files": ["/where/it/is/config.json"], "nbytes": 16060522496}

Stopped (Ctrl+C, or killed), it goes on where it stood when it is asked again.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from app.commands.base import INTERRUPTED, Answer, Command
from app.commands.terminal import ProgressLine
from app.core import words
from app.core.errors import Unsupported
from app.core.events import Event, encode
from app.core.hub import hub_id

_RATE_UNIT = 1e6


class Download(Command):
    """Downloads what is needed of a model, checks it, and says where it is."""

    name: ClassVar[str] = "download"
    help: ClassVar[str] = "download a model of the hub, or go on with it"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("model", help="org/name, or org/name@version")
        parser.add_argument("--to", type=Path, help="folder (default: Nibble's own)")
        parser.add_argument("--file", default="", help="one GGUF file of the model")
        parser.add_argument("--events", action="store_true", help="progress as JSON lines")
        parser.add_argument("--rate", type=float, default=0.0, help="at most so many MB a second")

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.hub.client import Client
        from app.hub.details import model
        from app.hub.download import Wish, download
        from app.hub.names import model_folder
        from app.hub.selection import select

        repo, revision = named(args.model)
        line = ProgressLine()
        show = _print_event if args.events else line.show
        with Client() as client:
            details = model(client, repo, revision, card=False)
            folder = (args.to or model_folder(repo, details.commit)).expanduser().absolute()
            wish = Wish(details, select(details, args.file), folder, args.rate * _RATE_UNIT)
            try:
                with closing(download(client, wish)) as events:
                    for event in events:
                        show(event)
            except KeyboardInterrupt:
                text = "Stopped. Run the same command again: it goes on where it stood."
                return Answer(text, {"state": "interrupted"}, INTERRUPTED)
            finally:
                line.clear()
        selection = wish.selection.narrowed(folder)
        document = {
            "model": repo,
            "commit": details.commit,
            "folder": str(folder),
            "files": [str(folder / file.name) for file in selection.files],
            "nbytes": selection.nbytes,
        }
        return Answer(f"{folder}\n{words.size(selection.nbytes)}, every file checked", document)


def _print_event(event: Event) -> None:
    sys.stderr.write(encode(event) + "\n")
    sys.stderr.flush()


def named(text: str) -> tuple[str, str]:
    """Repository and revision that a person has typed.

    Raises:
        Unsupported: It is no id of a model.
    """
    found = hub_id(text)
    if found is None:
        raise Unsupported(
            f"{text!r} is not the name of a model on the hub.",
            "Names look like Qwen/Qwen3-8B: an author, a slash, a model.",
        )
    return found

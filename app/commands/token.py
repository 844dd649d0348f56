"""`nibble token`: keep the access token of the hub, for models that want to know who asks.

The token is asked for, or read from standard input; as an argument, every program on this
computer could see it.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import ClassVar

from typing_extensions import override

from app.commands.base import Answer, Command


class Token(Command):
    """Saves or forgets the token; never shows it."""

    name: ClassVar[str] = "token"
    help: ClassVar[str] = "keep an access token for the hub (it is asked for, never shown)"

    @override
    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--forget", action="store_true", help="remove the one that is kept")

    @override
    def run(self, args: argparse.Namespace) -> Answer:
        from app.hub.token import forget_token, save_token

        if args.forget:
            forget_token()
            return Answer("The token is forgotten.", {"kept": False})
        asked = sys.stdin.isatty()
        text = getpass.getpass("Access token: ") if asked else sys.stdin.readline()
        return Answer(save_token(text), {"kept": True})

"""Parses a command line, runs its command, and says what came of it."""

from __future__ import annotations

import argparse
import json
import sys

from app import __version__
from app.commands.base import BAD_INPUT, INTERRUPTED, Answer, Command
from app.core.discover import discover
from app.core.errors import AppError


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    commands = {name: cls() for name, cls in discover("app.commands", Command).items()}
    args = _parser(commands).parse_args(arguments)
    try:
        answer = commands[args.command].run(args)
    except AppError as error:
        fields = {"title": error.title, "hint": error.hint, "details": error.details}
        answer = Answer(f"error: {error.title} {error.hint}".strip(), {"error": fields}, BAD_INPUT)
    except KeyboardInterrupt:
        return INTERRUPTED
    _say(answer, as_json=args.json)
    return answer.code


def _say(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(answer.document, ensure_ascii=False, indent=1) + "\n")
    if answer.code:
        sys.stderr.write(answer.text + "\n")
    elif not as_json:
        sys.stdout.write(answer.text + "\n")
    sys.stdout.flush()


def _parser(commands: dict[str, Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nibble",
        description="Makes a language model fit your own computer. "
        "Without a command, the window opens.",
    )
    parser.add_argument("--version", action="version", version=f"nibble {__version__}")
    words = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands.values():
        child = words.add_parser(command.name, help=command.help, description=command.help)
        child.add_argument("--json", action="store_true", help="print one JSON document")
        command.configure(child)
    return parser

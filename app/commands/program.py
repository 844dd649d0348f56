"""Parses a command line, runs its command, and says what came of it."""

from __future__ import annotations

import argparse
import json
import sys

from app import __version__
from app.commands.base import BAD_INPUT, INTERRUPTED, JOB_FAILED, Answer, Command
from app.core.discover import discover
from app.core.errors import AppError, BadModelFile, Unsupported
from app.core.files import write_atomic
from app.core.places import user_data
from app.worker.failure import describe


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    commands = {name: cls() for name, cls in discover("app.commands", Command).items()}
    args = _parser(commands).parse_args(arguments)
    try:
        answer = commands[args.command].run(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - this process's border
        answer = _failure(error)
    _say(answer, as_json=args.json)
    return answer.code


def _failure(error: Exception) -> Answer:
    """One line that says what happened and what to do; the technical text goes to a file."""
    failed = describe(error)
    text = f"error: {failed.title} {failed.hint}".strip()
    if not isinstance(error, AppError):
        place = user_data() / "last-error.txt"
        write_atomic(place, failed.details.encode())
        text += f" The details are in {place}."
    fields = {"title": failed.title, "hint": failed.hint, "details": failed.details}
    at_fault = isinstance(error, BadModelFile | Unsupported)
    return Answer(text, {"error": fields}, BAD_INPUT if at_fault else JOB_FAILED)


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

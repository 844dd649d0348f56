"""The part of a command line that says what is wanted: the options of a recipe."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.terminal import byte_count, positive, whole
from app.core.recipe import ALL_VALUES, AUTOMATIC, Recipe

if TYPE_CHECKING:
    from app.formats.base import Preset


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Declare everything that a recipe can say besides its preset."""
    group = parser.add_argument_group("recipe")
    group.add_argument("--pure", action="store_true", help="give every weight matrix the same type")
    group.add_argument(
        "--tensor",
        type=_override,
        action="append",
        default=[],
        metavar="PATTERN=TYPE",
        help="type of the tensors in whose names the regular expression is found, such as "
        "ffn_down=Q6_K; the first that is found counts (repeatable)",
    )
    group.add_argument("--output-type", default="", metavar="TYPE", help="of the output layer")
    group.add_argument(
        "--embedding-type", default="", metavar="TYPE", help="of the token embedding"
    )
    group.add_argument(
        "--leave-output", action="store_true", help="leave the output layer as it is stored"
    )
    group.add_argument(
        "--metadata",
        type=_entry,
        action="append",
        default=[],
        metavar="KEY=TYPE:VALUE",
        help="set an entry of the file, such as general.name=str:Mine; TYPE is int, float, bool "
        "or str (repeatable)",
    )
    group.add_argument(
        "--split", type=byte_count, default=0, metavar="SIZE", help="files of at most: 2G, 500M"
    )
    group.add_argument(
        "--imatrix",
        default="",
        metavar="FILE|auto",
        help="importance matrix to weigh errors by: a file, or auto to compute it (default: "
        "auto for the formats that need one)",
    )
    _add_method_options(group)
    group.add_argument(
        "--allow-requantize",
        action="store_true",
        help="accept a model that is quantized already; its accuracy is lost twice",
    )


def _add_method_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--method",
        default="",
        help="what chooses the stored numbers: nearest, clipped, hqq, gptq, awq, smoothquant, or "
        "two such as awq+gptq (default: the format's own; see: nibble formats --methods)",
    )
    group.add_argument(
        "--set",
        type=_option,
        action="append",
        default=[],
        dest="options",
        metavar="OPTION=VALUE",
        help="an option of the method, such as damping=0.05 (repeatable)",
    )
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="text, or chats (.jsonl), that the model is shown for a method or an importance "
        "matrix (default: Nibble's own)",
    )
    group.add_argument(
        "--samples", type=positive, default=0, help="pieces of that text for a method, at most"
    )
    group.add_argument("--length", type=positive, default=0, help="tokens of each piece")
    group.add_argument(
        "--seed", type=whole, default=0, help="take other pieces of a longer text (default: 0)"
    )
    group.add_argument(
        "--percentile",
        type=float,
        default=ALL_VALUES,
        metavar="SHARE",
        help="of the inputs' values that a stored range holds, such as 99.99, for formats with "
        "static scales (default: all)",
    )


def recipe_of(args: argparse.Namespace, preset: Preset) -> Recipe:
    """What the options say, with `preset` as the base."""
    plain = preset.recipe()
    method = "".join(args.method.lower().split()) or plain.method
    return replace(
        plain,
        method=method,
        options=tuple(args.options),
        pure=args.pure,
        overrides=tuple(args.tensor),
        output=args.output_type,
        embedding=args.embedding_type,
        leave_output=args.leave_output,
        percentile=args.percentile,
        requantize=args.allow_requantize,
        split_bytes=args.split,
        metadata=tuple(args.metadata),
        importance=_importance(args, method, preset) or plain.importance,
    )


def _importance(args: argparse.Namespace, method: str, preset: Preset) -> str:
    """A text is for the matrix, unless the method wants to see it or the format has none."""
    if args.imatrix and args.imatrix != AUTOMATIC:
        return str(Path(args.imatrix).absolute())
    if args.imatrix:
        return AUTOMATIC
    from app.calibration.treatment import Treatment
    from app.formats import find_preset

    is_file = bool(find_preset(preset.name)[0].extension)
    return AUTOMATIC if args.calibration and is_file and not Treatment.of(method).needs else ""


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form OPTION=VALUE")
    return name.strip(), value


def _override(text: str) -> tuple[str, str]:
    pattern, _, kind = text.rpartition("=")
    if not pattern or not kind:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form PATTERN=TYPE")
    return pattern, kind


def _entry(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key or ":" not in value:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=TYPE:VALUE")
    return key, value

"""What a model card says once its job is done: the text that was shown, and what was measured."""

from __future__ import annotations

from app.core import words
from app.core.report import Quality, Report
from app.evaluation.verdict import figure


def with_results(card: str, report: Report) -> str:
    """A card that ends in a table of what was planned, with what came of it.

    Args:
        card: As it was planned.
        report: Of the finished job, measured or not.
    """
    chosen = report.recipe
    rows = []
    if "samples" in chosen:
        seed = f", seed {chosen['seed']}" if chosen["seed"] else ""
        rows.append(
            f"| Calibrated with | {_cell(chosen['text'])}: at most {chosen['samples']:,} pieces of "
            f"{chosen['length']:,} tokens{seed} |"
        )
    adapters = "; ".join(f"{_cell(name)}, scale {scale:g}" for name, scale in _adapters(report))
    if adapters:
        rows.append(f"| Adapters merged | {adapters} |")
    lines = [*rows, *(_measured(report.quality) if report.quality else [])]
    return card + "".join(f"{line}\n" for line in lines)


def _adapters(report: Report) -> list[tuple[str, float]]:
    return [(str(name), float(scale)) for name, scale in report.recipe.get("adapters", ())]


def _measured(quality: Quality) -> list[str]:
    before, after = quality.perplexity_before, quality.perplexity_after
    text = f"{quality.tokens:,} tokens of Nibble's text for evaluation"
    return [
        "",
        "## What was lost",
        "",
        "| | source | this model |",
        "|---|---|---|",
        f"| Perplexity | {before:.3f} | {after:.3f} |",
        f"| KL divergence from the source | | {figure(quality.kl_mean)} nats |",
        f"| the same, worst 1 % | | {figure(quality.kl_p99)} nats |",
        f"| Same next word | | {words.percent(quality.same_top)} |",
        "",
        f"Measured on {text}, {quality.context:,} at a time.",
    ]


def _cell(name: str) -> str:
    """A name of a file, which may hold anything, as one cell of a table."""
    return "".join(letter if letter.isalnum() or letter in " ._-()" else "_" for letter in name)

"""A report as a text to paste (Markdown) or a page to keep and print (HTML).

The page needs nothing but itself: no scripts, no network. Names in a report come from files
that strangers made, so every text is escaped where it enters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import takewhile

from app.core import words
from app.core.places import resources
from app.core.report import Report, Sample
from app.evaluation.breakdown import by_part, heat_map
from app.evaluation.figures import heat_squares, size_bars
from app.evaluation.verdict import figure, verdict

_ARROW = "\N{RIGHTWARDS ARROW}"
_TENSOR_COLUMNS = ("Tensor", "Encoding", "Shape", "Before", "After", "Error", "Largest error")


def to_markdown(report: Report) -> str:
    """The report as Markdown: headline, figures, tensors, samples and notes."""
    blocks = [
        f"# {_md(_title(report))}",
        f"**{_md(_headline(report))}**",
        _md(_verdict_line(report)),
        _md_table(("", ""), _figures(report)),
        "## Size by part",
        _md_table(("Part", "Before", "After"), _part_rows(report)),
        "## Tensors",
        _md_table(_TENSOR_COLUMNS, _tensor_rows(report)),
    ]
    if report.samples:
        blocks.append("## Both models in their own words")
        for sample in report.samples:
            blocks += [
                f"> {_md(sample.prompt)}",
                f"- before: {_md(sample.before)}\n- after: {_md(sample.after)}",
            ]
    if report.notes:
        blocks += ["## Notes", "\n".join(f"- {_md(note)}" for note in report.notes)]
    blocks += ["## How it was made", _md_table(("", ""), _making(report))]
    return "\n\n".join(block for block in blocks if block) + "\n"


def to_html(report: Report) -> str:
    """The report as one HTML page, light or dark as its reader's system is."""
    style = (resources() / "report" / "style.css").read_text(encoding="utf-8")
    title = escape(_title(report))
    heat = heat_map(report.tensors)
    sections = [
        f"<h1>{title}</h1>",
        f'<p class="headline">{escape(_headline(report))}</p>',
        f"<p>{escape(_verdict_line(report))}</p>",
        _html_list(_figures(report)),
        _section("Size by part", f"<figure>{size_bars(by_part(report.tensors))}</figure>"),
        _section("Error by layer", _heat_figure(heat_squares(heat), heat.largest))
        if heat.rows
        else "",
        _section("Both models in their own words", _html_samples(report.samples))
        if report.samples
        else "",
        _section("Notes", "".join(f"<p>{escape(note)}</p>" for note in report.notes))
        if report.notes
        else "",
        _section("Tensors", _html_table(_TENSOR_COLUMNS, _tensor_rows(report))),
        _section("How it was made", _html_list(_making(report))),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>\n{style}</style></head>\n"
        f"<body>\n{chr(10).join(filter(None, sections))}\n</body></html>\n"
    )


def _title(report: Report) -> str:
    return f"{report.model} as {report.preset}"


def _headline(report: Report) -> str:
    share = report.bytes_after / max(1, report.bytes_before)
    return (
        f"{words.size(report.bytes_before)} {_ARROW} {words.size(report.bytes_after)}, "
        f"{words.percent(share)} of the original"
    )


def _verdict_line(report: Report) -> str:
    if report.quality is None:
        return "The quality was not measured."
    found = verdict(report.quality)
    return f"{found.word.capitalize()}: {found.detail}"


def _figures(report: Report) -> list[tuple[str, str]]:
    rows = [
        ("Architecture", report.architecture),
        ("Weights", words.count(report.weights)),
        ("Bits a weight", f"{report.bits_per_weight:.2f}"),
        ("Time", words.duration(report.seconds)),
    ]
    quality = report.quality
    if quality is None:
        return rows
    before, after = quality.perplexity_before, quality.perplexity_after
    return [
        *rows,
        ("Perplexity", f"{before:.3f} {_ARROW} {after:.3f} ({after / before - 1:+.2%})"),
        ("KL divergence", f"{figure(quality.kl_mean)} nats; worst 1 % {figure(quality.kl_p99)}"),
        ("Same next word", words.percent(quality.same_top)),
        (
            "Measured on",
            f"{quality.tokens} tokens of the text {quality.text!r}, context {quality.context}",
        ),
    ]


def _part_rows(report: Report) -> Iterable[Sequence[str]]:
    for part in by_part(report.tensors):
        yield part.part, words.size(part.before), words.size(part.after)


def _tensor_rows(report: Report) -> Iterable[Sequence[str]]:
    for tensor in report.tensors:
        wanted = f" (instead of {tensor.wanted})" if tensor.wanted else ""
        yield (
            tensor.name,
            tensor.encoding + wanted,
            " \N{MULTIPLICATION SIGN} ".join(map(str, tensor.shape)),
            words.size(tensor.before),
            words.size(tensor.after),
            f"{100 * tensor.error:.3f} %",
            f"{tensor.max_error:.3g}",
        )


def _making(report: Report) -> list[tuple[str, str]]:
    return [
        ("Source", report.source),
        ("Result", report.target),
        ("Made", report.created),
        *((key.capitalize(), value) for key, value in report.choices.items()),
        *report.versions.items(),
    ]


def _md(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", " ".join(text.split()))


def _md_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *(tuple(map(_md, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}"


def _html_list(rows: Iterable[tuple[str, str]]) -> str:
    items = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{''.join(items)}</dl>"


def _html_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns from the third on are numbers."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = ["", "", *[' class="number"'] * len(row)]
        filled = (f"<{tag}{k}>{escape(t)}</{tag}>" for k, t in zip(kinds, row, strict=False))
        return f"<tr>{''.join(filled)}</tr>"

    body = "\n".join(cells("td", row) for row in rows)
    return f"<table><thead>{cells('th', heads)}</thead>\n<tbody>{body}</tbody></table>"


def _heat_figure(picture: str, largest: float) -> str:
    caption = (
        "Relative error of each matrix, the darker the larger; the darkest is "
        f"{100 * largest:.2f} %. The table below has every number."
    )
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _html_samples(samples: Sequence[Sample]) -> str:
    rows = []
    for sample in samples:
        letters = zip(sample.before, sample.after, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters))
        before, after = (
            escape(text[:same]) + (f"<mark>{escape(text[same:])}</mark>" if text[same:] else "")
            for text in (sample.before, sample.after)
        )
        rows.append(
            f'<tr><th colspan="2">{escape(sample.prompt)}</th></tr>'
            f"<tr><td>{before}</td><td>{after}</td></tr>"
        )
    head = "<tr><th>Original</th><th>Result; marked from where they differ</th></tr>"
    return f'<table class="samples">{head}{"".join(rows)}</table>'

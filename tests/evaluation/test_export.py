import json
import math
import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser

import pytest

from app.core.recipe import Recipe
from app.core.report import Quality, Report, Sample, TensorResult
from app.evaluation.breakdown import by_part, heat_map, part_of
from app.evaluation.export import to_html, to_markdown

HOSTILE = "<script>alert('1')</script>\"&|`[x](javascript:1)\n# $\\"
VOID = {"meta", "br"}


def tensor(name, encoding="Q4_K", shape=(256, 256), error=0.07, after=36_864, wanted=""):
    return TensorResult(name, encoding, shape, 131_072, after, error, 0.01, wanted)


@pytest.fixture
def report():
    tensors = [tensor("token_embd.weight", "Q6_K", error=0.02)]
    for layer in range(3):
        tensors += [
            tensor(f"blk.{layer}.attn_q.weight", error=0.05 + 0.01 * layer),
            tensor(f"blk.{layer}.attn_norm.weight", "F32", (256,), 0.0),
        ]
        if layer != 1:
            tensors.append(tensor(f"blk.{layer}.ffn_down.weight", "Q5_0", wanted="Q4_K"))
    return Report(
        model="Qwen3-8B",
        architecture="Qwen3",
        preset="Q4_K_M",
        source="/models/Qwen3-8B",
        target="/models/Qwen3-8B-Q4_K_M.gguf",
        bytes_before=16_400_000_000,
        bytes_after=5_000_000_000,
        weights=8_200_000_000,
        bits_per_weight=4.87,
        seconds=261.0,
        created="2026-11-22T00:00:00+00:00",
        tensors=tuple(tensors),
        quality=Quality(2040, 512, "evaluation", 11.234, 11.523, 0.0213, 0.21, 0.934),
        samples=(Sample("The sea", " was calm and blue", " was calm and <b>grey</b>"),),
        notes=("1 of 12 tensors uses Q5_0 instead.",),
        recipe={"preset": "Q4_K_M", "method": "nearest"},
        versions={"nibble": "0.1.0"},
    )


def test_that_only_choices_that_were_made_are_told_and_in_words(report):
    recipe = Recipe("Q4_K_M", "gptq", (("damping", "0.05"), ("refit", "no")), pure=True)
    as_saved = json.loads(json.dumps(replace(recipe, leave_output=True).to_json()))
    chosen = replace(report, recipe={**as_saved, "seed": 0}).choices
    assert chosen == {
        "preset": "Q4_K_M",
        "method": "gptq",
        "options": "damping=0.05, refit=no",
        "pure": "yes",
        "leave output": "yes",
    }


class Page(HTMLParser):
    """Checks that elements nest, and collects texts, elements and attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


def hostile(value):
    """The same value with every text replaced."""
    if isinstance(value, str):
        return HOSTILE
    if is_dataclass(value):
        return replace(value, **{f.name: hostile(getattr(value, f.name)) for f in fields(value)})
    if isinstance(value, tuple):
        return tuple(hostile(item) for item in value)
    if isinstance(value, dict):
        return {HOSTILE: HOSTILE}
    return value


def test_that_the_page_says_what_the_report_says(report):
    text = Page(to_html(report)).text
    for said in (
        "Qwen3-8B as Q4_K_M",
        "16.4 GB \N{RIGHTWARDS ARROW} 5.0 GB, 30.5 % of the original",
        "Very small loss: KL 0.021, same next word 93.4 %",
        "11.234 \N{RIGHTWARDS ARROW} 11.523 (+2.57%)",
        "blk.2.attn_q.weight",
        "7.000 %",
        "Q5_0 (instead of Q4_K)",
        "1 of 12 tensors uses Q5_0 instead.",
        "nearest",
    ):
        assert said in text


def test_that_the_page_needs_nothing_but_itself(report):
    page = Page(to_html(report))
    assert not {"script", "img", "link", "iframe", "object", "a"} & set(page.tags)
    assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in page.attributes)
    assert "default-src 'none'" in to_html(report)
    assert not re.search(r"url\(|@import|https?://", to_html(report))


def test_that_no_text_of_a_report_becomes_part_of_the_page(report):
    clean, attacked = Page(to_html(report)), Page(to_html(hostile(report)))
    assert "script" not in attacked.tags
    assert set(attacked.tags) <= set(clean.tags)
    assert "<script>alert('1')</script>" in attacked.text  # shown, as text


def test_that_no_text_of_a_report_becomes_markup_in_markdown(report):
    text = to_markdown(hostile(report))
    assert not re.search(r"(?<!\\)<", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 4, 8}  # as many as columns
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == 6


def test_that_there_is_a_square_for_every_matrix_in_a_layer(report):
    html = to_html(report)
    assert html.count('class="heat"') == 5
    assert html.count('class="empty"') == 1  # layer 1 has no ffn_down
    assert "<title>blk.2.attn_q.weight, Q4_K: 7.0 %</title>" in html


def test_that_the_worst_matrix_is_the_darkest(report):
    opacities = [
        float(value) for name, value in Page(to_html(report)).attributes if name == "fill-opacity"
    ]
    errors = [cell.error for row in heat_map(report.tensors).rows for cell in row if cell]
    assert max(opacities) == opacities[errors.index(max(errors))] == 1.0
    ranked = sorted(range(len(errors)), key=errors.__getitem__)
    assert [opacities[i] for i in ranked] == sorted(opacities)


def test_that_bars_are_as_long_as_their_bytes(report):
    html = to_html(report)
    widths = [
        float(value) for value in re.findall(r'class="(?:before|after)"[^>]*width="([\d.]+)"', html)
    ]
    sizes = [size for part in by_part(report.tensors) for size in (part.before, part.after)]
    scale = max(widths) / max(sizes)
    assert widths == pytest.approx([max(1, scale * size) for size in sizes], abs=0.1)


def test_that_the_difference_between_samples_is_marked(report):
    html = to_html(report)
    assert " was calm and <mark>blue</mark>" in html
    assert " was calm and <mark>&lt;b&gt;grey&lt;/b&gt;</mark>" in html


def test_that_a_report_without_measurements_is_a_page_too(report):
    bare = replace(report, quality=None, samples=(), notes=(), tensors=())
    assert "The quality was not measured." in Page(to_html(bare)).text
    assert "The quality was not measured." in to_markdown(bare)


def test_that_a_broken_result_is_a_page_too(report):
    quality = replace(report.quality, perplexity_after=math.inf, kl_mean=math.nan, kl_p99=math.nan)
    assert "Broken: KL not a number" in Page(to_html(replace(report, quality=quality))).text


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("token_embd.weight", "Embeddings"),
        ("model.embed_tokens.weight", "Embeddings"),
        ("blk.3.attn_output.weight", "Attention"),
        ("model.layers.3.self_attn.q_proj.weight", "Attention"),
        ("blk.3.attn_norm.weight", "Norms and others"),
        ("blk.3.ffn_norm.weight", "Norms and others"),
        ("blk.3.ffn_up.weight", "Feed-forward"),
        ("model.layers.3.mlp.up_proj.weight", "Feed-forward"),
        ("output.weight", "Output"),
        ("output_norm.weight", "Norms and others"),
        ("lm_head.weight", "Output"),
        ("rope_freqs.weight", "Norms and others"),
    ],
)
def test_that_tensors_of_both_conventions_are_sorted_by_what_they_do(name, part):
    assert part_of(name) == part


def test_that_parts_add_up_to_the_whole(report):
    parts = by_part(report.tensors)
    assert sum(part.after for part in parts) == sum(t.after for t in report.tensors)
    assert sum(part.before for part in parts) == sum(t.before for t in report.tensors)


def test_that_the_worst_of_experts_stored_one_by_one_stands_for_all():
    names = [f"model.layers.0.mlp.experts.{number}.up_proj.weight" for number in range(3)]
    errors = (0.02, 0.09, 0.03)
    found = heat_map([tensor(name, error=one) for name, one in zip(names, errors, strict=True)])
    assert found.kinds == ("mlp.experts.up_proj",)
    assert [cell.error for row in found.rows for cell in row] == [0.09]

"""What the pages say about the program is still so."""

import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from app.core.quality import measured_losses
from app.formats import FORMATS
from app.models.architectures import ARCHITECTURES

ROOT = Path(__file__).parents[1]
PRESETS = FORMATS["gguf"].presets


def test_that_the_page_on_gguf_names_every_family():
    said = " ".join((ROOT / "docs" / "gguf.md").read_text(encoding="utf-8").split())
    missing = [found.title for found in ARCHITECTURES if found.title not in said]
    assert not missing


def test_that_the_loss_of_every_format_is_shipped_but_of_that_for_experts():
    assert measured_losses().keys() == {preset.name for preset in PRESETS} - {"MXFP4_MOE"}


def test_that_words_for_losses_are_in_the_order_of_the_losses():
    losses = measured_losses()
    by_word = defaultdict(list)
    for preset in PRESETS:
        if preset.name in losses:
            by_word[preset.quality.split(",")[0]].append(losses[preset.name].usual)
    for better, worse in pairwise(sorted(by_word.values(), key=min)):
        assert max(better) <= min(worse), by_word


def test_that_importances_never_make_a_format_worse():
    for name, loss in measured_losses().items():
        if loss.with_importance is not None:
            assert loss.with_importance < loss.usual, name


@pytest.mark.parametrize(
    "name", ["README.md", "docs/gguf.md", "docs/speed.md", "docs/recipes.md", "docs/calibrated.md"]
)
def test_that_links_between_pages_lead_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target

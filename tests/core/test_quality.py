import json

import pytest

from app.core.quality import MeasuredLoss, measured_losses


@pytest.fixture
def losses(tmp_path):
    """Reads a file with these presets."""

    def read(presets):
        path = tmp_path / "quality.json"
        path.write_text(json.dumps({"model": "a small one", "presets": presets}))
        return measured_losses(path)

    return read


def test_that_figures_are_read_by_preset(losses):
    weighed = {"kl": 0.031, "size": 105}
    found = losses({"Q8_0": {"kl": 0.001}, "Q4_K_M": {"kl": 0.041, "with_importance": weighed}})
    assert found == {"Q8_0": MeasuredLoss(0.001), "Q4_K_M": MeasuredLoss(0.041, 0.031)}


def test_that_a_figure_that_is_missing_or_no_figure_is_left_out(losses):
    assert losses({"Q8_0": {"kl": None}, "Q2_K": {}, "Q6_K": {"kl": float("nan")}}) == {}


@pytest.mark.parametrize("text", ["", "[1", "[1]", "{}", '{"presets": 1}', '{"presets": {"a": 1}}'])
def test_that_a_damaged_file_holds_no_figures(tmp_path, text):
    path = tmp_path / "quality.json"
    path.write_text(text)
    assert measured_losses(path) == {}


def test_that_a_missing_file_holds_no_figures(tmp_path):
    assert measured_losses(tmp_path / "quality.json") == {}

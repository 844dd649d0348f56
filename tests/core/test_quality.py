import json

from app.core.quality import measured_losses


def test_that_figures_are_read_by_preset(tmp_path):
    path = tmp_path / "quality.json"
    path.write_text(json.dumps({"Q4_K_M": {"kl": 0.041, "ppl_ratio": 1.04, "size": 105}}))
    assert measured_losses(path) == {"Q4_K_M": 0.041}


def test_that_a_figure_that_is_missing_or_no_figure_is_left_out(tmp_path):
    path = tmp_path / "quality.json"
    rows = {"Q8_0": {"kl": None}, "Q2_K": {}, "IQ1_S": "soon", "Q6_K": {"kl": float("nan")}}
    path.write_text(json.dumps(rows))
    assert measured_losses(path) == {}


def test_that_a_file_that_is_missing_or_damaged_holds_no_figures(tmp_path):
    path = tmp_path / "quality.json"
    assert measured_losses(path) == {}
    path.write_text("[1")
    assert measured_losses(path) == {}
    path.write_text("[1]")
    assert measured_losses(path) == {}

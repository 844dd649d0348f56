"""What runs on which hardware: the table, and the sentences made of it."""

import re
from dataclasses import replace

import pytest
from computers import GB, card, computer, part
from hardware_table import PAGE, page

from app.advisor.hardware import REQUIREMENTS, requirement
from app.core.runtime import Runtime
from app.devices.known import imagine
from app.formats import PRESETS


def nvidia(major, minor):
    return computer(32 * GB, replace(card(12 * GB), capability=(major, minor)))


def missing(runtime, preset, machine):
    found = requirement(runtime, preset)
    assert found is not None
    return found.missing(machine)


def test_that_the_table_knows_every_preset_in_every_program_that_loads_it():
    folders = [(form, preset) for form, preset in PRESETS.values() if form.name != "gguf"]
    assert folders
    for form, preset in folders:
        programs = form.runtimes(preset)
        assert programs, preset.name
        for runtime in programs:
            rows = [
                row
                for row in REQUIREMENTS
                if row.runtime is runtime and re.fullmatch(row.presets, preset.name)
            ]
            assert rows, (runtime, preset.name)


@pytest.mark.parametrize(
    ("preset", "first", "before"),
    [("fp8", (7, 5), (7, 0)), ("w4a16-g128", (7, 5), (7, 0)), ("bnb-nf4", (7, 0), (6, 1))],
)
def test_that_vllm_wants_a_card_that_is_new_enough(preset, first, before):
    assert missing(Runtime.VLLM, preset, nvidia(*first)) == ""
    assert "Needs an NVIDIA card (" in missing(Runtime.VLLM, preset, nvidia(*before))


def test_that_an_old_card_does_no_harm_where_the_processor_does_it():
    assert not requirement(Runtime.VLLM, "awq-4bit-g128").runs_on(nvidia(7, 0).gpus[0])
    assert missing(Runtime.VLLM, "awq-4bit-g128", nvidia(7, 0)) == ""
    assert "Needs" in missing(Runtime.VLLM, "awq-4bit-g128", imagine("M3 Max 64 GB"))


def test_that_8_bit_floats_are_named_with_the_cards_that_compute_in_them():
    need = requirement(Runtime.VLLM, "fp8")
    assert need.slow(nvidia(8, 9)) == ""
    assert need.slow(nvidia(8, 6)) == (
        "Only cards since the RTX 40 series compute in FP8: it saves memory, not time."
    )
    assert missing(Runtime.TRANSFORMERS, "fbgemm-fp8", nvidia(8, 9)) == (
        "Needs an NVIDIA card (H100 or newer) or a card of Intel: FP8."
    )
    assert missing(Runtime.VLLM, "fp8", computer(32 * GB)) == (
        "Needs an NVIDIA card (RTX 20 series or newer) or a card of AMD: FP8."
    )


def test_that_integers_of_8_bits_are_refused_by_the_newest_cards_only_without_a_processor():
    need = requirement(Runtime.VLLM, "w8a8-int8")
    assert need.runs_on(nvidia(9, 0).gpus[0])
    assert not need.runs_on(nvidia(12, 0).gpus[0])
    alone = replace(need, processor=False)
    assert alone.missing(nvidia(12, 0)) == (
        "Needs an NVIDIA card from before the RTX 50 series: INT8."
    )


def test_that_mlx_wants_a_mac_and_nothing_else():
    for preset in ("mlx-4bit", "bf16-folder"):
        assert "Needs a Mac" in missing(Runtime.MLX, preset, nvidia(12, 0))
        assert missing(Runtime.MLX, preset, imagine("M3 Max 64 GB")) == ""


def test_that_a_card_without_a_way_to_it_does_not_count():
    silent = computer(32 * GB, replace(part(8 * GB, "amd"), device=""))
    assert "Needs" in missing(Runtime.VLLM, "fp8", silent)


def test_that_transformers_saves_no_memory_where_it_unpacks():
    packed = requirement(Runtime.TRANSFORMERS, "w4a16-g128")
    assert packed.unpacks(nvidia(9, 0))
    assert "saves disk, not memory" in packed.slow(nvidia(9, 0))
    blocks = requirement(Runtime.TRANSFORMERS, "fp8-block")
    assert blocks.unpacks(nvidia(8, 6))
    assert blocks.unpacks(computer(32 * GB))
    assert not blocks.unpacks(nvidia(8, 9))
    assert not requirement(Runtime.TRANSFORMERS, "bnb-nf4").unpacks(computer(32 * GB))


def test_that_the_page_on_hardware_says_what_the_table_says():
    assert PAGE.read_text(encoding="utf-8") == page()

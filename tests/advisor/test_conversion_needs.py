"""What jobs take whose weights are rounded by themselves."""

import pytest
from computers import GB, computer
from needed import LARGE, SOURCE, needs, plan

from app.advisor import check_memory
from app.advisor.speeds import MeasuredSpeeds, conversion_kind
from app.core.errors import NotEnoughSpace
from app.core.files import free_bytes
from app.core.recipe import Recipe


def test_that_the_disk_takes_the_whole_file_and_little_more(tmp_path):
    found = needs(LARGE, target=tmp_path / "x.gguf")
    assert LARGE.total_bytes < found.disk < LARGE.total_bytes * 1.01
    assert found.disk_free == pytest.approx(free_bytes(tmp_path), rel=0.1)
    assert found.problem == ""


def test_that_memory_follows_the_threads_and_not_the_model():
    many = plan(*(((4096, 14336), "Q6_K", 48_168_960) for _ in range(300)))
    assert needs(many).memory == needs(LARGE).memory
    wide = plan(((2, 50_000_000), "Q4_K", 56_250_000))
    assert needs(wide).memory > needs(LARGE).memory


def test_that_several_results_take_the_memory_of_the_largest_and_the_disk_of_all():
    wide = plan(((2, 50_000_000), "Q4_K", 56_250_000))
    both = needs(LARGE, wide)
    assert both.memory == needs(wide).memory
    assert both.disk == needs(LARGE).disk + needs(wide).disk


def test_that_too_little_memory_is_refused_before_the_start():
    small = needs(LARGE, machine=computer(GB // 4))
    with pytest.raises(NotEnoughSpace, match="memory"):
        check_memory(small)
    assert "memory" in small.problem
    assert small.memory_least < small.memory
    check_memory(needs(LARGE))


def test_that_a_card_is_counted_where_it_takes_part():
    assert needs(LARGE).card == 0
    assert needs(LARGE, device="cuda:0").card > 0


def test_that_time_comes_from_earlier_conversions_alone(speeds):
    assert needs(LARGE, speeds=speeds).seconds is None
    speeds.conversions.add("cpu", "Q4_K_M", 2 * SOURCE.nbytes, 10.0)
    found = needs(LARGE, speeds=speeds).seconds
    assert found.least < 5 < found.most
    assert not found.guessed
    assert needs(LARGE, speeds=speeds, device="cuda:0").seconds is None
    twice = needs(LARGE, LARGE, speeds=speeds).seconds
    assert twice.most == pytest.approx(2 * found.most)


def test_that_a_speed_is_kept_for_the_next_start(tmp_path):
    MeasuredSpeeds(tmp_path / "speeds.json").add("cpu", "Q4_K_M", 2 * 10**9, 10.0)
    again = MeasuredSpeeds(tmp_path / "speeds.json")
    assert again.seconds("cpu", "Q4_K_M", 10**9).least < 5
    assert again.seconds("cuda:0", "Q4_K_M", 10**9) is None


def test_that_another_preset_widens_the_range_and_a_short_job_says_nothing(tmp_path):
    speeds = MeasuredSpeeds(tmp_path / "speeds.json")
    speeds.add("cpu", "Q8_0", 10**7, 0.2)
    assert speeds.seconds("cpu", "Q8_0", 10**9) is None
    speeds.add("cpu", "Q8_0", 10**9, 4.0)
    same, other = (speeds.seconds("cpu", name, 10**9) for name in ("Q8_0", "Q4_K_M"))
    assert other.least < same.least < 4 < same.most < other.most


def test_that_a_method_without_data_has_a_speed_of_its_own():
    plain = conversion_kind(Recipe("hqq-4bit-g64"))
    assert plain == "hqq-4bit-g64"
    assert conversion_kind(Recipe("hqq-4bit-g64", method="hqq")) != plain


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"cpu": 3}', b'{"cpu": {"Q8_0": "x"}}'])
def test_that_a_damaged_memory_of_speeds_counts_as_none(tmp_path, content):
    (tmp_path / "speeds.json").write_bytes(content)
    assert MeasuredSpeeds(tmp_path / "speeds.json").seconds("cpu", "Q8_0", 1) is None

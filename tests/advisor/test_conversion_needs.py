import pytest
from computers import GB, computer

from app.advisor import MeasuredSpeeds, check_memory, conversion_needs
from app.core.errors import NotEnoughSpace
from app.core.files import free_bytes
from app.core.plan import Plan, PlannedFile, PlannedTensor


def plan(*tensors):
    rows = tuple(
        PlannedTensor(f"t{index}", shape, encoding, 0, nbytes, (f"t{index}",))
        for index, (shape, encoding, nbytes) in enumerate(tensors)
    )
    return Plan("Q4_K_M", rows, (PlannedFile(b"", sum(row.nbytes for row in rows)),))


LARGE = plan(((4096, 4096), "Q4_K", 9_437_184), ((4096, 14336), "Q6_K", 48_168_960))


def test_that_the_disk_takes_the_whole_file_and_little_more(tmp_path):
    needs = conversion_needs(LARGE, 150_000_000, tmp_path, computer(16 * GB))
    assert LARGE.total_bytes < needs.disk < LARGE.total_bytes * 1.01
    assert needs.disk_free == pytest.approx(free_bytes(tmp_path), rel=0.1)
    assert needs.problem == ""


def test_that_memory_follows_the_threads_and_not_the_model(tmp_path):
    large = conversion_needs(LARGE, 150_000_000, tmp_path, computer(16 * GB))
    many = plan(*(((4096, 14336), "Q6_K", 48_168_960) for _ in range(300)))
    assert conversion_needs(many, 10**10, tmp_path, computer(16 * GB)).memory == large.memory
    wide = plan(((2, 50_000_000), "Q4_K", 56_250_000))
    assert conversion_needs(wide, 10**10, tmp_path, computer(16 * GB)).memory > large.memory


def test_that_too_little_memory_is_refused_before_the_start(tmp_path):
    small = conversion_needs(LARGE, 150_000_000, tmp_path, computer(GB // 4))
    with pytest.raises(NotEnoughSpace, match="memory"):
        check_memory(small)
    assert "memory" in small.problem
    assert small.memory_least < small.memory
    check_memory(conversion_needs(LARGE, 150_000_000, tmp_path, computer(16 * GB)))


def test_that_a_card_is_counted_where_it_takes_part(tmp_path):
    machine = computer(16 * GB)
    assert conversion_needs(LARGE, 1, tmp_path, machine).card == 0
    assert conversion_needs(LARGE, 1, tmp_path, machine, device="cuda:0").card > 0


def test_that_time_comes_from_earlier_conversions_alone(tmp_path):
    machine, speeds = computer(16 * GB), MeasuredSpeeds(tmp_path / "speeds.json")
    assert conversion_needs(LARGE, 10**9, tmp_path, machine).seconds is None
    assert conversion_needs(LARGE, 10**9, tmp_path, machine, speeds).seconds is None
    speeds.add("cpu", "Q4_K_M", 2 * 10**9, 10.0)
    again = MeasuredSpeeds(tmp_path / "speeds.json")
    low, high = conversion_needs(LARGE, 10**9, tmp_path, machine, again).seconds
    assert low < 5 < high
    assert again.seconds("cuda:0", "Q4_K_M", 10**9) is None


def test_that_another_preset_widens_the_range_and_a_short_job_says_nothing(tmp_path):
    speeds = MeasuredSpeeds(tmp_path / "speeds.json")
    speeds.add("cpu", "Q8_0", 10**7, 0.2)
    assert speeds.seconds("cpu", "Q8_0", 10**9) is None
    speeds.add("cpu", "Q8_0", 10**9, 4.0)
    same, other = (speeds.seconds("cpu", name, 10**9) for name in ("Q8_0", "Q4_K_M"))
    assert other[0] < same[0] < 4 < same[1] < other[1]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"cpu": 3}', b'{"cpu": {"Q8_0": "x"}}'])
def test_that_a_damaged_memory_of_speeds_counts_as_none(tmp_path, content):
    (tmp_path / "speeds.json").write_bytes(content)
    assert MeasuredSpeeds(tmp_path / "speeds.json").seconds("cpu", "Q8_0", 1) is None

import pytest
from computers import GB, computer

from app.advisor import Speeds, check_memory, conversion_needs
from app.core.errors import NotEnoughSpace
from app.core.files import free_bytes
from app.core.plan import Plan, PlannedTensor


def plan(*tensors):
    rows = tuple(
        PlannedTensor(f"t{index}", shape, encoding, 0, nbytes, (f"t{index}",))
        for index, (shape, encoding, nbytes) in enumerate(tensors)
    )
    return Plan("Q4_K_M", rows, sum(row.nbytes for row in rows), b"")


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


def test_that_time_comes_from_measured_speeds_alone(tmp_path):
    machine = computer(16 * GB)  # 16 threads
    assert conversion_needs(LARGE, 10**9, tmp_path, machine).seconds is None
    assert conversion_needs(LARGE, 10**9, tmp_path, machine, Speeds({})).seconds is None
    speeds = Speeds({"Q4_K": 1e6, "Q6_K": 2e6}, disk=1e9)
    computing = (4096 * 4096 / 1e6 + 4096 * 14336 / 2e6) / 16
    moving = (10**9 + LARGE.total_bytes) / 1e9
    low, high = conversion_needs(LARGE, 10**9, tmp_path, machine, speeds).seconds
    assert low == pytest.approx(max(computing, moving))
    assert high > computing + moving

import threading
import time
from dataclasses import replace

import pytest
import torch

from app.calibration.treatment import Treatment
from app.core.errors import BadModelFile
from app.core.events import Progress, TensorDone
from app.core.partial import PartialFile, opened
from app.core.plan import Plan, PlannedFile, PlannedTensor
from app.encodings import ENCODINGS
from app.formats.base import Conversion
from app.formats.gguf.imatrix import ImportanceMatrix, Squares
from app.formats.slices import SLICE_WEIGHTS, cut
from app.methods.base import Statistics
from app.worker.encoder import Encoder, Manner
from app.worker.importance import Importance
from app.worker.pipeline import Filling, Pipeline

HEADER = b"header!!" * 4


class Constant(Conversion):
    """Tensors of random numbers, and a note of which rows were asked for."""

    def __init__(self, shapes, step=1):
        self.step = step
        self.asked = []
        generator = torch.Generator().manual_seed(1)
        self.weights = {
            name: torch.randn(shape, generator=generator) for name, shape in shapes.items()
        }

    def plan(self, recipe):
        raise NotImplementedError

    def rows(self, tensor, start, stop):
        self.asked.append((tensor.name, start, stop))
        return self.weights[tensor.name].reshape(-1, tensor.shape[-1])[start:stop]

    def source_bytes(self, tensor):
        return 2 * tensor.weights

    def row_step(self, tensor):
        return self.step


def plan_of(conversion, encoding="Q8_0"):
    offset, tensors = len(HEADER), []
    for name, weight in conversion.weights.items():
        nbytes = ENCODINGS[encoding].nbytes(tuple(weight.shape))
        tensors.append(
            PlannedTensor(name, tuple(weight.shape), encoding, offset, nbytes, sources=(name,))
        )
        offset += nbytes
    return Plan("test", tuple(tensors), (PlannedFile(HEADER, offset),))


def filling(conversion, plan, *files, number=0, importance=None):
    return Filling(number, conversion, plan, Treatment.of("nearest"), importance, files)


def together(conversion, fillings, threads=2):
    """Fill several results in one pass."""
    files = [file for one in fillings for file in one.files]
    with opened(files):
        events = list(Pipeline(fillings, Encoder("cpu"), threads).run())
        for file in files:
            file.commit()
    return events


def partial_of(path, plan, number=0):
    return PartialFile(path, plan.files[number].nbytes, "f")


def run(conversion, plan, target, threads=2):
    partial = PartialFile(target, plan.total_bytes, "f")
    partial.open()
    events = list(Pipeline([filling(conversion, plan, partial)], Encoder("cpu"), threads).run())
    partial.commit()
    return events


@pytest.fixture
def conversion():
    return Constant({"a": (3000, 1024), "b": (7, 64), "c": (4, 5, 32)})


def expected(conversion, plan):
    content = bytearray(HEADER)
    for tensor in plan.tensors:
        parts = ENCODINGS[tensor.encoding].encode(conversion.weights[tensor.name])
        content += parts["blocks"].numpy().tobytes()
    return bytes(content)


@pytest.mark.parametrize("threads", [1, 3])
def test_that_every_slice_lands_where_it_belongs(conversion, tmp_path, threads):
    plan = plan_of(conversion)
    run(conversion, plan, tmp_path / "out", threads)
    assert (tmp_path / "out").read_bytes() == expected(conversion, plan)


def test_that_rows_that_the_source_has_in_the_encoding_are_written_as_they_are(tmp_path):
    conversion = Constant({"a": (30, 64), "b": (7, 64)})
    plan = plan_of(conversion)
    original = ENCODINGS["Q8_0"].encode(torch.randn(30, 64))["blocks"]

    def stored(tensor, start, stop):
        return original[start:stop] if tensor.name == "a" else None

    conversion.stored = stored
    run(conversion, plan, tmp_path / "out")
    written = (tmp_path / "out").read_bytes()
    first, second = plan.tensors
    assert written[first.offset : second.offset] == original.numpy().tobytes()
    assert written[second.offset :] == expected(conversion, plan)[second.offset :]


def test_that_progress_ends_at_everything_and_each_tensor_is_told_once(conversion, tmp_path):
    events = run(conversion, plan_of(conversion), tmp_path / "out")
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].overall == pytest.approx(1)
    assert (
        progress[-1].done
        == progress[-1].total
        == 2 * sum(weight.numel() for weight in conversion.weights.values())
    )
    assert [event.overall for event in progress] == sorted(event.overall for event in progress)
    done = [event.tensor for event in events if isinstance(event, TensorDone)]
    assert sorted(done) == ["a", "b", "c"]


def test_that_slices_cover_each_row_once_and_start_at_the_asked_steps():
    conversion = Constant({"a": (30_000, 512)}, step=48)
    pieces = cut(plan_of(conversion), conversion)
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert (pieces[0].start, pieces[-1].stop) == (0, 30_000)
    assert all(piece.start % 48 == 0 and piece.weights <= SLICE_WEIGHTS for piece in pieces)
    assert len(pieces) > 1


def test_that_a_second_run_reads_only_what_is_missing(conversion, tmp_path):
    plan = plan_of(conversion)
    partial = PartialFile(tmp_path / "out", plan.total_bytes, "f")
    partial.open()
    events = Pipeline([filling(conversion, plan, partial)], Encoder("cpu"), 1).run()
    next(events)
    events.close()
    partial.close()
    conversion.asked.clear()
    run(conversion, plan, tmp_path / "out", threads=1)
    assert ("a", 0, 2048) not in conversion.asked
    assert ("b", 0, 7) in conversion.asked
    assert (tmp_path / "out").read_bytes() == expected(conversion, plan)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_that_a_number_that_is_none_stops_the_job_and_names_the_tensor(tmp_path, bad):
    conversion = Constant({"good": (4, 32), "blk.7.attn_q.weight": (4, 32)})
    conversion.weights["blk.7.attn_q.weight"][2, 9] = bad
    with pytest.raises(BadModelFile, match=r"blk\.7\.attn_q\.weight contains values that are not"):
        run(conversion, plan_of(conversion), tmp_path / "out")
    assert not (tmp_path / "out").exists()


class SmallDevice:
    """A method on a device that holds no more than so many rows at a time."""

    def __init__(self, rows):
        self.rows = rows
        self.seen = []

    def quantize(self, weight, encoding, importance=None):
        self.seen.append(len(weight))
        if len(weight) > self.rows:
            raise torch.OutOfMemoryError
        return encoding.encode(weight)


def test_that_a_full_device_gets_smaller_slices_and_the_user_is_told_once():
    weight = torch.randn(64, 256)
    method = SmallDevice(rows=20)
    encoder = Encoder("cpu")
    content = encoder.encode(weight, Manner(method, ENCODINGS["Q8_0"]))
    assert bytes(content) == ENCODINGS["Q8_0"].encode(weight)["blocks"].numpy().tobytes()
    assert max(count for count in method.seen if count <= 20) == 16
    assert len(encoder.notes()) == 1
    assert encoder.notes() == []


def test_that_a_device_too_small_for_one_row_leaves_it_to_the_processor(monkeypatch):
    weight = torch.randn(2, 256)
    real = ENCODINGS["Q8_0"].encode(weight)["blocks"].numpy().tobytes()

    class OnlyProcessor(SmallDevice):
        def quantize(self, weight, encoding, importance=None):
            if weight.device.type != "cpu":
                raise torch.OutOfMemoryError
            return encoding.encode(weight)

    manner = Manner(OnlyProcessor(0), ENCODINGS["Q8_0"])
    assert bytes(Encoder("meta").encode(weight, manner)) == real


def test_that_a_device_too_small_for_what_is_known_leaves_all_of_it_to_the_processor(monkeypatch):
    weight, moment = torch.randn(8, 64), torch.eye(64)
    known = Statistics(second_moment=moment)

    def full(self, device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Statistics, "on", full)
    encoder = Encoder("cuda:7")
    lent = encoder.lend(known)
    assert lent is known
    assert len(encoder.notes()) == 1
    gptq = Treatment.of("gptq").main
    stored = gptq.quantize(weight, ENCODINGS["Q8_0"], known)["blocks"]
    manner = Manner(gptq, ENCODINGS["Q8_0"], lent)
    assert bytes(encoder.encode(weight, manner)) == stored.numpy().tobytes()


def test_that_several_results_read_each_row_once(conversion, tmp_path):
    kinds = ("Q8_0", "Q4_0", "Q8_0")
    plans = [plan_of(conversion, kind) for kind in kinds]
    fillings = [
        filling(conversion, plan, partial_of(tmp_path / f"{number}", plan), number=number)
        for number, plan in enumerate(plans)
    ]
    events = together(conversion, fillings)
    assert len(conversion.asked) == len(set(conversion.asked))
    for number, plan in enumerate(plans):
        assert (tmp_path / f"{number}").read_bytes() == expected(conversion, plan)
    done = [(event.output, event.tensor) for event in events if isinstance(event, TensorDone)]
    assert sorted(done) == [(number, name) for number in range(3) for name in "abc"]
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].done == sum(2 * weight.numel() for weight in conversion.weights.values())


class Counting:
    """The usual method; counts what it is asked for."""

    def __init__(self):
        self.asked = []

    def fits(self, encoding):
        return True

    def quantize(self, weight, encoding, importance=None):
        self.asked.append((len(weight), encoding.name, importance is not None))
        return encoding.encode(weight, importance)


def test_that_results_that_agree_about_a_tensor_share_its_bytes(tmp_path):
    conversion = Constant({"a": (7, 64)})
    plans = [plan_of(conversion, kind) for kind in ("Q8_0", "Q4_0", "Q8_0", "Q4_0")]
    matrix = Importance(matrix_of({"a": torch.rand(1, 64)}), "m")
    method = Counting()
    treatment = Treatment((method,))
    fillings = [
        Filling(
            number, conversion, plan, treatment, weighed, [partial_of(tmp_path / f"{number}", plan)]
        )
        for number, (plan, weighed) in enumerate(
            zip(plans, (None, None, None, matrix), strict=True)
        )
    ]
    together(conversion, fillings)
    assert sorted(method.asked) == [(7, "Q4_0", False), (7, "Q4_0", True), (7, "Q8_0", False)]


def matrix_of(sums):
    tensors = {name: Squares(sum_, torch.ones(len(sum_))) for name, sum_ in sums.items()}
    return ImportanceMatrix(tensors, ("text",), 2, 512)


def test_that_each_matrix_of_a_stack_has_its_own_importances(tmp_path, monkeypatch):
    monkeypatch.setattr("app.formats.slices.SLICE_WEIGHTS", 40 * 256)  # 2 slices a matrix
    conversion = Constant({"experts": (3, 64, 256), "plain": (5, 256)})
    plan = plan_of(conversion, "Q4_K")
    spread = torch.rand(3, 256, generator=torch.Generator().manual_seed(2)) ** 4
    weighed = Importance(matrix_of({"experts": spread}), "m")
    together(
        conversion,
        [filling(conversion, plan, partial_of(tmp_path / "out", plan), importance=weighed)],
    )
    q4_k = ENCODINGS["Q4_K"]
    content = bytearray(HEADER)
    for weight, columns in zip(conversion.weights["experts"], spread, strict=True):
        content += q4_k.encode(weight, columns)["blocks"].numpy().tobytes()
    content += q4_k.encode(conversion.weights["plain"])["blocks"].numpy().tobytes()
    assert (tmp_path / "out").read_bytes() == bytes(content)
    assert bytes(content) != expected(conversion, plan)


def test_that_tensors_go_to_the_file_that_they_are_planned_for(tmp_path):
    conversion = Constant({"a": (30, 64), "b": (7, 64)})
    whole = plan_of(conversion)
    first, second = whole.tensors
    files = (
        PlannedFile(HEADER, len(HEADER) + first.nbytes, "-1"),
        PlannedFile(b"second", 6 + second.nbytes, "-2"),
    )
    plan = Plan("test", (first, replace(second, offset=6, file=1)), files)
    partials = [partial_of(tmp_path / f"{number}", plan, number) for number in range(2)]
    together(conversion, [filling(conversion, plan, *partials)])
    content = expected(conversion, whole)
    assert (tmp_path / "0").read_bytes() == content[: second.offset]
    assert (tmp_path / "1").read_bytes() == b"second" + content[second.offset :]


def test_that_stopping_waits_for_one_encoding_of_a_slice_and_not_for_all(tmp_path):
    conversion = Constant({"first": (7, 64), "a": (7, 64)})
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Counting):
        def quantize(self, weight, encoding, importance=None):
            if len(self.asked) == 4:
                begun.set()
                go_on.wait(10)
            return super().quantize(weight, encoding, importance)

    method = Slow()
    treatment = Treatment((method,))
    plans = [plan_of(conversion, kind) for kind in ("Q8_0", "Q4_0", "Q5_0", "Q5_1")]
    fillings = [
        Filling(
            number, conversion, plan, treatment, None, [partial_of(tmp_path / f"{number}", plan)]
        )
        for number, plan in enumerate(plans)
    ]
    with opened([file for one in fillings for file in one.files]):
        events = Pipeline(fillings, Encoder("cpu"), 1).run()
        next(events)
        begun.wait(10)
        closing = threading.Thread(target=events.close)
        closing.start()
        time.sleep(0.2)  # until it waits
        go_on.set()
        closing.join(10)
    assert len(method.asked) == 5

import pytest
import torch

from app.core.errors import BadModelFile
from app.core.events import Progress, TensorDone
from app.core.partial import PartialFile
from app.core.plan import Plan, PlannedFile, PlannedTensor
from app.encodings import ENCODINGS
from app.formats.base import Conversion
from app.formats.slices import SLICE_WEIGHTS, cut
from app.methods import METHODS
from app.worker.encoder import Encoder, Manner
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
    return Filling(number, conversion, plan, METHODS["nearest"](), importance, files)


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

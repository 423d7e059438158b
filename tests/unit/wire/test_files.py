"""Files without a name that tasks write, and ranges of them that others read."""

from __future__ import annotations

import io
import os
import pickle

import pytest

from scattergather.errors import CannotPickle
from scattergather.model.ids import ObjectId
from scattergather.wire.code.codebook import BOOK
from scattergather.wire.code.shipping import Noting
from scattergather.wire.memory import stub
from scattergather.wire.memory.files import BLOCK, CreatedFile, opened, reopened
from scattergather.wire.memory.outside import Outside, Placed
from scattergather.wire.memory.whole import Whole
from scattergather.wire.messages.shared import Extent
from scattergather.workers.process.task.outcomes import ResultPickler
from scattergather.workers.process.values.files import create_file
from scattergather.workers.process.values.returns import Result

NAME: ObjectId = b"n" * 16


def extent(offset: int, length: int) -> Extent:
    return Extent(object=NAME, length=length, offset=offset, file=True)


def test_each_reader_has_a_position_of_its_own() -> None:
    created = CreatedFile()
    created.write(b"0123456789")
    created.flush()
    shared = reopened(created.fileno())
    one, other = (opened(shared, extent(0, 10)) for _ in range(2))
    assert one.read(4) == b"0123"
    assert other.read(2) == b"01"
    assert created.tell() == 10
    assert len({one.fileno(), other.fileno(), shared.fileno()}) == 3
    os.lseek(other.fileno(), 7, os.SEEK_SET)
    created.close()
    assert one.read() == b"456789"
    with pytest.raises(io.UnsupportedOperation):
        one.write(b"x")  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(one.fileno(), b"x")


def test_a_reader_sees_its_range_and_nothing_else() -> None:
    created = CreatedFile()
    created.write(b"before|inside|behind")
    created.flush()
    file = opened(reopened(created.fileno()), extent(7, 6))
    assert file.read() == b"inside"
    assert file.seek(-2, os.SEEK_END) == 4
    assert file.read(100) == b"de"
    assert file.seek(50) == 50
    assert file.read() == b""
    assert list(opened(reopened(created.fileno()), extent(7, 6))) == [b"inside"]
    with pytest.raises(ValueError, match="negative seek"):
        file.seek(-1)
    with pytest.raises(io.UnsupportedOperation, match="shares its descriptor"):
        file.fileno()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_a_file_that_was_given_to_a_task_says_why_it_is_closed() -> None:
    created = CreatedFile()
    file = opened(reopened(created.fileno()), extent(0, 0))
    raw = file.raw
    file.close()
    with pytest.raises(ValueError, match="a task has its files while it runs"):
        raw.seek(0)


class Disk:
    """Where values stay."""

    def __init__(self) -> None:
        self.put: list[bytes] = []
        self.freed: list[ObjectId] = []

    def put_whole(self, pieces: object) -> None:
        return None

    def put_file(self, file: CreatedFile) -> Placed:
        self.put.append(b"".join(file.blocks()))
        return Result(Extent(object=NAME, length=len(self.put[-1]), file=True))

    def free(self, placed: Placed) -> None:
        self.freed.append(placed.extent.object)


def written(data: bytes) -> CreatedFile:
    file = create_file()
    file.write(data)
    return file


def test_a_file_as_a_result_is_one_object_and_its_blob_says_so() -> None:
    whole = Whole(disk := Disk())
    results = ResultPickler(whole, Noting(BOOK))
    data = os.urandom(BLOCK + 7)
    blob = results.carefully(written(data), "f")
    assert disk.put == [data]
    assert stub.parts(blob) == [NAME]
    assert blob[-1] == stub.FILE
    file = stub.load(blob, lambda _: None, lambda name: ("the file", name))
    assert file == ("the file", NAME)
    with pytest.raises(LookupError, match="only where its Ref was sent to"):
        stub.load(blob, lambda _: None)
    assert [placed.extent.object for placed in whole.take()] == [NAME]
    assert results.carefully("next", "f")[-1] == stub.STOP


def test_a_file_that_its_task_has_closed_is_its_result_all_the_same() -> None:
    results = ResultPickler(Whole(disk := Disk()), Noting(BOOK))
    before = len(os.listdir("/proc/self/fd"))
    with create_file() as file:
        file.write(b"data")
    results.carefully(file, "f")
    assert disk.put == [b"data"]
    with pytest.raises(ValueError, match="closed"):
        file.write(b"more")
    del file
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("wrap", [lambda f: [f], lambda f: (f, 1), lambda f: {"f": f}])
def test_a_file_in_a_result_is_refused_and_what_comes_next_is_well(wrap) -> None:
    whole = Whole(disk := Disk())
    results = ResultPickler(whole, Noting(BOOK))
    for _ in range(2):
        with pytest.raises(CannotPickle, match="must be the result of its task itself"):
            results.carefully(wrap(written(b"x")), "f")
        assert pickle.loads(results.carefully("next", "f")) == "next"
    assert disk.put == []


def test_a_file_of_a_job_that_keeps_nothing_is_refused() -> None:
    results = ResultPickler(Outside(Disk()), None)  # type: ignore[arg-type]
    with pytest.raises(CannotPickle, match="from a job with keep=True"):
        results.carefully(written(b"x"), "f")

"""Descriptors and mappings belong to somebody however their user is interrupted."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import warnings
from collections.abc import Iterator

import pytest

from scattergather.wire.memory.owned import Descriptor, Mapping, address_of, own
from tests.struck import struck_everywhere

pytestmark = pytest.mark.usefixtures("counted")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def maps() -> int:
    with open("/proc/self/maps") as file:
        return sum("owned-test" in line for line in file)


@pytest.fixture
def file() -> Iterator[Descriptor]:
    file = own(os.memfd_create, "owned-test", os.MFD_CLOEXEC)
    file.truncate(4 * mmap.PAGESIZE)
    yield file
    file.close()


def test_a_descriptor_is_closed_without_a_word_when_nobody_has_it() -> None:
    before = descriptors()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = own(os.open, os.devnull, os.O_RDWR)
        assert descriptors() == before + 1
        del file
    assert descriptors() == before


def test_what_cannot_be_opened_is_the_error_of_the_call() -> None:
    with pytest.raises(FileNotFoundError):
        own(os.open, "/nowhere/at/all", os.O_RDONLY)


def test_an_interrupt_at_any_moment_leaves_no_descriptor() -> None:
    before = descriptors()
    rounds = 0
    for _ in struck_everywhere(lambda: own(os.open, os.devnull, os.O_RDWR).fileno()):
        rounds += 1
        assert descriptors() == before
    assert rounds > 5


def test_an_interrupt_at_any_moment_leaves_no_mapping(file: Descriptor) -> None:
    before = descriptors()

    def use() -> None:
        mapping = Mapping(file.fileno(), 0, mmap.PAGESIZE, mmap.MAP_PRIVATE)
        mapping[0] = 1

    rounds = 0
    for _ in struck_everywhere(use):
        rounds += 1
        assert (maps(), descriptors()) == (0, before)
    assert rounds > 10


def test_an_interrupt_at_any_moment_leaves_no_buffer_exported() -> None:
    data = bytearray(b"x")
    rounds = 0
    for _ in struck_everywhere(lambda: address_of(data)):
        rounds += 1
        data.append(0)  # BufferError while anybody has it
    assert rounds > 3


def test_a_mapping_shows_its_part_of_the_file_and_holds_no_descriptor(file: Descriptor) -> None:
    os.pwrite(file.fileno(), b"abc", mmap.PAGESIZE)
    before = descriptors()
    own_copy = Mapping(file.fileno(), mmap.PAGESIZE, 3, mmap.MAP_PRIVATE)
    shared = Mapping(file.fileno(), mmap.PAGESIZE, 3, mmap.MAP_SHARED)
    assert descriptors() == before
    assert own_copy.address == address_of(own_copy)
    own_copy[0:1] = b"x"
    shared[1:2] = b"y"
    assert (bytes(own_copy[0:1]), bytes(shared)) == (b"x", b"ayc")
    assert os.pread(file.fileno(), 3, mmap.PAGESIZE) == b"ayc"
    view = memoryview(own_copy)
    del own_copy, shared
    assert maps() == 1
    view.release()
    del view
    gc.collect()
    assert maps() == 0


def test_what_cannot_be_mapped_leaves_nothing() -> None:
    with pytest.raises(OSError, match="1 bytes cannot be mapped") as raised:
        Mapping(-1, 0, 1, mmap.MAP_PRIVATE)
    assert raised.value.errno == errno.EBADF
    with pytest.raises(OSError, match="cannot be mapped"):
        Mapping(0, 0, 1 << 62, mmap.MAP_PRIVATE)

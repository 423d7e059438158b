"""Files without a name: where they go, and that nothing of them is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from scattergather import BadRequest, spawnScatterGather
from scattergather.cli.main import cli
from scattergather.wire.memory import scratch, slabs
from scattergather.workers.daemon import service
from scattergather.workers.process.surroundings.place import Surroundings


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    yield
    scratch.use("")


def test_a_file_without_a_name_lies_in_the_folder_that_was_named(tmp_path: Path) -> None:
    scratch.use(str(tmp_path))
    file = scratch.create()
    file.write(b"data")
    assert os.listdir(tmp_path) == []
    assert os.stat(file.fileno()).st_dev == os.stat(tmp_path).st_dev
    assert os.readlink(f"/proc/self/fd/{file.fileno()}").startswith(str(tmp_path))
    slab = slabs.create(1 << 20, on_disk=True)
    assert os.readlink(f"/proc/self/fd/{slab.fileno()}").startswith(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_without_a_word_it_is_the_folder_of_the_environment_and_else_one_on_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert scratch.folder() == str(tmp_path)
    monkeypatch.delenv("TMPDIR")
    assert scratch.folder() == "/var/tmp"
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert os.path.isdir(scratch.folder())


def test_a_folder_that_is_memory_is_told() -> None:
    with open("/proc/mounts", encoding="utf-8") as lines:
        memory = [line.split()[1] for line in lines if line.split()[2] == "tmpfs"]
    if not memory:
        pytest.skip("no tmpfs is mounted here")
    assert scratch.of_memory(memory[0]) == "tmpfs"
    assert scratch.of_memory("/proc") == ""
    assert scratch.of_memory("/no such folder") == ""
    scratch.use(memory[0])
    (told,) = service._problems_of_scratch()
    assert f"go to {memory[0]}, which is memory itself (tmpfs)" in told
    assert "--scratch DIR" in told


def test_a_task_that_finds_the_disk_full_is_told_which_and_what_to_do(tmp_path: Path) -> None:
    scratch.use(str(tmp_path))
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as caught:
        os.write(full, b"x")
    os.close(full)
    told = Surroundings().advice(caught.value)
    assert f"lie in {tmp_path}, whose disk has " in told
    assert "--scratch DIR" in told
    assert Surroundings().advice(OSError(2, "other")) == ""


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "none", tmp_path / "file", "/proc"):
        with pytest.raises(BadRequest, match="scratch: temporary files cannot go to"):
            spawnScatterGather(scratch=wrong)
        done = CliRunner().invoke(cli, ["pool", "--scratch", str(wrong)])
        assert "--scratch: temporary files cannot go to" in str(done.exception)
    with pytest.raises(BadRequest, match="scratch must be a path, not 3"):
        spawnScatterGather(scratch=3)
    scratch.use(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="none"):
        scratch.create()

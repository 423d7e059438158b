"""Files below a folder: nothing outside of it is read or written, and nothing is there half."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scattergather.store import beneath
from scattergather.store.beneath import Arriving, Barred, Beneath, Existing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return made


@pytest.fixture
def files(root: Path) -> Beneath:
    return Beneath(os.fsencode(root))


def summed(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def put(files: Beneath, path: bytes, data: bytes, mode: int = 0o600, replace: bool = True) -> None:
    arriving = files.begin(path, len(data))
    arriving.write(0, data)
    arriving.place(summed(data), mode, replace=replace)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_is_there_when_all_of_it_has_come_and_not_before(files: Beneath, root: Path) -> None:
    before = open_descriptors()
    arriving = files.begin(b"a/b/file", 6)
    arriving.write(0, b"abc")
    assert os.listdir(root / "a" / "b") == []
    arriving.write(3, b"def")
    arriving.place(summed(b"abcdef"), 0o640)
    assert (root / "a" / "b" / "file").read_bytes() == b"abcdef"
    assert stat.S_IMODE((root / "a" / "b" / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o700
    assert open_descriptors() == before


def test_a_file_replaces_what_was_there_in_one_step(files: Beneath, root: Path) -> None:
    put(files, b"file", b"old")
    with open(root / "file", "rb") as reader:
        put(files, b"file", b"new", 0o4755)
        assert reader.read() == b"old"
    assert (root / "file").read_bytes() == b"new"
    assert stat.S_IMODE((root / "file").stat().st_mode) == 0o700
    assert os.listdir(root) == ["file"]


def test_what_is_not_to_be_replaced_is_not(files: Beneath, root: Path) -> None:
    put(files, b"file", b"old")
    with pytest.raises(Existing, match="'file' already"):
        put(files, b"file", b"new", replace=False)
    assert (root / "file").read_bytes() == b"old"
    assert os.listdir(root) == ["file"]


@pytest.mark.parametrize("flag", [os.O_DIRECTORY, None])
def test_where_no_file_can_be_without_a_name_it_is_there_in_one_step_as_well(
    files: Beneath, root: Path, monkeypatch: pytest.MonkeyPatch, flag: int | None
) -> None:
    if flag is None:
        monkeypatch.delattr(beneath.os, "O_TMPFILE")  # another system
    else:
        monkeypatch.setattr(beneath.os, "O_TMPFILE", flag)  # another file system: EISDIR
    put(files, b"file", b"old", replace=False)
    put(files, b"file", b"new")
    with pytest.raises(Existing):
        put(files, b"file", b"newest", replace=False)
    files.begin(b"other", 3).close()
    assert (root / "file").read_bytes() == b"new"
    assert os.listdir(root) == ["file"]


@pytest.mark.parametrize("data", [b"abcdeX", b"abc", b""])
def test_what_is_not_what_was_sent_never_gets_a_name(
    files: Beneath, root: Path, data: bytes
) -> None:
    arriving = files.begin(b"file", 6)
    arriving.write(0, data)
    with pytest.raises(Barred, match="send it again"):
        arriving.place(summed(b"abcdef"), 0o600)
    assert os.listdir(root) == []


@pytest.mark.parametrize(("offset", "data"), [(1, b"a"), (0, b"abcdefg")])
def test_bytes_that_are_not_the_next_are_refused(files: Beneath, offset: int, data: bytes) -> None:
    arriving = files.begin(b"file", 6)
    with pytest.raises(Barred, match="out of order"):
        arriving.write(offset, data)
    arriving.close()


OUT = [b"../outside/secret", b"a/../../outside/secret", b"/etc/passwd", b"..", b"a\0b", b"x" * 5000]


@pytest.mark.parametrize("path", OUT)
@pytest.mark.parametrize("verb", ["open", "look", "entries", "make_folder", "begin"])
def test_a_path_that_leads_out_is_refused(
    files: Beneath, root: Path, path: bytes, verb: str
) -> None:
    asked = (path, 3) if verb == "begin" else (path,)
    ask = getattr(files, verb)
    with pytest.raises(Barred):
        list(ask(*asked)) if verb == "entries" else ask(*asked)
    assert os.listdir(root.parent / "outside") == ["secret"]


LINKS: dict[str, Callable[[Path], tuple[str, str]]] = {
    "a link to a file": lambda root: ("link", str(root.parent / "outside" / "secret")),
    "a link to a folder on the way": lambda root: ("link", str(root.parent / "outside")),
    "a link that stays within": lambda root: ("link", "inner"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_no_link_is_followed(files: Beneath, root: Path, kind: str) -> None:
    (root / "inner").mkdir()
    name, target = LINKS[kind](root)
    os.symlink(target, root / name)
    path = b"link/secret" if "folder" in kind or "within" in kind else b"link"
    for asked in (
        lambda: files.open(path),
        lambda: files.look(path),
        lambda: list(files.entries(b"")),
        lambda: list(files.entries(b"link")),
        lambda: files.make_folder(b"link/new"),
        lambda: files.begin(b"link/new", 0),
    ):
        with pytest.raises(Barred, match="link"):
            asked()
    assert os.listdir(root.parent / "outside") == ["secret"]
    assert os.listdir(root / "inner") == []


def test_a_link_where_a_file_is_to_lie_is_replaced_and_not_written_through(
    files: Beneath, root: Path
) -> None:
    os.symlink(root.parent / "outside" / "secret", root / "file")
    put(files, b"file", b"mine")
    assert not (root / "file").is_symlink()
    assert (root.parent / "outside" / "secret").read_text() == "secret"


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere_else(
    files: Beneath, root: Path
) -> None:
    arriving = files.begin(b"folder/secret", 3)
    (root / "folder").rename(root / "moved")
    os.symlink(root.parent / "outside", root / "folder")
    arriving.write(0, b"new")
    arriving.place(summed(b"new"), 0o600)
    assert (root / "moved" / "secret").read_text() == "new"
    assert (root.parent / "outside" / "secret").read_text() == "secret"


def test_what_is_no_file_is_refused_at_once(files: Beneath, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "socket"))
        (root / "folder").mkdir()
        for name in (b"pipe", b"socket", b"folder"):
            with pytest.raises(Barred, match=f"'{name.decode()}' is a {name.decode()}"):
                files.open(name)
        with pytest.raises(Barred, match="is a pipe"):
            list(files.entries(b""))
    with pytest.raises(Barred, match="is a device"):
        Beneath(b"/dev").open(b"null")
    with pytest.raises(Barred, match="which no file replaces"):
        files.begin(b"folder", 0)


def test_errors_of_the_system_are_sentences(files: Beneath, root: Path) -> None:
    with pytest.raises(Barred, match="there is no file or folder 'none'"):
        files.open(b"none")
    with pytest.raises(Barred, match="name is too long"):
        files.begin(b"n" * 300, 0)
    with pytest.raises(Barred, match="no room for 'huge': it has"):
        files.begin(b"huge", 1 << 53)
    put(files, b"file", b"x")
    with pytest.raises(Barred, match="no folder"):
        files.open(b"file/below")
    assert os.listdir(root) == ["file"]


def test_a_disk_that_is_full_is_said(files: Beneath, monkeypatch: pytest.MonkeyPatch) -> None:
    arriving = files.begin(b"file", 3)
    os.close(arriving._fd)
    arriving._fd = os.open("/dev/full", os.O_RDWR)
    with pytest.raises(Barred, match="the disk is full"):
        arriving.write(0, b"abc")
    arriving.close()


def test_a_file_that_is_changed_while_it_is_read_is_said(files: Beneath, root: Path) -> None:
    put(files, b"file", b"abcdef")
    departing = files.open(b"file")
    assert departing.read(0, 3) == b"abc"
    (root / "file").write_bytes(b"ab")
    with pytest.raises(Barred, match="changed while it was sent"):
        departing.read(3, 3)
    with pytest.raises(Barred, match="changed while it was sent"):
        departing.digest()
    departing.close()


def test_the_checksum_is_that_of_the_whole_however_it_was_read(files: Beneath) -> None:
    put(files, b"file", b"abcdef")
    departing = files.open(b"file")
    departing.read(0, 4)
    with pytest.raises(Barred, match="not read to its end"):
        departing.digest()
    departing.read(2, 3)
    departing.read(0, 1)
    departing.read(5, 9)
    assert departing.digest() == summed(b"abcdef")
    departing.close()


def test_a_folder_is_told_with_all_that_lies_below(files: Beneath, root: Path) -> None:
    for path in (b"a/b/1", b"a/2", b"3"):
        put(files, path, path)
    told = list(files.entries(b""))
    assert sorted(found.path for found in told) == [b"3", b"a", b"a/2", b"a/b", b"a/b/1"]
    seen = [found.path for found in told]
    assert seen.index(b"a") < seen.index(b"a/b") < seen.index(b"a/b/1")
    assert sorted(found.path for found in files.entries(b"a")) == [b"2", b"b", b"b/1"]


def test_only_where_it_is_allowed_a_path_leads_anywhere(root: Path) -> None:
    free = Beneath(os.fsencode(root), anywhere=True)
    outside = os.fsencode(root.parent / "outside")
    put(free, outside + b"/new/file", b"x")
    assert (root.parent / "outside" / "new" / "file").read_bytes() == b"x"
    put(free, b"file", b"below")
    assert (root / "file").read_bytes() == b"below"
    departing = free.open(outside + b"/secret")
    assert departing.read(0, 9) == b"secret"
    departing.close()
    with pytest.raises(Barred):
        free.open(b"../outside/secret")


PARTS = st.lists(
    st.sampled_from([b"..", b".", b"", b"a", b"link", b"\xff", b"new"]), min_size=1, max_size=6
)


@settings(max_examples=40, deadline=None)
@given(parts=PARTS)
def test_whatever_the_path_nothing_outside_changes(
    parts: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("top")
    (top / "root").mkdir()
    (top / "outside").mkdir()
    os.symlink("../outside", top / "root" / "link")
    files = Beneath(os.fsencode(top / "root"))
    try:
        put(files, b"/".join(parts), b"data")
    except Barred:
        pass
    assert sorted(os.listdir(top)) == ["outside", "root"]
    assert os.listdir(top / "outside") == []


def test_no_descriptor_is_left_by_what_fails(files: Beneath, root: Path) -> None:
    os.symlink("/etc", root / "link")
    before = open_descriptors()
    for _ in range(3):
        for asked in (
            lambda: files.begin(b"huge", 1 << 53),
            lambda: files.begin(b"link/x", 1),
            lambda: files.open(b"link"),
            lambda: list(files.entries(b"")),
        ):
            with pytest.raises(Barred):
                asked()
    arriving: Arriving = files.begin(b"x", 1)
    arriving.close()
    arriving.close()
    assert open_descriptors() == before

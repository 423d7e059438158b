from __future__ import annotations

import ast
import os
import re
import resource
import signal
import stat
import threading
from pathlib import Path

import pytest

from scattergather.errors import BadRequest
from scattergather.settings import identity, private
from scattergather.settings.furl import Furl

TUB = "abcdefghijklmnopqrstuvwxyz234567"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_folders_are_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        private.folder(tmp_path / "a")
        private.write(tmp_path / "a" / "secret", b"x")
    finally:
        os.umask(old)
    assert mode(tmp_path / "a") == 0o700
    assert mode(tmp_path / "a" / "secret") == 0o600
    assert os.listdir(tmp_path / "a") == ["secret"]
    assert private.read(tmp_path / "a" / "secret") == b"x"
    assert private.read(tmp_path / "a" / "none") is None


def test_a_secret_that_others_can_read_is_refused_and_left_as_it_is(tmp_path):
    file = tmp_path / "secret"
    private.write(file, b"x")
    file.chmod(0o640)
    with pytest.raises(private.NotPrivate, match=r"0640.*chmod 600"):
        private.read(file)
    assert mode(file) == 0o640
    tmp_path.chmod(0o755)
    with pytest.raises(private.NotPrivate, match="0700"):
        private.folder(tmp_path)


DESTRUCTIVE = re.compile(r"\b(delete|remove|erase|rm|overwrite|unlink)\b", re.IGNORECASE)


def home(folder):
    """A folder of a user, as it is on many systems, with files in it that are none of ours."""
    folder.mkdir(mode=0o755)
    (folder / "key").write_text("of a door")
    (folder / "notes").write_text("one\ntwo\n")
    (folder / "notes").chmod(0o644)
    return folder


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (lambda home: private.folder(home), "does not look like one of scattergather's"),
        (lambda home: private.folder(home / "notes"), "is no folder"),
        (lambda home: private.folder(home / "notes" / "pool"), "cannot be a folder"),
        (lambda home: private.read(home / "notes"), "neither a FURL nor a key"),
        (lambda home: private.read(home), "is no plain file"),
        (lambda home: private.hand_over(home / "notes", "pb://x"), "it stays as it is"),
        (lambda home: private.hand_over(home, "pb://x"), "it stays as it is"),
    ],
)
def test_of_what_is_not_ours_nobody_is_told_to_change_or_delete_it(tmp_path, asked, sentence):
    theirs = home(tmp_path / "home")
    with pytest.raises(BadRequest, match=sentence) as told:
        asked(theirs)
    assert not DESTRUCTIVE.search(str(told.value))
    assert "chmod" not in str(told.value)
    assert (theirs / "notes").read_text() == "one\ntwo\n"


def test_a_furl_takes_the_place_of_another_one_and_of_nothing_else(tmp_path):
    file = tmp_path / "made" / "furl"
    for furl in ("pb://one", "pb://two"):
        private.hand_over(file, furl)
        assert file.read_text() == furl + "\n"
        assert mode(file) == 0o600


@pytest.mark.parametrize("name", ["lock", "furl"])
@pytest.mark.parametrize("holds", ["words", "a folder"])
def test_a_pool_spoils_nothing_in_a_folder_that_was_somebody_elses(tmp_path, name, holds):
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    if holds == "words":
        (theirs / name).write_text("words")
        (theirs / name).chmod(0o600)
        (theirs / "key").write_bytes(b"")
        (theirs / "key").chmod(0o600)
    else:
        (theirs / name).mkdir()
    with pytest.raises(BadRequest, match=name) as told:
        identity.claim(theirs, lambda: b"a new key")
    assert not DESTRUCTIVE.search(str(told.value))
    assert holds == "a folder" or (theirs / name).read_text() == "words"


def test_no_sentence_of_the_product_tells_anybody_to_delete_a_file():
    """What looks like ours may be anybody's, and who reads this is in a hurry."""
    folder = Path(private.__file__).parents[1]
    found = []
    for path in [*folder.rglob("*.py"), *folder.with_name("workers").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                advice = re.search(r"(?i)\b(delete (it|them|the)\b|rm -)", node.value)
                found += [(path.name, node.value)] if advice else []
    assert found == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_secret_of_another_user_is_refused(tmp_path):
    file = tmp_path / "secret"
    private.write(file, b"x")
    os.chown(file, 12345, -1)
    with pytest.raises(private.NotPrivate, match="uid 12345"):
        private.read(file)


def test_a_link_or_a_pipe_in_the_place_of_a_secret_is_refused(tmp_path):
    private.write(tmp_path / "real", b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(private.NotPrivate):
        private.read(tmp_path / "link")
    with pytest.raises(private.NotPrivate, match="no plain file"):
        private.read(tmp_path / "pipe")


def test_writing_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "other").write_bytes(b"theirs")
    (tmp_path / "secret").symlink_to(tmp_path / "other")
    private.write(tmp_path / "secret", b"ours")
    assert (tmp_path / "other").read_bytes() == b"theirs"
    assert private.read(tmp_path / "secret") == b"ours"


def test_an_identity_is_the_same_after_a_restart(tmp_path):
    keys = iter([b"key 1", b"key 2"])
    first = identity.claim(tmp_path / "pool", lambda: next(keys))
    private.write(first.furl_file, Furl(TUB, ("tcp:h:1",), first.name).text.encode())
    first.release()
    again = identity.claim(tmp_path / "pool", lambda: next(keys))
    assert (again.key, again.name) == (first.key, first.name) == (b"key 1", first.name)
    assert mode(tmp_path / "pool" / "key") == 0o600
    assert "key 1" not in repr(first)
    assert first.name not in repr(first)


def test_a_lost_key_means_a_new_name(tmp_path):
    first = identity.claim(tmp_path, lambda: b"key 1")
    private.write(first.furl_file, Furl(TUB, ("tcp:h:1",), first.name).text.encode())
    first.release()
    (tmp_path / "key").unlink()
    assert identity.claim(tmp_path, lambda: b"key 2").name != first.name


def test_a_broken_furl_file_is_named(tmp_path):
    identity.claim(tmp_path, lambda: b"key").release()
    private.write(tmp_path / "furl", b"nonsense")
    for _ in range(2):
        with pytest.raises(BadRequest, match="furl holds no FURL"):
            identity.claim(tmp_path, lambda: b"key")


def test_two_pools_cannot_run_with_one_folder(tmp_path):
    first = identity.claim(tmp_path / "pool", lambda: b"key 1")
    with pytest.raises(identity.Taken, match=f"process {os.getpid()}"):
        identity.claim(tmp_path / "pool", lambda: b"key 2")
    other = identity.claim_any(tmp_path / "pool", lambda: b"key 3")
    assert (other.folder.name, other.key) == ("pool.2", b"key 3")
    first.release()
    other.release()


def test_who_changes_a_folder_waits_for_who_does_so_already(tmp_path):
    order = []

    def other():
        with private.changing(tmp_path):
            order.append("other")

    with private.changing(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.05)
        order.append("this one")
    thread.join()
    assert order == ["this one", "other"]


def test_who_holds_the_lock_of_a_folder_for_long_is_not_waited_for_in_silence(tmp_path):
    with (
        private.changing(tmp_path),
        pytest.raises(BadRequest, match=r"another process changes .*fuser"),
        private.changing(tmp_path, patience=0.0),
    ):
        pass


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    gone = tmp_path / "gone"
    with (
        pytest.raises(BadRequest, match="gone cannot be changed: No such file or directory"),
        private.changing(gone),
    ):
        pass
    with pytest.raises(BadRequest, match="secret cannot be written: No such file or directory"):
        private.write(gone / "secret", b"x")


def test_a_disk_that_is_full_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    file = tmp_path / "secret"
    private.write(file, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
    try:
        with pytest.raises(BadRequest, match=r"secret cannot be written: .*as it was"):
            private.write(file, b"new and larger")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert private.read(file) == b"old"
    assert os.listdir(tmp_path) == ["secret"]


def test_a_folder_that_two_make_at_once_is_made(tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    start = threading.Barrier(8)

    def make(number):
        start.wait()
        private.folder(deep)
        private.write(deep / str(number), b"x")

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(os.listdir(deep)) == sorted(map(str, range(8)))
    assert mode(deep) == 0o700

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from scattergather.errors import BadRequest, UnknownName
from scattergather.settings import private
from scattergather.settings.furl import Furl
from scattergather.settings.hosts import pool_folder
from scattergather.settings.invitations import OWNER, Invitations
from scattergather.settings.paths import pools

OWNERS = Furl("abcdefghijklmnopqrstuvwxyz234567", ("tcp:127.0.0.1:4000",), "o" * 32)


def a_pool(folder, furl: Furl = OWNERS) -> Invitations:
    private.folder(folder)
    private.write(folder / "furl", furl.text.encode())
    return Invitations(folder)


@pytest.fixture
def invitations(tmp_path) -> Invitations:
    return a_pool(tmp_path / "pool")


def test_every_guest_gets_a_furl_of_his_own_to_the_same_pool(invitations):
    anna, bob = invitations.invite("anna"), invitations.invite("bob")
    assert (anna.tub, anna.hints) == (bob.tub, bob.hints) == (OWNERS.tub, OWNERS.hints)
    assert len({anna.name, bob.name, OWNERS.name}) == 3
    assert invitations.guests() == ["anna", "bob"]
    again = Invitations(invitations.pool)
    assert again.secret("anna") == anna.name
    assert again.secret(OWNER) == OWNERS.name
    assert again.secret("carl") is None


def test_what_is_stored_is_private_whatever_the_umask(invitations):
    old = os.umask(0)
    try:
        invitations.invite("anna")
        invitations.renew("anna")
        invitations.renew(OWNER)
    finally:
        os.umask(old)
    folder = invitations.pool / "invited"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.listdir(folder) == ["anna"]
    for file in (folder / "anna", invitations.pool / "furl"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_nlink == 1


def test_renewing_gives_another_secret_and_revoking_none(invitations):
    first = invitations.invite("anna")
    second = invitations.renew("anna")
    assert second.name != first.name
    assert invitations.secret("anna") == second.name
    invitations.revoke("anna")
    assert invitations.secret("anna") is None
    assert invitations.guests() == []
    mine = invitations.renew(OWNER)
    assert mine.name != OWNERS.name
    assert invitations.owner() == mine


@pytest.fixture(params=[False, True], ids=["time passes", "within one tick of the clock"])
def clock(request, monkeypatch):
    """What happens while the clock of the file system stands still, as it does for a moment."""
    if request.param:
        real = Path.lstat

        def still(path):
            facts = real(path)
            return SimpleNamespace(st_ino=facts.st_ino, st_mode=facts.st_mode, st_ctime_ns=0)

        monkeypatch.setattr(Path, "lstat", still)


@pytest.mark.usefixtures("clock")
def test_a_stamp_tells_every_change_from_none(invitations):
    seen = [invitations.stamp()]
    assert invitations.stamp() == seen[0]
    file = invitations.pool / "invited" / "anna"
    for change in (
        lambda: invitations.invite("anna"),
        lambda: invitations.renew("anna"),
        lambda: file.chmod(0o640),
        lambda: invitations.revoke("anna"),
        lambda: invitations.renew(OWNER),
    ):
        change()
        assert invitations.stamp() != seen[-1]
        seen.append(invitations.stamp())


@pytest.mark.parametrize("name", ["", "an na", "../anna", ".anna", "-anna", "a/b", "a" * 65, "ä"])
def test_a_name_that_cannot_be_used_is_refused(invitations, name):
    with pytest.raises(BadRequest, match="cannot be the name of a guest"):
        invitations.invite(name)
    with pytest.raises(UnknownName, match="nobody called"):
        invitations.revoke(name)
    assert invitations.guests() == []


def test_the_owner_is_no_guest(invitations):
    with pytest.raises(BadRequest, match="who runs the pool"):
        invitations.invite(OWNER)
    with pytest.raises(BadRequest, match="scattergather renew owner"):
        invitations.revoke(OWNER)


def test_nobody_is_invited_twice_and_a_guest_who_is_not_there_is_named(invitations):
    anna = invitations.invite("anna")
    with pytest.raises(BadRequest, match=r"invited already.*scattergather renew anna"):
        invitations.invite("anna")
    assert invitations.secret("anna") == anna.name
    for act in (invitations.renew, invitations.revoke):
        with pytest.raises(UnknownName, match=r"nobody called 'bob'.*invited are: anna"):
            act("bob")


def test_of_many_invitations_at_once_one_is_made(invitations):
    got: list[Furl] = []

    def invite() -> None:
        try:
            got.append(Invitations(invitations.pool).invite("anna"))
        except BadRequest:
            pass

    threads = [threading.Thread(target=invite) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (furl,) = got
    assert invitations.secret("anna") == furl.name


def test_an_invitation_that_others_can_read_is_refused_with_the_cure(invitations):
    invitations.invite("anna")
    file = invitations.pool / "invited" / "anna"
    file.chmod(0o644)
    with pytest.raises(private.NotPrivate, match=f"{file}.*chmod 600 {file}"):
        invitations.secret("anna")
    file.unlink()
    file.symlink_to(invitations.pool / "furl")
    with pytest.raises(private.NotPrivate):
        invitations.secret("anna")


def test_a_folder_that_others_can_enter_is_refused_with_the_cure(invitations):
    invitations.pool.chmod(0o755)
    with pytest.raises(private.NotPrivate, match=f"chmod 700 {invitations.pool}"):
        invitations.invite("anna")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "holds no invitation: scattergather renew anna"),
        ("1 short", "holds no invitation"),
        ("2 " + "s" * 32, "has format 2, this scattergather knows 1"),
    ],
)
def test_a_file_of_another_kind_is_refused(invitations, line, sentence):
    invitations.invite("anna")
    private.write(invitations.pool / "invited" / "anna", line.encode())
    with pytest.raises(BadRequest, match=sentence):
        invitations.secret("anna")


def test_a_pool_that_never_ran_has_no_furls(tmp_path):
    with pytest.raises(BadRequest, match="no pool has run"):
        Invitations(private.folder(tmp_path / "pool")).invite("anna")


def test_the_pool_is_found_by_its_port_or_because_there_is_one_only():
    with pytest.raises(UnknownName, match="start it: scattergather pool,"):
        pool_folder()
    a_pool(pools() / "0")
    assert pool_folder() == pool_folder(4000) == pool_folder(0) == pools() / "0"
    with pytest.raises(UnknownName, match=r"at port 4001; .*pool --port 4001"):
        pool_folder(4001)
    a_pool(pools() / "4001", Furl(OWNERS.tub, ("tcp:h:4001",), "p" * 32))
    assert pool_folder(4001) == pools() / "4001"
    with pytest.raises(UnknownName, match=r"--directory .*/0 .*\n.*--directory .*/4001 "):
        pool_folder()


def test_a_guest_who_is_renewed_and_revoked_at_once_is_revoked(invitations):
    revoking = threading.Thread(target=Invitations(invitations.pool).revoke, args=("anna",))

    class Slow(Invitations):
        def _check_known(self, who):
            super()._check_known(who)
            revoking.start()  # behind the look, before the file
            revoking.join(0.1)

    invitations.invite("anna")
    Slow(invitations.pool).renew("anna")
    revoking.join()
    assert invitations.guests() == []


def test_a_pool_that_says_where_it_listens_leaves_a_secret_that_was_just_renewed(invitations):
    renewed = invitations.renew(OWNER)
    moved = Furl(OWNERS.tub, ("tcp:10.0.0.1:5",), OWNERS.name)
    published = invitations.publish(moved)
    assert (published.hints, published.name) == (moved.hints, renewed.name)
    assert invitations.owner() == published
    assert Invitations(invitations.pool.with_name("new")).publish(moved) == moved

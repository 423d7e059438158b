from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from scattergather.errors import BadRequest
from scattergather.link.gate.doors import SECONDS, Doors
from scattergather.settings import private
from scattergather.settings.invitations import OWNER, Invitations
from tests.unit.settings.test_invitations import OWNERS, a_pool


class House:
    """Notes who may come in, and every change."""

    def __init__(self) -> None:
        self.open: dict[str, str] = {}
        self.changes = 0

    def let_in(self, who: str, name: str) -> None:
        assert who not in self.open
        self.open[who] = name
        self.changes += 1

    def shut_out(self, who: str) -> None:
        del self.open[who]
        self.changes += 1


class Pool:
    """A house whose doors follow a folder, and a clock to let it look."""

    def __init__(self, folder) -> None:
        self.invitations: Invitations = a_pool(folder / "pool")
        self.invitations.invite("bob")
        self.clock, self.house = Clock(), House()
        self.doors = Doors(self.clock, self.invitations, self.house)

    def start(self) -> Pool:
        self.doors.start({OWNER: OWNERS.name})
        return self

    def look(self) -> dict[str, str]:
        self.clock.advance(SECONDS)
        return self.house.open


@pytest.fixture
def pool(tmp_path) -> Pool:
    return Pool(tmp_path)


def test_the_owner_and_the_guests_may_come_in_from_the_start(pool):
    pool.start()
    bob = pool.invitations.secret("bob")
    assert pool.house.open == {OWNER: OWNERS.name, "bob": bob}
    assert SECONDS <= 0.5  # a second is promised
    pool.doors.stop()
    assert not pool.clock.getDelayedCalls()


def test_who_is_invited_renewed_or_revoked_while_it_runs_is_noticed_at_the_next_look(pool):
    pool.start()
    anna = pool.invitations.invite("anna")
    assert pool.look()["anna"] == anna.name
    anna = pool.invitations.renew("anna")
    assert pool.look()["anna"] == anna.name
    pool.invitations.revoke("bob")
    assert pool.look() == {OWNER: OWNERS.name, "anna": anna.name}
    mine = pool.invitations.renew(OWNER)
    assert pool.look() == {OWNER: mine.name, "anna": anna.name}
    before = pool.house.changes
    pool.look()
    assert pool.house.changes == before


def test_what_others_can_read_lets_nobody_in_until_that_is_mended(pool):
    pool.start()
    file = pool.invitations.pool / "invited" / "bob"
    file.chmod(0o644)
    assert list(pool.look()) == [OWNER]
    file.chmod(0o600)
    assert list(pool.look()) == [OWNER, "bob"]
    furl = pool.invitations.pool / "furl"
    furl.chmod(0o644)
    assert list(pool.look()) == ["bob"]
    furl.chmod(0o600)
    assert pool.look()[OWNER] == OWNERS.name


def test_a_broken_invitation_shuts_out_its_guest_and_nobody_else(pool):
    pool.start()
    private.write(pool.invitations.pool / "invited" / "bob", b"nonsense")
    anna = pool.invitations.invite("anna")
    assert pool.look() == {OWNER: OWNERS.name, "anna": anna.name}
    bob = pool.invitations.renew("bob")
    assert pool.look()["bob"] == bob.name


def test_the_owner_stays_while_his_file_is_not_there(pool):
    pool.start()
    (pool.invitations.pool / "furl").unlink()
    pool.invitations.revoke("bob")
    assert pool.look() == {OWNER: OWNERS.name}


def test_a_pool_with_an_invitation_that_others_can_read_does_not_start(pool):
    (pool.invitations.pool / "invited" / "bob").chmod(0o644)
    with pytest.raises(BadRequest, match="chmod 600"):
        pool.start()
    assert not pool.house.open

"""What a session holds here, by name: nothing where its controller knows that already."""

from __future__ import annotations

import pytest

from scattergather.store.store import Store
from scattergather.wire.messages.shared import Extent
from scattergather.workers.daemon.large import Holdings

A, B = (letter * 16 for letter in (b"a", b"b"))


@pytest.mark.parametrize("shared", [False, True])
def test_the_end_of_a_session_drops_what_it_holds_if_nobody_else_does(shared: bool) -> None:
    store = Store()
    holdings = Holdings(store, shared=shared)
    made, came = Extent(object=A, length=1), Extent(object=B, length=1)
    store.learn([made, came])
    holdings.made((made,), ())
    holdings.came([B])
    assert len(holdings._here) == (0 if shared else 2)
    holdings.close()
    assert store.held == (2 if shared else 0)
    store.close()


def test_no_session_finds_drops_or_replaces_what_another_has() -> None:
    store = Store()
    owner, guest = Holdings(store), Holdings(store)
    made = Extent(object=A, length=1)
    store.learn([made])
    owner.made((made,), ())
    assert owner.reserve(B, 3)
    owner.write(B, 0, b"own")
    for name in (A, B):
        assert guest.length(name) is None
        with pytest.raises(LookupError):
            guest.read(name, 0, 1)
        assert not guest.reserve(name, 3)
        guest.discard(name)
        guest.drop([name])
    owner.stored(B)
    theirs = Extent(object=B, length=3)
    assert guest.lacks((made, theirs))[0] == {A, B}
    assert owner.lacks((made, theirs))[0] == frozenset()
    guest.close()
    assert owner.read(B, 0, 3) == b"own"
    owner.close()
    assert guest.reserve(B, 3), "its name is free when the other session is over"
    guest.discard(B)
    store.close()

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

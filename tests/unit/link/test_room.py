"""Room that is free again goes to every host in its turn."""

from __future__ import annotations

from typing import Any

from scattergather.link.links import Links


class Host:
    """Takes all the room that there is."""

    def __init__(self, free: list[str]) -> None:
        self.free = free
        self.got: list[str] = []

    def room(self) -> None:
        self.got += self.free
        self.free.clear()


class Bare(Links):
    """Without a Tub."""

    def __init__(self, hosts: list[Any]) -> None:
        self.hosts = hosts


def test_no_host_gets_all_of_the_room_while_another_waits() -> None:
    free: list[str] = []
    hosts = [Host(free) for _ in range(3)]
    links = Bare(list(hosts))
    for n in range(6):
        free.append(f"page {n}")
        links.room()
    assert [len(host.got) for host in hosts] == [2, 2, 2]
    Bare([]).room()

"""FURLs: ``pb://<tub>@<hint>,<hint>/<name>``.

The tub is the digest of a pool's certificate, a hint says where it listens, and the name is the
secret: whoever knows it may use the pool. So a FURL's ``repr`` and ``str`` never show it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scattergather.errors import BadRequest

SHAPE = re.compile(r"pb://([a-z2-7]{32})@([^/@\s]*)/([A-Za-z0-9]{16,64})")
HINT = re.compile(r"(?:tcp:)?(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
SECRET = re.compile(r"pb://\S+")

WHERE_FROM = "'scattergather pool' prints it where the pool runs"
UNAUTHENTICATED = (
    "pbu:// stands for a pool without a key, which today's Foolscap no longer has, and which "
    "anybody on the network could use. Store the pool's FURL once, and keep the rest of the tuple: "
    "scattergather hosts add NAME"
)


@dataclass(frozen=True, slots=True, repr=False)
class Furl:
    """A FURL, taken apart. ``text`` is the whole of it, secret included."""

    tub: str
    hints: tuple[str, ...]
    name: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Furl:
        """The FURL that ``text`` is, white space around it aside.

        Raises:
            BadRequest: it is none; the message does not repeat it.
        """
        text = text.strip()
        if text.startswith("pbu://"):
            raise BadRequest(UNAUTHENTICATED)
        match = SHAPE.fullmatch(text)
        if match is None:
            raise BadRequest(
                "this is not a FURL (pb://<32 characters>@<host>:<port>/<secret name>): "
                f"{_fault(text)}; {WHERE_FROM}"
            )
        hints = tuple(match[2].split(",")) if match[2] else ()
        if not hints:
            raise BadRequest(f"this FURL does not say where its pool listens; {WHERE_FROM}")
        for hint in hints:
            address = HINT.fullmatch(hint)
            if address is None or not 0 < int(address[2]) < 65536:
                raise BadRequest(f"in this FURL, {hint[:80]!r} is no address (tcp:<host>:<port>)")
        return cls(match[1], hints, match[3])

    @property
    def text(self) -> str:
        """The whole FURL: a secret."""
        return f"pb://{self.tub}@{','.join(self.hints)}/{self.name}"

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each hint."""
        found = (HINT.fullmatch(hint) for hint in self.hints)
        return tuple((each[1].strip("[]"), int(each[2])) for each in found if each)

    @property
    def address(self) -> str:
        """The first ``host:port``, as it is shown."""
        host, port = self.addresses[0]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __repr__(self) -> str:
        return f"<FURL {self.tub[:6]}… at {self.address}>"

    def __str__(self) -> str:
        return repr(self)


def redacted(text: str) -> str:
    """``text`` with everything after ``pb://`` and six characters left out."""
    return SECRET.sub(lambda found: found[0][:11] + "…", text)


def _fault(text: str) -> str:
    if not text.startswith("pb://"):
        return "it does not begin with pb://"
    if "@" not in text:
        return "it has no @"
    tub, rest = text[5:].split("@", 1)
    if len(tub) != 32:
        return f"its first part has {len(tub)} characters"
    if "/" not in rest:
        return "it has no /name at its end"
    return "one of its parts is cut off or altered"

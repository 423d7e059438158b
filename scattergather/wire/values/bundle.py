"""Something that a task displayed, in several forms of which a front end takes the richest.

It is what Jupyter calls a mime bundle: text as ``str``, what is binary as ``bytes``, the rest as it
would stand in JSON. No pickle: it is shown, and nothing of it is run on the way.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Bundle(msgspec.Struct, frozen=True, kw_only=True, array_like=True, eq=False):
    """``data`` and ``metadata`` by mime type; what has a ``display_id`` can be replaced later.

    An ``update`` is shown where something was displayed under this id before.
    """

    data: dict[str, Any]
    metadata: dict[str, Any] = {}
    display_id: str | None = None
    update: bool = False

    @property
    def text(self) -> str:
        """It in words, for a terminal."""
        plain = self.data.get("text/plain")
        return plain if isinstance(plain, str) else f"<{', '.join(self.data) or 'nothing'}>"


_encoder = msgspec.msgpack.Encoder(enc_hook=str)
_decoder = msgspec.msgpack.Decoder(Bundle)


def pack_bundle(bundle: Bundle) -> bytes:
    """A bundle as the body of a message; what JSON does not know is in it as its text."""
    return _encoder.encode(bundle)


def unpack_bundle(body: bytes) -> Bundle:
    """The bundle that is the body of a message.

    Raises:
        ValueError: it is none.
    """
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error

"""How things are named on every wire: jobs, objects, slabs, shipped code and functions."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""What is named by 16 bytes; a message with a name of another length is refused as a whole."""

JobId = Id
"""16 random bytes, made by the client: unique without asking anyone."""

Digest = Id
"""16 bytes of sha256 over shipped code."""

ObjectId = Id
"""16 bytes: eight random ones of the process that made the object, and its number there."""

SlabId = Id
"""16 random bytes."""

FunctionName = str
"""``#`` and the hex digest of shipped code, or the name of a service or of pushed code."""


def shipped(digest: Digest) -> FunctionName:
    """The function name of shipped code."""
    return "#" + digest.hex()


def digest_of(function: FunctionName) -> Digest | None:
    """The digest of shipped code, or None for the name of a service."""
    return bytes.fromhex(function[1:]) if function.startswith("#") else None


def code_of(function: FunctionName, needs: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """The digests of a function and of what is needed beside it."""
    digest = digest_of(function)
    return needs if digest is None else (digest, *needs)

"""A blob of code, as it travels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBlob:
    """One blob of code.

    Attributes:
        digest: names the blob.
        blob: a pickled callable, or a bundle of classes.
        needs: digests of the other blobs without which it cannot be loaded.
        python: the version whose byte code the blob holds ("3.11"), or "".
    """

    digest: bytes
    blob: bytes
    needs: tuple[bytes, ...] = ()
    python: str = ""

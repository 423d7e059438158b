"""A blob of code, as it travels."""

from __future__ import annotations

from dataclasses import dataclass

OF_A_WORLD = b"w"
"""Behind a pickle, which ends with a dot: its classes share what can change with other code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBlob:
    """One blob of code.

    Attributes:
        digest: names the blob.
        blob: a pickled callable, or a bundle of classes, or both; with ``OF_A_WORLD`` at its end
            if its classes are to be loaded anew in each world.
        needs: digests of the other blobs without which it cannot be loaded.
        python: the version whose byte code the blob holds ("3.11"), or "".
    """

    digest: bytes
    blob: bytes
    needs: tuple[bytes, ...] = ()
    python: str = ""

    @property
    def is_of_a_world(self) -> bool:
        """True when its classes are others in each world."""
        return self.blob.endswith(OF_A_WORLD)

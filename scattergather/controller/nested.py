"""Calls that tasks submit: which worker waits for which job."""

from __future__ import annotations

from dataclasses import dataclass

from scattergather.model.ids import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who submitted a nested call: ``ticket`` of ``worker`` on ``host``, from within ``chunk``."""

    host: str
    worker: int
    ticket: int
    chunk: int
    depth: int


class NestedCalls:
    """Every nested call is a job of one task; its outcome goes down again instead of up."""

    def __init__(self) -> None:
        self._origins: dict[JobId, Origin] = {}
        # Dictionaries, not sets: what is done in their order can be replayed.
        self._by_chunk: dict[int, dict[JobId, None]] = {}
        self._abandoned: set[JobId] = set()

    def add(self, job: JobId, origin: Origin) -> None:
        """Remember who waits for a job."""
        self._origins[job] = origin
        self._by_chunk.setdefault(origin.chunk, {})[job] = None

    def origin(self, job: JobId) -> Origin | None:
        """Who waits for a job, or None when the client does."""
        return self._origins.get(job)

    def ended(self, job: JobId) -> None:
        """The job has its outcome."""
        origin = self._origins.pop(job, None)
        self._abandoned.discard(job)
        if origin is not None:
            siblings = self._by_chunk.get(origin.chunk, {})
            siblings.pop(job, None)
            if not siblings:
                self._by_chunk.pop(origin.chunk, None)

    def of_chunk(self, chunk: int) -> tuple[JobId, ...]:
        """The nested jobs that tasks of a chunk wait for: nobody does once the chunk is gone."""
        return tuple(self._by_chunk.get(chunk, ()))

    def abandon(self, host: str) -> tuple[JobId, ...]:
        """This host is lost: nobody waits for what its tasks submitted. Says which jobs those are.

        A daemon that is started there anew numbers its workers and their tickets alike: an outcome
        that came late would be taken for another call's.
        """
        jobs = tuple(job for job, origin in self._origins.items() if origin.host == host)
        self._abandoned.update(jobs)
        return jobs

    def abandoned(self, job: JobId) -> bool:
        """Nobody waits for this job any more."""
        return job in self._abandoned

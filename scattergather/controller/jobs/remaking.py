"""What was kept on a host that is lost is made again, by the task that made it.

::

                  somebody needs it             its task has run again
      (lost) ----------------------> Remaking ------------------------> (here)
         ^                              |
         |  its new host is lost, too   | it may not, or it failed
         +--- (here)                    +------------------------------> (gone for good)

The task runs once more as a job of its own, which goes before all others and has the retries that
the task had left, but for one. It takes what it took then. What of that is lost as well is found
out when its host asks for it, and is made first: so chains are made again from their beginning,
one link at a time. Whether all of it can be is looked at before the first link.

Chunks that wait for what is being made count towards what their host may have. A host could be full
of them, and the task that they wait for would find no room anywhere. So its job is urgent: a host
takes it beyond that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace

import msgspec

from scattergather.controller.jobs.lineage import Cut, Recipe
from scattergather.controller.values.objects import ObjectLedger
from scattergather.model.ids import JobId, ObjectId
from scattergather.model.outcome import Kind
from scattergather.reactor.seam import Clock
from scattergather.wire import blobs
from scattergather.wire.memory import stub
from scattergather.wire.memory.whole import plain_bytes
from scattergather.wire.messages import page as messages
from scattergather.wire.messages.shared import Extent

Begin = Callable[[messages.AddJob, messages.AddTasks, bytes], None]
"""Begins a job of one task."""


LOOK_SECONDS = 0.05
LOOKS = 100
"""How often is looked whether hosts have dropped what is to be there again, and how many times: a
worker that keeps it must not hold others up for ever."""


class Remaking:
    """The objects that are being made again. Reactor thread only.

    Args:
        begin: begins a job that is urgent.
    """

    def __init__(
        self,
        clock: Clock,
        objects: ObjectLedger,
        begin: Begin,
    ) -> None:
        self._clock = clock
        self._objects = objects
        self._begin = begin
        self._jobs: dict[JobId, tuple[ObjectId, Recipe]] = {}
        self._names: set[ObjectId] = set()

    def __contains__(self, job: JobId) -> bool:
        """This job makes something again."""
        return job in self._jobs

    def remake(self, name: ObjectId) -> None:
        """Something that is lost is needed: it is being made from the next turn on, or cannot be.

        Whoever finds out that it is lost may be in the middle of what a host has said, or of its
        leaving.
        """
        if name not in self._names:
            self._names.add(name)
            self._clock.callLater(0, self._remake, name, LOOKS)

    def _remake(self, name: ObjectId, looks: int) -> None:
        recipe = self._objects.lineage.find(name)
        if self._objects.is_there(name):
            self._names.discard(name)
        elif looks and self._objects.is_going(name):
            # A host that may get it anew must not take the old word for the new object.
            self._clock.callLater(LOOK_SECONDS, self._remake, name, looks - 1)
        elif recipe is None or (why := self._objects.lineage.refusal(name, self._objects.is_there)):
            self._give_up(name, "what made it is not known any more" if recipe is None else why)
        elif isinstance(recipe, Cut):
            self._names.discard(name)
            self._objects.revive(name)
            self._objects.await_whole(name, recipe.of)
        else:
            self._run(name, recipe)

    def _give_up(self, name: ObjectId, why: str) -> None:
        self._names.discard(name)
        self._objects.give_up(name, why)

    def _run(self, name: ObjectId, recipe: Recipe) -> None:
        for each in recipe.takes:
            self._objects.revive(each)
        spec = msgspec.structs.replace(
            recipe.spec,
            job=os.urandom(16),
            name=f"{recipe.spec.name} again",
            priority=sys.maxsize,
            retries=recipe.retries - 1,
            stream=False,
        )
        tasks = messages.AddTasks(
            job=spec.job, first=0, count=1, needs=recipe.needs, objects=recipe.objects
        )
        self._jobs[spec.job] = name, recipe
        self._begin(spec, tasks, recipe.body)

    def outcome(self, message: messages.TaskOutcomes, body: bytes) -> None:
        """A task has run again, or never will."""
        name, recipe = self._jobs.pop(message.job)
        if message.kinds[0] == Kind.RETURNED:
            self._made(name, recipe, message, blobs.each(body, 1)[0])
        else:
            self._give_up(name, _why(message.kinds[0], body))
        self._objects.release_from_client([extent.object for extent in message.kept])

    def _made(
        self, name: ObjectId, recipe: Recipe, message: messages.TaskOutcomes, blob: bytes
    ) -> None:
        made: Extent | bytes | None = None
        if message.kept:
            if blob[-1] == recipe.flag:
                made = message.kept[0]
        elif recipe.flag == stub.PLAIN:
            made = plain_bytes(blob)
        elif recipe.flag == stub.WHOLE:
            made = blob
        if made is None:
            self._give_up(name, "made again it was something else")
            return
        self._names.discard(name)
        left = max(0, recipe.retries - message.attempt)
        self._objects.made_again(name, message.host, made, replace(recipe, retries=left))

    def cancelled(self, job: JobId) -> None:
        """Nobody runs this again."""
        name, _ = self._jobs.pop(job)
        self._give_up(name, "it was cancelled when it was made again")


def _why(kind: int, body: bytes) -> str:
    if kind in (Kind.LOST, Kind.INTERRUPTED, Kind.EXCEEDED):
        try:
            loss = messages.read_loss(blobs.each(body, 1)[0])
        except (msgspec.MsgspecError, ValueError):
            return "its task was lost when it ran again"
        return f"when its task ran again: {loss.reason}"
    return "its task raised when it ran again"

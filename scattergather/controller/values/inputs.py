"""The blobs of tasks that have no outcome yet, as they came: segments of many, never looked into.

A segment is freed when the last of its tasks has its outcome, so what is held is bounded by what is
queued and in flight.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from scattergather.model.ids import Digest, ObjectId
from scattergather.wire import blobs
from scattergather.wire.messages.shared import Extent


@dataclass(slots=True)
class InputRun:
    """Tasks ``first`` ... of a job: end offsets and the blobs behind each other."""

    first: int
    ends: array[int]
    data: memoryview
    needs: tuple[Digest, ...]
    objects: tuple[Extent, ...]
    live: int

    @property
    def stop(self) -> int:
        """The index behind the last task."""
        return self.first + len(self.ends)


class Inputs:
    """The inputs of one job. Segments are added in task order."""

    def __init__(self) -> None:
        self._segments: list[InputRun] = []
        self.size = 0

    def add(
        self,
        first: int,
        count: int,
        body: bytes,
        needs: tuple[Digest, ...],
        objects: tuple[Extent, ...] = (),
    ) -> None:
        """Keep the body of an ``AddTasks``.

        Raises:
            ValueError: the body does not hold ``count`` blobs.
        """
        ends = blobs.ends_of(body, count)
        data = memoryview(body)[count * blobs.WIDTH :]
        self._segments.append(InputRun(first, ends, data, needs, objects, count))
        self.size += len(body)

    def _place(self, index: int) -> int:
        return bisect_right(self._segments, index, key=lambda segment: segment.first) - 1

    def cut(self, first: int, count: int) -> tuple[bytes, tuple[Digest, ...], tuple[Extent, ...]]:
        """The body for a chunk, and the digests and objects that its tasks refer to.

        What one task of a segment refers to counts for all of them.
        """
        place, stop = self._place(first), first + count
        segment = self._segments[place]
        if stop <= segment.stop:
            at = first - segment.first
            body = blobs.cut(segment.ends, segment.data, at, at + count)
            return body, segment.needs, segment.objects
        tables, pieces, needs, base = array("Q"), [], dict.fromkeys(segment.needs), 0
        objects: dict[ObjectId, Extent] = {}
        while first < stop:
            segment = self._segments[place]
            begin, end = first - segment.first, min(stop, segment.stop) - segment.first
            low, high = blobs.start_of(segment.ends, begin), segment.ends[end - 1]
            tables += blobs.shifted(segment.ends, begin, end, base - low)
            pieces.append(segment.data[low:high])
            base += high - low
            needs.update(dict.fromkeys(segment.needs))
            objects.update((extent.object, extent) for extent in segment.objects)
            first, place = segment.stop, place + 1
        return tables.tobytes() + b"".join(pieces), tuple(needs), tuple(objects.values())

    def needs(self) -> Iterator[Digest]:
        """The digests that the blobs kept here refer to, some more than once."""
        for segment in self._segments:
            yield from segment.needs

    def release(self, first: int, count: int) -> list[Extent]:
        """These tasks have their outcomes; returns the objects of segments that are through.

        One for each segment that takes it.
        """
        done: list[Extent] = []
        place, stop = self._place(first), first + count
        while first < stop and place < len(self._segments):
            segment = self._segments[place]
            end = min(stop, segment.stop)
            segment.live -= end - first
            first = end
            if segment.live:
                place += 1
            else:
                self.size -= len(segment.data) + len(segment.ends) * blobs.WIDTH
                done += segment.objects
                del self._segments[place]
        return done

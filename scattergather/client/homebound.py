"""What the user holds: it answers a wrong name with the right one, and stays in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scattergather.errors import CannotPickle, without_our_frames
from scattergather.model.nearest import there_are
from scattergather.wire.code.recipe import refusal


class Named:
    """An object whose names are for the user: one that it lacks is answered with those it has.

    Not for what is made by the thousand: where a class has a ``__getattr__``, Python finds each
    attribute that there is more slowly, too.
    """

    if not TYPE_CHECKING:  # or every name would be right

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):  # asked by Python and front ends, which want no sentence
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise without_our_frames(lacking(type(self), name)) from None


def lacking(kind: type, name: str) -> AttributeError:
    """What is raised for a name that things of this kind lack: it tells those that they have."""
    known = [each for each in dir(kind) if not each.startswith("_") and each != name]
    what = f"{kind.__name__!r} object has no attribute {name!r}; {there_are(known, name)}"
    # No name in it: Python would add its own suggestion.
    return AttributeError(what, name=None, obj=None)


class Homebound:
    """One that stays here, for which its ``__scattergather_refuse__`` gives reason and cure."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Our own way to workers asks before it comes here; this is pickle, copy, multiprocessing.
        raise CannotPickle(f"a {type(self).__name__} cannot be copied. {refusal(self)}.", path="")

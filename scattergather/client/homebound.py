"""What the user holds: it answers a wrong name with the right one, and stays in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scattergather.errors import CannotPickle, without_our_frames
from scattergather.model.nearest import there_are
from scattergather.wire.code.recipe import refusal


class Named:
    """An object whose names are for the user: one that it lacks is answered with those it has."""

    if not TYPE_CHECKING:  # or every name would be right

        def __getattr__(self, name: str) -> Any:
            what = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name.startswith("_"):  # asked by Python and front ends, which want no sentence
                raise AttributeError(what)
            known = [each for each in dir(type(self)) if not each.startswith("_")]
            # No name in it: Python would add its own suggestion.
            error = AttributeError(f"{what}; {there_are(known, name)}", name=None, obj=None)
            raise without_our_frames(error) from None


class Homebound(Named):
    """One that stays here, for which its ``__scattergather_refuse__`` gives reason and cure."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Our own way to workers asks before it comes here; this is pickle, copy, multiprocessing.
        raise CannotPickle(f"a {type(self).__name__} cannot be copied. {refusal(self)}.", path="")

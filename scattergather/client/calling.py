"""A call that does not fit is answered by a sentence with the arguments that there are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from scattergather.errors import BadRequest
from scattergather.model.nearest import there_are

P = ParamSpec("P")
T = TypeVar("T")


def names_its_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """``function``, of which a call with arguments that it does not have raises ``BadRequest``.

    Python's own sentence knows the culprit only, and says neither what was meant nor what there is.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            trace = error.__traceback__
            if trace is None or trace.tb_next is not None:
                raise  # from within
            raise BadRequest(_misfit(function, tuple(kwargs), error)) from None

    return called


def _misfit(function: Callable[..., object], given: tuple[str, ...], error: TypeError) -> str:
    """What does not fit about a call, and what would."""
    parameters = [
        each.replace(annotation=each.empty)
        for each in inspect.signature(function).parameters.values()
        if each.name != "self"
    ]
    names = [each.name for each in parameters]
    for name in given:
        if name not in names:
            return f"{function.__name__} has no argument {name!r}; {there_are(names, name)}"
    called = inspect.Signature(parameters)
    return f"{error}; it is called {function.__name__}{called}"

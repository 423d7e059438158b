"""What does not fit is answered by a sentence: the culprit, and what would have fitted."""

from __future__ import annotations

import copy
import math
import pickle
import traceback

import numpy
import pytest

import scattergather
from scattergather import spawnScatterGather
from scattergather.client.options import LONGEST_NAME, JobOptions, check_timeout
from scattergather.errors import BadRequest, CannotPickle, InputFailed, UnknownName
from scattergather.model.nearest import nearest, there_are
from scattergather.settings.memory import read_size
from scattergather.settings.urls import resolve
from scattergather.wire.messages import page as messages
from tests.conftest import calls
from tests.unit.client import work

MISFITS = {
    "a part": (
        lambda c: c.addJob([], len, timelimit=3),
        "'timelimit'; there are: tasks, .*Did you mean 'time_limit'",
    ),
    "its case": (lambda c: spawnScatterGather(logfile="x"), "Did you mean 'logFile'?"),
    "a longer one": (lambda c: spawnScatterGather(n_workers=2), "Did you mean 'workers'?"),
    "of a wait": (lambda c: c.waitForResult(time_out=3), "Did you mean 'timeout'?"),
    "of a map": (lambda c: c.map(len, [], chunk_size=3), "Did you mean 'chunksize'?"),
    "of a view": (lambda c: c.options().map(len, [], chunk_size=3), "mean 'chunksize'?"),
    "of an option": (lambda c: c.options(keep_child=1), "mean 'keep_children'?"),
    "of a job": (lambda c: c.addJob([], len).results(error="return"), "Did you mean 'errors'?"),
    "nothing near": (lambda c: c.addJob([], fn=len), "has no argument 'fn'; there are: tasks, fun"),
    "too many": (lambda c: c.addJob([], len, "n"), r"were given; it is called addJob\(tasks, fun"),
    "too few": (lambda c: c.addJob(), "missing 1 .*'tasks'; it is called addJob"),
    "no such": (lambda c: c.addJob([], len).retry(len, 3), r"is called retry\(function=None\)"),
    "a command": (
        lambda c: c.command("refesh"),
        "there are: refresh, die, status. Did you mean 'refresh'?",
    ),
    "a function": (lambda c: c.map(None, [1]), "map takes a callable or the name of a service"),
    "a switch": (lambda c: c.addJob([], len, echo="no"), "echo must be True or False, not 'no'"),
    "a bar": (lambda c: c.addJob([], len).results(progress="yes"), "progress must be True or Fal"),
    "a wait": (lambda c: c.submit(len, "").result("5"), "timeout must be a number of seconds"),
    "a number": (lambda c: c.addJob([], len).output("0"), "of a task must be an integer, not '0'"),
    "a host": (lambda c: spawnScatterGather("localhost"), "This machine is 'local'"),
    "a file": (lambda c: spawnScatterGather(logFile="a\0b"), "logFile .* cannot be written"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_named_with_what_would(c, fake, case):
    ask, said = MISFITS[case]
    fake.pause()
    with pytest.raises((BadRequest, UnknownName), match=said.replace("?", r"\?")):
        ask(c)


def test_a_type_error_from_within_is_the_users_own(c):
    def broken():
        yield len()

    with pytest.raises(TypeError, match="exactly one argument") as caught:
        c.map(len, broken())
    assert not isinstance(caught.value, BadRequest)


@pytest.mark.parametrize(
    ("holder", "name", "said"),
    [
        (
            lambda c: c,
            "addjob",
            "there are: addJob, command, fetch_file, hosts, map.* Did you mean 'addJob'?",
        ),
        (lambda c: c.addJob([], len), "result", "Did you mean 'results'?"),
        (lambda c: c.submit(work.noop, 1), "results", "Did you mean 'result'?"),
        (lambda c: scattergather, "JobFailled", "Did you mean 'JobFailed'?"),
    ],
)
def test_a_name_that_there_is_not_is_answered_with_those_there_are(c, holder, name, said):
    with pytest.raises(AttributeError, match=said.replace("?", r"\?")) as caught:
        getattr(holder(c), name)
    (line,) = traceback.format_exception_only(caught.value)
    assert line.count("id you mean") == 1
    with pytest.raises(AttributeError, match=r"no attribute '_repr_png_'$"):
        holder(c)._repr_png_  # noqa: B018


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_stays_in_its_process_says_so_to_who_copies_it(c, copied):
    for thing in (c, c.addJob([], len), c.submit(work.noop, 1), c.options()):
        with pytest.raises(CannotPickle, match=rf"a {type(thing).__name__} cannot be copied. \w"):
            copied(thing)


def test_numbers_of_numpy_are_numbers():
    whole, real = numpy.int64(3), numpy.float32(1.5)
    options = JobOptions(priority=whole, retries=whole, time_limit=real, memory_limit=1e9)
    assert (type(options.retries), options.retries) == (int, 3)
    assert (options.limits().time, options.limits().memory) == (1.5, 10**9)
    assert check_timeout(real) == 1.5
    assert check_timeout(10**400) == 1e8
    assert (read_size(8e9), read_size(numpy.int32(1 << 20))) == (8 * 10**9, 1 << 20)
    assert resolve(workers=whole)[0].workers == 3
    for bad in (math.nan, math.inf, True, 1e300):
        with pytest.raises(BadRequest, match="memory must be"):
            read_size(bad)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("two\nlines \x1b[31m", r"two\nlines \x1b[31m"),
        ("ünïcode ☃", "ünïcode ☃"),
        ("\ud800", r"\ud800"),
        ("x" * 1000, "x" * (LONGEST_NAME - 1) + "…"),
        (" \t", r"\t"),
        ("", None),
    ],
)
def test_a_name_is_one_line_that_can_be_shown(given, shown):
    assert JobOptions(name=given).name == shown


def test_what_map_reads_from_may_be_interrupted_and_fail(c, fake):
    def stopped():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"stopped reading the input of map"):
        c.map(work.noop, stopped())
    with pytest.raises(ZeroDivisionError):
        c.map(work.noop, (1 // n for n in (1, 0)))
    assert not fake.count(messages.AddJob)


def test_a_list_that_is_shorter_since_its_iterator_failed_says_so_once(c, capsys):
    job = c.addJob((((1 // n,), {}) for n in (1, 0)), work.noop)
    assert job.results(errors="return") == job.results(errors="return") == [1]
    said = "[scattergather] the tasks of job 1 ended after 1: their iterator raised ZeroDivision"
    assert capsys.readouterr().err.startswith(said)
    assert capsys.readouterr().err == ""
    with pytest.raises(InputFailed):
        job.results()


def test_a_task_that_there_is_not_is_answered_with_how_many_there_are(c):
    job = c.addJob(calls(1, 2), work.noop)
    for number in (-1, 2, 10**30):
        with pytest.raises(
            IndexError, match=rf"has 2 tasks, numbered from 0 to 1: none is {number}"
        ):
            job.output(number)
    assert job.output(numpy.int64(1)) == ""


def test_what_map_and_options_return_says_what_it_is(c, fake):
    fake.pause()
    results = c.map(work.noop, range(3))
    assert repr(results) == "<map(noop)  0/3 · 3 queued>"
    results.close()
    assert repr(results) == "<map(noop): closed>"
    job = c.addJob(calls(1, 2), work.noop)
    assert repr(iter(job)) == "<results of job 1 (0/2)>"
    assert repr(job.as_completed()) == "<as completed: job 1  0/2 · 2 queued>"
    view = c.options(name="fit", retries=0)
    assert repr(view) == "<executor of a ScatterGather, with options(name='fit', retries=0)>"


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("gama", ["alpha", "gamma"], "gamma"),
        ("N_WORKERS", ["urls", "workers"], "workers"),
        ("fn", ["function", "name"], ""),
        ("x", [], ""),
        (None, ["none"], ""),
    ],
)
def test_the_nearest_name(name, known, meant):
    assert nearest(name, known) == meant
    said = there_are(known, name)
    assert said.startswith("there are: " + ", ".join(known) if known else "there is none")
    assert said.endswith("Did you mean " + repr(meant) + "?") == bool(meant)


class Unshown:
    def __repr__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize("value", [Unshown(), [0] * 100_000, "x" * 100_000, numpy.zeros((90, 3))])
@pytest.mark.parametrize(
    "ask",
    [
        lambda c, value: c.addJob(calls(1), [value]),
        lambda c, value: c.addJob([], len, time_limit=value),
        lambda c, value: c.addJob([], len, retry_on=[value]),
        lambda c, value: c.addJob([], len).results(errors=value),
        lambda c, value: c.waitForResult(value),
        lambda c, value: c.map(len, Unshown()),
        lambda c, value: c.command(value),
        lambda c, value: spawnScatterGather(memory=value),
        lambda c, value: spawnScatterGather(workers=value),
        lambda c, value: spawnScatterGather(function=[value]),
    ],
)
def test_a_message_quotes_little_of_a_value_and_in_one_line(c, ask, value):
    with pytest.raises((BadRequest, UnknownName)) as caught:
        ask(c, value)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)

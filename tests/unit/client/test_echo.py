from __future__ import annotations

import asyncio
import concurrent.futures as cf
import io
import sys
import threading
import time

import pytest

from scattergather.client.seen import echo
from scattergather.client.seen.echo import Echo, JobEcho, Printed
from scattergather.client.seen.here import current_display
from scattergather.client.seen.terminal import TERMINAL
from scattergather.wire.messages import page as messages
from scattergather.wire.values.bundle import Bundle, pack_bundle
from tests.conformance.displays import Paper
from tests.struck import struck_everywhere
from tests.unit.client import work
from tests.unit.client.fake import say, until


def test_what_tasks_print_is_shown_with_its_task(c, capsys):
    c.addJob([((n,), {}) for n in range(2)], lambda n: say(f"I am {n}\nand well")).results()
    shown = capsys.readouterr().out
    for n in range(2):
        assert f"[task {n} of job 1] I am {n}\n[task {n} of job 1] and well\n" in shown


def printed(monkeypatch, name="stdout"):
    """What is printed. To look at it takes nothing away, as ``capsys`` may what just comes."""
    monkeypatch.setattr(sys, name, stream := io.StringIO())
    return stream


def test_calls_are_marked_with_their_function(c, monkeypatch):
    shown = printed(monkeypatch)

    def speak(n):
        say(f"I am {n}")

    c.submit(speak, 1).result(60)
    until(lambda: "I am 1" in shown.getvalue())


def test_echo_can_be_switched_off(c, capsys):
    job = c.addJob([((), {})], lambda: say("quiet"), echo=False)
    job.results()
    c._session.echo.flush()
    assert capsys.readouterr().out == ""
    assert job.output(0) == "quiet"


def test_it_is_shown_without_anybody_waiting(c, monkeypatch):
    shown = printed(monkeypatch)
    c.addJob([((), {})], lambda: say("here"))
    until(lambda: "here" in shown.getvalue())


def test_notices_go_to_stderr(c, fake, monkeypatch):
    shown = printed(monkeypatch, "stderr")
    fake.send(messages.Notice(text="alpha is lost: no answer"))
    until(lambda: "alpha is lost" in shown.getvalue())


def test_a_flood_shows_its_last_lines_and_says_so(capsys):
    channel = JobEcho("job 1", TERMINAL, lambda: False)
    channel.add(0, "".join(f"line {n}\n" for n in range(1000)))
    channel.show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[800 lines of job 1 are not shown; job.output(i) has them]"
    assert lines[-1] == "[task 0 of job 1] line 999"
    assert len(lines) == 201


def test_in_a_terminal_what_a_task_displays_is_its_text(c, fake, capsys):
    gate = work.gate("display")
    job = c.addJob([(("display",), {})], work.pass_gate)
    until(lambda: fake.jobs)
    (name,) = fake.jobs
    table = Bundle(data={"text/plain": "   a\n0  1", "text/html": "<table>"})
    fake.send(messages.TaskOutput(job=name, index=0, display=True), pack_bundle(table))
    fake.send(messages.TaskOutput(job=name, index=0, display=True), b"no bundle")
    gate.set()
    job.results()
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["[task 0 of job 1]    a", "[task 0 of job 1] 0  1"]
    assert "cannot be read here" in shown[2]
    assert job.output(0).startswith("   a\n0  1\n")


def test_what_was_dropped_where_it_was_printed_is_counted_too(c, fake, capsys):
    gate = work.gate("flood")
    job = c.addJob([(("flood",), {})], work.pass_gate)
    until(lambda: fake.jobs)
    (name,) = fake.jobs
    fake.send(messages.TaskOutput(job=name, index=0, dropped=5_600_000), b"the end\n")
    gate.set()
    job.results()
    assert capsys.readouterr().out == (
        "[5.6 MB that job 1 printed were dropped where they were printed]\n"
        "[task 0 of job 1] the end\n"
    )


def test_what_was_dropped_is_told_though_nothing_is_left_to_show(capsys):
    channel = JobEcho("job 1", TERMINAL, lambda: False)
    channel.add(0, "", dropped=5_600_000)
    channel.show()
    channel.show()
    assert capsys.readouterr().out == (
        "[5.6 MB that job 1 printed were dropped where they were printed]\n"
    )


def test_a_broken_stdout_ends_nothing(monkeypatch):
    shown = Echo()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    channel = JobEcho("job 1", TERMINAL, lambda: False)
    shown.put(channel, 0, "lost")
    until(lambda: not shown._dirty)
    shown.flush()  # the thread is through with it
    later = printed(monkeypatch)
    shown.put(channel, 0, "there")
    until(lambda: "there" in later.getvalue())
    shown.close()


def test_the_thread_goes_when_there_is_nothing_and_comes_again(monkeypatch):
    monkeypatch.setattr(echo, "IDLE", 0.01)
    shown = printed(monkeypatch)
    here, channel = Echo(), JobEcho("job 1", TERMINAL, lambda: False)
    here.put(channel, 0, "one")
    until(lambda: not here._runs)
    here.put(channel, 0, "two")
    until(lambda: "two" in shown.getvalue() and not here._runs)


def test_who_waits_for_what_was_printed_waits_for_whoever_is_just_showing_it(monkeypatch):
    shown = printed(monkeypatch)
    real, taken, go_on = JobEcho.show, threading.Event(), threading.Event()

    def show(channel):
        taken.set()
        assert go_on.wait(60)
        real(channel)

    monkeypatch.setattr(JobEcho, "show", show)
    here = Echo()
    here.put(JobEcho("job 1", TERMINAL, lambda: False), 0, "here")
    assert taken.wait(60)
    threading.Timer(0.1, go_on.set).start()
    here.flush()
    assert "here" in shown.getvalue()
    here.close()


@pytest.mark.filterwarnings("ignore:.*WeakSet")  # the threads that Python knows are in one
def test_an_interrupt_at_any_moment_of_a_sentence_leaves_an_echo_that_tells_the_next():
    moments, made = 0, []

    def tell():
        paper = Paper()
        made.append((paper, Echo(paper)))
        made[-1][1].notice("one")

    for _ in struck_everywhere(tell):
        moments += 1
        for paper, here in made:
            here.notice("then")
            until(lambda paper=paper: "then" in paper.text)
            here.close()
        made.clear()
    assert moments > 10


def test_output_is_kept_within_bounds(monkeypatch):
    monkeypatch.setattr(echo, "TASK_BYTES", 10)
    monkeypatch.setattr(echo, "JOB_BYTES", 25)
    printed = Printed()
    printed.add(0, "0123456789")
    printed.add(0, "abc")
    assert printed.get(0) == "[3 bytes of earlier output were dropped]\n3456789abc"
    printed.add(1, "x" * 10)
    printed.add(2, "y" * 10)
    assert printed.get(0) == "[13 bytes of earlier output were dropped]\n"
    assert printed.get(1) == "x" * 10
    assert printed.get(9) == ""
    printed.add(3, "z", dropped=7)
    assert printed.get(3).startswith("[7 bytes")


def test_outside_of_a_notebook_the_terminal_is_the_place(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert current_display() is TERMINAL
    time.sleep(0)


@pytest.mark.parametrize(
    "read",
    [
        lambda c: c.submit(say, "seen").result(60),
        lambda c: c.submit(say, "seen").exception(60),
        lambda c: next(c.map(say, ["seen"])),
        lambda c: next(iter(c.addJob([(("seen",), {})], say))),
        lambda c: next(iter(c.addJob([(("seen",), {})], say).as_completed())),
        lambda c: asyncio.run(awaited(c.submit(say, "seen"))),
        lambda c: asyncio.run(awaited(c.addJob([(("seen",), {})], say))),
        lambda c: asyncio.run(anext(aiter(c.addJob([(("seen",), {})], say)))),
    ],
    ids=["result", "exception", "map", "iter", "as_completed", "await", "await job", "async for"],
)
def test_what_a_task_has_printed_is_shown_before_what_came_of_it_is_handed_over(c, capsys, read):
    read(c)
    assert "] seen" in capsys.readouterr().out


def test_what_calls_have_printed_is_shown_when_a_wait_for_them_ends(c, fake, capsys):
    fake.pause()
    future = c.submit(say, "seen")

    def resume():
        until(lambda: future._entered)
        fake.resume()

    threading.Thread(target=resume).start()
    cf.wait([future], 60)
    assert "] seen" in capsys.readouterr().out


async def awaited(thing):
    return await thing


def test_in_a_callback_the_reader_shows_nothing(c):
    asked = []
    future = c.submit(say, "seen")
    future.add_done_callback(lambda done: asked.append(done.result()))
    until(lambda: asked)


def test_where_no_thread_can_be_had_sentences_are_shown_all_the_same(monkeypatch, capsys):
    def refuses(*_arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuses)
    Echo(TERMINAL).notice("no process can be had")
    assert "no process can be had" in capsys.readouterr().err

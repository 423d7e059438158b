"""When an end says that it is there, and when it counts the other one as gone."""

from __future__ import annotations

import itertools

import pytest

from scattergather.link.pulse import SILENCE_SECONDS, SPEAK_SECONDS, Duty, Pulse


def looks(pulse: Pulse, until: float, late: float = 0.0) -> list[tuple[float, Duty]]:
    """What each look told that was more than REST, each of them so late."""
    found = []
    while (now := pulse.due + late) <= until:
        duty = pulse.look(now)
        if duty is not Duty.REST:
            found.append((now, duty))
        if duty is Duty.GIVE_UP:
            break
    return found


def test_a_silent_end_is_spoken_to_every_two_seconds_and_given_up_after_six():
    speak, give_up = Duty.SPEAK, Duty.GIVE_UP
    assert looks(Pulse(0.0), 100) == [(2, speak), (4, speak), (6, give_up)]


def test_who_is_sent_much_and_says_nothing_himself_says_that_he_is_there():
    pulse, spoken = Pulse(0.0), []
    for tenth in range(1, 200):
        spoken += looks(pulse, tenth / 10)
        pulse.heard(tenth / 10)
    assert [duty for _, duty in spoken] == [Duty.SPEAK] * 9


def test_who_says_enough_is_asked_for_nothing_and_has_his_six_seconds_all_the_same():
    pulse = Pulse(0.0)
    for tenth in range(1, 60):
        pulse.said(tenth / 10)
        assert looks(pulse, tenth / 10) == []
    assert looks(pulse, 7)[-1] == (SILENCE_SECONDS, Duty.GIVE_UP)


@pytest.mark.parametrize("speed", [3_000, 30_000])
def test_as_long_as_a_record_of_tls_comes_within_the_silence_nobody_is_given_up(speed):
    pulse = Pulse(0.0)
    for arrival in range(1, 100):
        now = arrival * (1 << 14) / speed
        assert all(duty is Duty.SPEAK for _, duty in looks(pulse, now))
        pulse.heard(now)


def test_two_ends_with_nothing_to_do_keep_each_other():
    ends = Pulse(0.0), Pulse(1.0)
    for tenth in range(1, 1000):
        now = tenth / 10
        for one, other in itertools.permutations(ends):
            for _, duty in looks(one, now):
                assert duty is Duty.SPEAK
                other.heard(now + 0.05)


@pytest.mark.parametrize("stood", [7.0, 3600.0])
def test_who_stood_still_listens_first_and_judges_then(stood):
    pulse = Pulse(0.0)
    assert pulse.look(stood) is not Duty.GIVE_UP
    pulse.heard(stood + 0.001)  # it was in the socket
    assert looks(pulse, stood + 5) != []
    assert pulse.look(pulse.due) is not Duty.GIVE_UP


def test_a_stop_is_forgiven_once_in_a_silence():
    pulse = Pulse(0.0)
    assert looks(pulse, 100, late=3.0)[-1][1] is Duty.GIVE_UP
    pulse = Pulse(0.0)
    assert pulse.look(60.0) is not Duty.GIVE_UP
    assert looks(pulse, 100)[-1] == (60.0 + SPEAK_SECONDS, Duty.GIVE_UP)

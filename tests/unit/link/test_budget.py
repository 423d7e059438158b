from __future__ import annotations

import pytest

from scattergather.link.gate.budget import Budget


def budget() -> Budget:
    return Budget(share=0.1, most=0.005, least=0.001, now=100.0)


def test_a_few_are_heard_at_once():
    account = budget()
    assert [account.spend(0.001, 100.0) for _ in range(4)] == [0.0] * 4


def test_who_has_spent_it_rests_until_a_group_is_paid_for_in_advance():
    account = budget()
    assert account.spend(0.006, 100.0) == pytest.approx((0.001 + 0.001) / 0.1)
    assert account.spend(0.0005, 100.02) == 0.0
    assert account.spend(0.0005, 100.02) == pytest.approx(0.01)


def test_what_is_saved_up_has_a_bound():
    account = budget()
    assert account.spend(0.006, 1000.0) > 0


@pytest.mark.parametrize("cost", [1e-5, 1e-3, 0.05])
def test_in_the_long_run_it_is_a_tenth_whatever_a_turn_costs(cost):
    account, now, spent = budget(), 100.0, 0.0
    while now < 200:
        spent += cost
        now += cost + account.spend(cost, now + cost)
    assert spent == pytest.approx(10, rel=0.02)

"""The statistics of evals, against known values and properties."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.evals.statistics import (
    PairCounts,
    Verdict,
    compare,
    detectable,
    exact_p,
    holm,
    paired_interval,
    pairs_for_same,
    wilson,
)

Z95 = NormalDist().inv_cdf(0.975)
counts = st.integers(0, 60)


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [(8, 10, 0.4901625, 0.9433178), (0, 10, 0.0, 0.2775328), (81, 263, 0.2552939, 0.3662155)],
    ids=str,
)
def test_wilson_has_the_published_values(passed: int, total: int, low: float, high: float) -> None:
    """Newcombe (1998), table I: 81 of 263 is 0.2553 to 0.3662. The others are those of R's binom package."""
    found = wilson(passed, total)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_contains_the_rate_and_mirrors(passed: int, failed: int) -> None:
    found, mirrored = wilson(passed, passed + failed), wilson(failed, passed + failed)
    rate = passed / (passed + failed) if passed + failed else 0.5
    assert 0 <= found.low <= rate + 1e-12 and rate - 1e-12 <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@pytest.mark.parametrize(
    ("new", "old", "p"), [(0, 0, 1.0), (1, 8, 0.0390625), (0, 6, 0.03125), (5, 5, 1.0), (2, 10, 0.0385742)]
)
def test_the_exact_test_has_the_values_of_the_binomial_distribution(new: int, old: int, p: float) -> None:
    assert exact_p(new, old) == pytest.approx(p, abs=1e-6) == exact_p(old, new)


def test_holm_has_the_values_of_p_adjust() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_raises_each_value_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(value <= after for value, after in zip(values, adjusted, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert all(adjusted[a] <= adjusted[b] for a, b in pairwise(order))
    assert adjusted[order[0]] == pytest.approx(min(1.0, len(values) * values[order[0]]))


@given(st.integers(1, 500))
def test_the_paired_interval_of_pairs_that_all_agree_is_known(total: int) -> None:
    """Tango (1998): without a pair that differs the limits are plus and minus z^2 / (n + z^2)."""
    found = paired_interval(0, 0, total)
    assert found.high == pytest.approx(Z95**2 / (total + Z95**2)) == -found.low


@given(counts, counts, counts)
def test_the_paired_interval_fulfils_its_equation(b: int, c: int, same: int) -> None:
    total = b + c + same
    found, mirrored = paired_interval(b, c, total), paired_interval(c, b, total)
    assert found.low == pytest.approx(-mirrored.high, abs=1e-9)
    if not total:
        return
    observed = (b - c) / total
    assert found.low <= observed + 1e-9 and observed - 1e-9 <= found.high
    for limit, sign in ((found.low, 1), (found.high, -1)):
        if -0.999 < limit < 0.999:
            assert _score(b, c, total, limit) == pytest.approx(sign * Z95, abs=1e-4)


def _score(b: int, c: int, n: int, delta: float) -> float:
    """Tango's statistic, by a search for the likeliest rate instead of the closed form."""

    def likelihood(q: float) -> float:
        parts = ((b, q + delta), (c, q), (n - b - c, 1 - 2 * q - delta))
        return sum(k * math.log(p) if p > 0 else (-math.inf if k else 0.0) for k, p in parts)

    low, high = max(0.0, -delta), (1 - delta) / 2
    for _ in range(200):
        one, two = low + (high - low) / 3, high - (high - low) / 3
        low, high = (one, high) if likelihood(one) < likelihood(two) else (low, two)
    q = (low + high) / 2
    return (b - c - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))


@given(st.integers(1, 80), st.sampled_from([0.05, 0.01]))
def test_the_detectable_difference_is_the_one_with_this_power(total: int, alpha: float) -> None:
    found = detectable(total, alpha)
    if found is None:
        assert exact_p(total, 0) > alpha
        return
    needed = next(n for n in range(1, total + 1) if exact_p(n, 0) <= alpha)
    power = sum(math.comb(total, k) * found**k * (1 - found) ** (total - k) for k in range(needed, total + 1))
    assert power == pytest.approx(0.8, abs=1e-6)


def test_five_pairs_cannot_show_a_difference() -> None:
    assert detectable(5, 0.05) is None
    (found,) = compare([PairCounts(0, 0, 5, 0)], margin=0.1, alpha=0.05)
    assert found.verdict is Verdict.UNDECIDED and "cannot tell: 5 pairs" in found.why


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        (PairCounts(both=40, only_baseline=20), Verdict.WORSE),
        (PairCounts(both=40, only_new=20), Verdict.BETTER),
        (PairCounts(both=60), Verdict.SAME),
        (PairCounts(none=60), Verdict.SAME),
        (PairCounts(both=400, only_new=6), Verdict.SAME),
        (PairCounts(both=10), Verdict.UNDECIDED),
        (PairCounts(both=30, only_new=5, only_baseline=5), Verdict.UNDECIDED),
        (PairCounts(), Verdict.UNDECIDED),
    ],
    ids=str,
)
def test_the_verdict_of_pairs(pairs: PairCounts, verdict: Verdict) -> None:
    (found,) = compare([pairs], margin=0.1, alpha=0.05)
    assert found.verdict is verdict
    assert bool(found.why) == (verdict is Verdict.UNDECIDED)


def test_more_criteria_need_more_evidence() -> None:
    pairs = PairCounts(both=6, only_baseline=6)
    (alone,) = compare([pairs], margin=0.1, alpha=0.05)
    among = compare([pairs, *[PairCounts(both=12)] * 9], margin=0.1, alpha=0.05)
    assert alone.verdict is Verdict.WORSE and among[0].verdict is Verdict.UNDECIDED


def test_same_needs_enough_pairs() -> None:
    needed = pairs_for_same(0.1, 0.05)
    (enough,) = compare([PairCounts(both=needed)], margin=0.1, alpha=0.05)
    (too_few,) = compare([PairCounts(both=needed - 1)], margin=0.1, alpha=0.05)
    assert enough.verdict is Verdict.SAME and too_few.verdict is Verdict.UNDECIDED
    assert f"at least {needed} pairs" in too_few.why

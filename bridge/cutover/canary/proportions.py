"""Whether more fail on one side than on the other, or only by chance. Pure.

The test is Fisher's exact one (a hypergeometric tail, one-sided). It asks: if both sides failed
equally often, and so many failed altogether, how likely is it that so many of them or more fell
on the new side? It is exact for any sizes: also if the new side has 1 % of the requests, or three
failures in all, where tests that assume a normal distribution give false alarms.
"""

from __future__ import annotations

from math import exp, lgamma

#: What is added to the sum changes nothing any more from this part of it on.
_NEGLIGIBLE = 1e-12


def chance(bad: int, total: int, other_bad: int, other_total: int) -> float:
    """Return how likely it is that `bad` or more of all bad ones are among `total`, if by chance.

    Small if a side with `bad` of `total` is worse than one with `other_bad` of `other_total`.
    """
    everyone = total + other_total
    all_bad = bad + other_bad
    most = min(all_bad, total)
    term = exp(
        _log_ways(all_bad, bad)
        + _log_ways(everyone - all_bad, total - bad)
        - _log_ways(everyone, total)
    )
    if term == 0.0:  # too small for a number: far from what chance would give, on either side
        return 1.0 if bad * everyone <= all_bad * total else 0.0
    result = 0.0
    for number in range(bad, most + 1):
        result += term
        if term < result * _NEGLIGIBLE:
            break
        rest = everyone - all_bad - total + number + 1
        if number < most:
            term *= (all_bad - number) * (total - number) / ((number + 1) * rest)
    return min(result, 1.0)


def _log_ways(of: int, taken: int) -> float:
    """Return the logarithm of the number of ways to take so many of so many."""
    return lgamma(of + 1) - lgamma(taken + 1) - lgamma(of - taken + 1)

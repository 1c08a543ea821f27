"""Whether two engines gave the same answer. An answer is a list of rows, each a list: the question's keys, then its exact columns, then
its close ones. Rows may come in any order; every row of one must be in the other.
"""
import math

RELATIVE = 1e-9
SHOWN = 3
# Times of the workload as seconds end before this, as milliseconds they begin after it.
SECONDS_END = 10**11


def looks_like_seconds(values):
    """Whether whole numbers are times in seconds."""
    return bool(values) and all(isinstance(value, int) and value < SECONDS_END for value in values)


def relative_difference(left, right):
    """0 for equal numbers, infinity where one is missing or not a number."""
    if left == right:
        return 0.0
    if left is None or right is None or math.isnan(left) or math.isnan(right):
        return math.inf
    return abs(left - right) / max(abs(left), abs(right))


def by_key(rows, width):
    """Rows by their keys; two rows under one key are an error."""
    found = {}
    for row in rows:
        key = tuple(row[:width])
        if key in found:
            raise ValueError(f"two rows for {key}")
        found[key] = row[width:]
    return found


def differences(question, ours, theirs, tolerances=None):
    """The largest relative difference of close columns, and sentences on what does not agree: an empty list if all does."""
    width = len(question.keys)
    try:
        mine, other = by_key(ours, width), by_key(theirs, width)
    except ValueError as error:
        return math.inf, [str(error)]
    problems = [f"only fleetlog has a row for {key}" for key in mine.keys() - other.keys()]
    problems += [f"only the peer has a row for {key}" for key in other.keys() - mine.keys()]
    names, exact = question.columns[width:], len(question.exact)
    worst = 0.0
    for key in sorted(mine.keys() & other.keys()):
        for place, (name, left, right) in enumerate(zip(names, mine[key], other[key])):
            difference = relative_difference(left, right)
            allowed = 0.0 if place < exact else (tolerances or {}).get(name, RELATIVE)
            if place >= exact:
                worst = max(worst, difference)
            if difference > allowed:
                problems.append(f"{name} of {key}: fleetlog {left!r}, the peer {right!r}")
    return worst, problems


def shown(problems):
    """The first of many problems, and how many there are."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return problems[:SHOWN] + more

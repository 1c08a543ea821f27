"""How a measured time grows with the fleet: a fixed part, so much for each device, so much for each device-day. Pure."""
import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class Growth:
    """What a time is made of."""

    fixed: float
    each_device: float
    each_device_day: float

    def at(self, devices, days):
        """What it comes to for so many devices and days."""
        return self.fixed + self.each_device * devices + self.each_device_day * devices * days


def solve(matrix, right):
    """The solution of linear equations, by elimination with pivots; `None` where there is not one."""
    rows = [[*line, value] for line, value in zip(matrix, right)]
    for place in range(len(rows)):
        pivot = max(range(place, len(rows)), key=lambda row: abs(rows[row][place]))
        rows[place], rows[pivot] = rows[pivot], rows[place]
        if abs(rows[place][place]) < 1e-12 * max(map(abs, rows[place])) or rows[place][place] == 0:
            return None
        for row in range(len(rows)):
            if row != place:
                part = rows[row][place] / rows[place][place]
                rows[row] = [a - part * b for a, b in zip(rows[row], rows[place])]
    return [row[-1] / row[place] for place, row in enumerate(rows)]


def least_squares(points, features):
    """Weights of some features with the least squares of relative errors, and these squares."""
    lines = [[feature / value for feature in features(devices, days)] for devices, days, value in points]
    width = len(lines[0])
    matrix = [[sum(line[a] * line[b] for line in lines) for b in range(width)] for a in range(width)]
    weights = solve(matrix, [sum(line[a] for line in lines) for a in range(width)])
    if weights is None:
        return None, float("inf")
    return weights, sum((sum(weight * part for weight, part in zip(weights, line)) - 1) ** 2 for line in lines)


def fit(points):
    """The growth with the least squares of relative errors of which no part is negative; `points` are devices, days and a positive value.

    Relative, since times reach over orders of magnitude, and an error of the largest would hide all others. No part is negative where the best of all
    choices of parts is taken that has none (with three parts there are seven).
    """
    best, best_error = Growth(0.0, 0.0, 0.0), float("inf")
    for chosen in itertools.chain.from_iterable(itertools.combinations(range(3), count) for count in (1, 2, 3)):

        def features(devices, days, chosen=chosen):
            return [(1.0, float(devices), float(devices * days))[place] for place in chosen]

        weights, error = least_squares(points, features)
        # More parts must explain more, not the rounding of the same.
        if weights is not None and min(weights) >= 0 and error < best_error * (1 - 1e-9) - 1e-15:
            parts = dict(zip(chosen, weights))
            best, best_error = Growth(*(parts.get(place, 0.0) for place in range(3))), error
    return best

"""A straight line through measured times. Pure."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A fixed part, and so much for each unit."""

    fixed: float
    each: float

    def at(self, units):
        """What the line says of so many units."""
        return self.fixed + self.each * units


def fit(points):
    """The line with the least squares of relative errors, with no negative part; `points` are pairs of units and a positive value.

    Relative, since times reach over orders of magnitude, and an error of the largest would hide all others.
    """
    weights = [(1 / value**2, units, value) for units, value in points]
    total = sum(weight for weight, _, _ in weights)
    units_sum = sum(weight * units for weight, units, _ in weights)
    value_sum = sum(weight * value for weight, _, value in weights)
    squares = sum(weight * units**2 for weight, units, _ in weights)
    products = sum(weight * units * value for weight, units, value in weights)
    determinant = total * squares - units_sum**2
    if determinant > 0:
        each = (total * products - units_sum * value_sum) / determinant
        fixed = (value_sum - each * units_sum) / total
        if each >= 0 and fixed >= 0:
            return Line(fixed, each)
        if each < 0:
            return Line(value_sum / total, 0.0)
    return Line(0.0, products / squares)

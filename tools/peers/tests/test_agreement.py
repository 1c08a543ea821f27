"""What counts as the same answer."""
import math
import unittest

import agreement
from questions import Question

MEANS = Question("Q", "title", ("query",), keys=("model", "window"), exact=("n",), close=("mean",))
OURS = [["A", 0, 3, 1.5], ["B", 0, 4, -2.0]]


def problems(theirs, tolerances=None):
    """Sentences on what does not agree with OURS."""
    return agreement.differences(MEANS, OURS, theirs, tolerances)[1]


class Agreement(unittest.TestCase):
    """Answers agree or do not."""

    def test_order_and_kind_of_number_do_not_matter(self):
        self.assertEqual(agreement.differences(MEANS, OURS, [["B", 0, 4.0, -2.0], ["A", 0, 3.0, 1.5]]), (0.0, []))

    def test_close_columns_may_differ_by_a_billionth(self):
        worst, found = agreement.differences(MEANS, OURS, [["A", 0, 3, 1.5 * (1 + 9e-10)], ["B", 0, 4, -2.0]])
        self.assertEqual(found, [])
        self.assertAlmostEqual(worst, 9e-10, delta=1e-11)
        self.assertEqual(problems([["A", 0, 3, 1.5], ["B", 0, 4, -2.0 * (1 + 2e-9)]]),
                         ["mean of ('B', 0): fleetlog -2.0, the peer -2.000000004"])

    def test_exact_columns_may_not_differ_at_all(self):
        self.assertEqual(problems([["A", 0, 3.0000000000000004, 1.5], ["B", 0, 4, -2.0]]),
                         ["n of ('A', 0): fleetlog 3, the peer 3.0000000000000004"])

    def test_a_peer_may_round_one_column(self):
        rounded = [["A", 0, 3, 1.500001], ["B", 0, 4, -2.0]]
        self.assertEqual(problems(rounded, {"mean": 1e-6}), [])
        self.assertEqual(len(problems(rounded, {"other": 1e-6})), 1)

    def test_rows_that_one_side_lacks(self):
        self.assertEqual(problems([["A", 0, 3, 1.5]]), ["only fleetlog has a row for ('B', 0)"])
        self.assertEqual(problems([*OURS, ["B", 1, 4, -2.0]]), ["only the peer has a row for ('B', 1)"])
        self.assertEqual(problems([*OURS, OURS[0]]), ["two rows for ('A', 0)"])

    def test_a_missing_value_agrees_with_a_missing_value_alone(self):
        self.assertEqual(agreement.relative_difference(None, None), 0.0)
        self.assertEqual(agreement.relative_difference(None, 0.0), math.inf)
        self.assertEqual(agreement.relative_difference(1.0, math.nan), math.inf)
        self.assertEqual(agreement.relative_difference(0.0, 1e-300), 1.0)

    def test_many_problems_are_counted(self):
        self.assertEqual(agreement.shown(["a", "b", "c"]), ["a", "b", "c"])
        self.assertEqual(agreement.shown(["a", "b", "c", "d", "e"]), ["a", "b", "c", "and 2 more"])

    def test_seconds_are_told_from_milliseconds(self):
        self.assertTrue(agreement.looks_like_seconds([1_735_689_600]))
        self.assertFalse(agreement.looks_like_seconds([1_735_689_600_000]))
        self.assertFalse(agreement.looks_like_seconds([]))

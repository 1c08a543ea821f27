"""Lines through points whose line is known."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import model


class Fit(unittest.TestCase):
    """What a fit says of points."""

    def test_points_of_a_line_give_the_line(self):
        line = model.fit([(units, 3.0 + 0.5 * units) for units in (1, 10, 1_000, 100_000)])
        self.assertAlmostEqual(line.fixed, 3.0)
        self.assertAlmostEqual(line.each, 0.5)
        self.assertAlmostEqual(line.at(7), 6.5)

    def test_no_part_is_negative(self):
        through_zero = model.fit([(1, 1.0), (10, 12.0)])
        self.assertEqual(through_zero.fixed, 0.0)
        self.assertGreater(through_zero.each, 1.0)
        falling = model.fit([(1, 5.0), (10, 4.0)])
        self.assertEqual(falling.each, 0.0)
        self.assertTrue(4.0 < falling.at(100) < 5.0)

    def test_one_size_is_taken_as_in_proportion(self):
        self.assertAlmostEqual(model.fit([(4, 2.0)]).at(10), 5.0)


if __name__ == "__main__":
    unittest.main()

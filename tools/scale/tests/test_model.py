"""Growth of points whose growth is known."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import model

SIZES = [(100, 30), (300, 30), (1_000, 30), (100, 365), (10, 7)]


class Fit(unittest.TestCase):
    """What a fit says of points."""

    def test_points_of_a_growth_give_it_back(self):
        for fixed, device, day in [(3.0, 0.5, 0.01), (0.0, 0.0, 2.0), (1.5, 0.25, 0.0), (7.0, 0.0, 0.0)]:
            found = model.fit([(devices, days, fixed + device * devices + day * devices * days) for devices, days in SIZES])
            for known, part in zip((fixed, device, day), (found.fixed, found.each_device, found.each_device_day)):
                self.assertAlmostEqual(known, part, places=6)
            self.assertAlmostEqual(found.at(10_000, 365) / (fixed + device * 1e4 + day * 3.65e6), 1.0, places=6)

    def test_no_part_is_negative(self):
        falling = model.fit([(10, 1, 5.0), (100, 1, 4.0), (100, 10, 3.0)])
        self.assertGreaterEqual(min(falling.fixed, falling.each_device, falling.each_device_day), 0.0)
        self.assertTrue(3.0 < falling.at(1_000, 100) < 5.0)

    def test_one_size_is_matched(self):
        self.assertAlmostEqual(model.fit([(4, 2, 2.0)]).at(4, 2), 2.0)


if __name__ == "__main__":
    unittest.main()

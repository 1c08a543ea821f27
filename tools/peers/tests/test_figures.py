"""Statistics and tables, against values computed by hand."""
import math
import unittest

import figures
import tables
from questions import Question

PLAIN = Question("Q1", "monthly|mean", ("query",), keys=("region",), close=("mean",))


class Figures(unittest.TestCase):
    """Medians and ratios."""

    def test_median(self):
        self.assertEqual(figures.median([3.0, 1.0, 2.0]), 2.0)
        self.assertEqual(figures.median([4.0, 1.0, 2.0, 3.0]), 2.5)
        self.assertEqual(figures.median([7.0]), 7.0)

    def test_the_fastest_peer_is_the_one_to_beat(self):
        found = figures.compare(0.5, {"slow": 9.0, "fast": 2.0}, at_least=5.0)
        self.assertEqual((found.best_name, found.ratio, found.holds), ("fast", 4.0, False))
        self.assertTrue(figures.compare(0.5, {"fast": 2.5}, at_least=5.0).holds)
        self.assertEqual(figures.compare(0.0, {"fast": 2.5}, at_least=5.0).ratio, math.inf)


class Tables(unittest.TestCase):
    """Markdown."""

    def test_durations_have_three_digits(self):
        for seconds, text in ((2.4e-5, "24 µs"), (0.0012345, "1.23 ms"), (0.04567, "45.7 ms"), (0.999, "999 ms"), (1.0, "1.00 s"),
                              (9.996, "10.0 s"), (1234.5, "1,234 s")):
            self.assertEqual(tables.duration(seconds), text)

    def test_a_bar_does_not_end_a_cell(self):
        self.assertEqual(tables.markdown(["a", "b"], [["1|2", "3"]]), "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |")

    def test_a_ratio_that_is_not_reached_is_marked(self):
        cells = [tables.ratio_cell(figures.compare(1.0, {"peer": best}, 5.0)) for best in (5.0, 4.99, 5e7)]
        self.assertEqual(cells, ["5.00", "**4.99** (of 5)", "over a million"])

    def test_ratios_stand_beside_what_they_compare(self):
        found = {("one core", "Q1"): figures.compare(0.002, {"DuckDB": 0.03}, 5.0)}
        self.assertEqual(tables.ratios([PLAIN], found, ["one core"]).splitlines()[-1],
                         "| Q1: monthly\\|mean | 2.00 ms | 30.0 ms DuckDB | 15.0 |")

    def test_every_engine_has_its_column(self):
        seconds = {("fleetlog", "Q1"): 0.001, ("DuckDB", "Q1"): 2.0}
        self.assertEqual(tables.all_engines([PLAIN], seconds, ["fleetlog", "DuckDB"]).splitlines()[-1], "| Q1 | 1.00 ms | 2.00 s |")

    def test_bytes_per_value(self):
        self.assertEqual(tables.sizes({"fleetlog": 750_000}, 1_000_000).splitlines()[-1], "| fleetlog | 750,000 | 0.750 |")

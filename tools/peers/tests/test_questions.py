"""The questions, and how the command's answers to them are read."""
import re
import unittest

import fleetlog_command
import standard_sql
from questions import METRICS, middle_day, questions

FACTS = {"devices": 10, "days": 30, "start_ms": 1_735_689_600_000}
ASKED = {question.name: question for question in questions(FACTS)}
DIALECT = standard_sql.Dialect(*["f({})"] * 8)


class Asked(unittest.TestCase):
    """What is asked."""

    def test_every_question_has_a_ratio_and_a_statement(self):
        self.assertEqual(list(ASKED), ["Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9", "Q9 (25 °C)", "Q10"])
        self.assertEqual({name for name, question in ASKED.items() if question.at_least == 5.0}, {f"Q{n}" for n in (1, 2, 3, 4, 6, 7, 8)})
        self.assertEqual(ASKED["Q5"].at_least, 1.0)
        self.assertEqual(standard_sql.statements(DIALECT, FACTS).keys(), ASKED.keys())

    def test_every_statement_names_the_columns_of_its_answer(self):
        for name, forms in standard_sql.statements(DIALECT, FACTS).items():
            for form in forms:
                for column in ASKED[name].columns:
                    self.assertRegex(form, rf"\b{re.escape(column)}\b", name)

    def test_the_day_lies_in_the_middle(self):
        self.assertEqual(middle_day(FACTS), (1_736_985_600_000, 1_737_072_000_000))
        self.assertIn("f(2025-01-16 00:00:00)", standard_sql.statements(DIALECT, FACTS)["Q5"][0])


class Answered(unittest.TestCase):
    """The command's CSV."""

    def test_keys_are_texts_and_times_are_milliseconds(self):
        text = "region,window,power_w_mean,power_w_min,power_w_max\nr01,2025-02-01T00:00:00Z,1.5,-1,2\nr02,2025-02-01T00:00:00.250Z,,0,0\n"
        self.assertEqual(fleetlog_command.answer_of(text, ASKED["Q1"]),
                         [["r01", 1_738_368_000_000, -1.0, 2.0, 1.5], ["r02", 1_738_368_000_250, 0.0, 0.0, None]])

    def test_columns_that_are_not_asked_for_are_left_out(self):
        text = "device,n,slope_per_day,p_value\n7,30,-0.5,0.01\n"
        self.assertEqual(fleetlog_command.answer_of(text, ASKED["Q2"]), [["7", 30.0, -0.5]])

    def test_last_values_are_one_row_a_device(self):
        rows = [f"{device},{metric},2025-01-30T23:59:59.5Z,{device + place},"
                for device in (0, 5) for place, metric in enumerate(METRICS)]
        text = "\n".join(["device,metric,time,value,unit", *rows])
        self.assertEqual(fleetlog_command.answer_of(text, ASKED["Q4"]),
                         [["0", *map(float, range(8))], ["5", *map(float, range(5, 13))]])

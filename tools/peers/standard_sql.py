"""The questions in SQL, in each dialect: one place for what DuckDB, chDB and DataFusion share.

A question may have several forms; each is right, and the run takes the fastest of them for each engine. The tables are
`samples` (ts is a time in UTC), `devices` and `firmware` (a device ran `release` from valid_from to valid_to, which is
not included).
"""
from dataclasses import dataclass
from datetime import datetime, timezone

from questions import METRICS, middle_day, middle_device


@dataclass(frozen=True)
class Dialect:
    """How an engine says what SQL does not settle. `{}` stands for a column."""

    month: str
    day: str
    hour: str
    day_number: str
    milliseconds: str
    instant: str
    p95: str
    last: str
    deviation: str = "stddev_samp({})"


def instant(dialect, milliseconds):
    """A moment as the dialect writes it."""
    text = datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return dialect.instant.format(text)


def monthly_power(d):
    """Q1: joined before, or after a first step by device."""
    month = d.month.format("ts")
    return [
        f"SELECT region, {month} AS \"window\", avg(power_w) AS power_w_mean, min(power_w) AS power_w_min, max(power_w) AS power_w_max "
        "FROM samples JOIN devices USING (device_id) GROUP BY 1, 2",
        "SELECT region, month AS \"window\", sum(total) / sum(n) AS power_w_mean, min(least) AS power_w_min, max(most) AS power_w_max "
        f"FROM (SELECT device_id, {month} AS month, sum(power_w) AS total, count(*) AS n, min(power_w) AS least, max(power_w) AS most "
        "FROM samples GROUP BY 1, 2) AS of_device JOIN devices USING (device_id) GROUP BY 1, 2",
    ]


def battery_slope(d, slope="regr_slope(mean, number)"):
    """Q2: the least squares line through the means of days."""
    return [
        f"SELECT device_id AS device, count(*) AS n, {slope} AS slope_per_day FROM (SELECT device_id, "
        f"{d.day_number.format('day')} AS number, mean FROM (SELECT device_id, {d.day.format('ts')} AS day, avg(battery_pct) AS mean "
        "FROM samples GROUP BY 1, 2) AS daily) AS numbered GROUP BY 1",
    ]


def latency_of_a_cohort(d):
    """Q3: joined, or with the devices of the cohort as a set."""
    cohort = "model = 'A' AND firmware = 'v3' AND region IN ('r03', 'r07')"
    asked = f"avg(latency_ms) AS latency_ms_mean, {d.p95.format('latency_ms')} AS latency_ms_p95"
    return [
        f"SELECT region, {d.hour.format('ts')} AS \"window\", {asked} FROM samples JOIN devices USING (device_id) WHERE {cohort} GROUP BY 1, 2",
        f"SELECT region, {d.hour.format('ts')} AS \"window\", {asked} FROM (SELECT device_id, ts, latency_ms FROM samples WHERE device_id IN "
        f"(SELECT device_id FROM devices WHERE {cohort})) AS chosen JOIN devices USING (device_id) GROUP BY 1, 2",
    ]


def last_values(d):
    """Q4: the row of the last time, or the last of each column."""
    columns = ", ".join(f"s.{metric} AS {metric}" for metric in METRICS)
    lasts = ", ".join(f"{d.last.format(metric)} AS {metric}" for metric in METRICS)
    return [
        f"SELECT s.device_id AS device, {columns} FROM samples AS s JOIN (SELECT device_id, max(ts) AS ts FROM samples GROUP BY 1) AS newest "
        "ON s.device_id = newest.device_id AND s.ts = newest.ts",
        f"SELECT device_id AS device, {lasts} FROM samples GROUP BY 1",
    ]


def one_day(d, facts):
    """Q5."""
    first, end = (instant(d, at) for at in middle_day(facts))
    return [
        f"SELECT device_id AS device, ts AS \"time\", {', '.join(METRICS)} FROM samples "
        f"WHERE device_id = {middle_device(facts)} AND ts >= {first} AND ts < {end} ORDER BY ts",
    ]


def all_metrics(d):
    """Q6."""
    asked = ", ".join(
        f"count({metric}) AS {metric}_count, avg({metric}) AS {metric}_mean, {d.deviation.format(metric)} AS {metric}_stddev" for metric in METRICS)
    return [f"SELECT firmware, {asked} FROM samples JOIN devices USING (device_id) GROUP BY 1"]


def far_from_the_mean(d):
    """Q7: two passes, since the mean comes first; a device without such a row counts 0."""
    moments = f"SELECT device_id, count(*) AS n, avg(power_w) AS mean, {d.deviation.format('power_w')} AS deviation FROM samples GROUP BY 1"
    return [
        f"WITH moments AS ({moments}), far AS (SELECT device_id, count(*) AS number FROM samples JOIN moments USING (device_id) "
        "WHERE abs(power_w - mean) > 4 * deviation GROUP BY 1) "
        "SELECT m.device_id AS device, n, mean, deviation AS stddev, coalesce(number, 0) AS \"count\" "
        "FROM moments AS m LEFT JOIN far ON m.device_id = far.device_id",
    ]


def gaps(d):
    """Q8: each row beside the one before it in time."""
    step = f"{d.milliseconds.format('ts')} - lag({d.milliseconds.format('ts')}) OVER (PARTITION BY device_id ORDER BY ts)"
    return [
        "SELECT device_id AS device, sum(CASE WHEN step > 300000 THEN 1 ELSE 0 END) AS \"count\", "
        "sum(CASE WHEN step > 300000 THEN step ELSE 0 END) / 1000.0 AS total_s, "
        "max(CASE WHEN step > 300000 THEN step ELSE 0 END) / 1000.0 AS longest_s "
        f"FROM (SELECT device_id, {step} AS step FROM samples) AS steps GROUP BY 1",
    ]


def power_above(d, celsius):
    """Q9: joined before, or after a first step by device."""
    hour = d.hour.format("ts")
    return [
        f"SELECT model, {hour} AS \"window\", avg(power_w) AS power_w_mean FROM samples JOIN devices USING (device_id) "
        f"WHERE temperature_c > {celsius} GROUP BY 1, 2",
        "SELECT model, hour AS \"window\", sum(total) / sum(n) AS power_w_mean FROM (SELECT device_id, "
        f"{hour} AS hour, sum(power_w) AS total, count(*) AS n FROM samples WHERE temperature_c > {celsius} GROUP BY 1, 2) AS of_device "
        "JOIN devices USING (device_id) GROUP BY 1, 2",
    ]


def power_by_release(range_condition="s.ts >= f.valid_from AND s.ts < f.valid_to"):
    """Q10: a join on the device with the range as its condition."""
    return [
        "SELECT release, avg(power_w) AS power_w_mean FROM samples AS s JOIN firmware AS f "
        f"ON s.device_id = f.device_id AND {range_condition} GROUP BY 1",
    ]


def statements(dialect, facts):
    """Forms of every question, by its name."""
    return {
        "Q1": monthly_power(dialect),
        "Q2": battery_slope(dialect),
        "Q3": latency_of_a_cohort(dialect),
        "Q4": last_values(dialect),
        "Q5": one_day(dialect, facts),
        "Q6": all_metrics(dialect),
        "Q7": far_from_the_mean(dialect),
        "Q8": gaps(dialect),
        "Q9": power_above(dialect, 10),
        "Q9 (25 °C)": power_above(dialect, 25),
        "Q10": power_by_release(),
    }

"""The questions that every engine answers: names, columns of the answer, fleetlog's words, the ratio to reach.

An answer is a table: `keys` name its rows, columns in `exact` must be equal, columns in `close` may differ by 1e-9 relative. All
engines use the column names that the command prints. A question belongs to a time span that covers the whole workload,
but for Q5, whose day lies in its middle.
"""
from dataclasses import dataclass

METRICS = ("temperature_c", "humidity_pct", "battery_pct", "power_w", "rssi_dbm", "packet_loss_pct", "latency_ms", "reading")
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Question:
    """What is asked, how fleetlog's command is asked, and how many times faster than the best peer it has to answer."""

    name: str
    title: str
    command: tuple[str, ...]
    keys: tuple[str, ...]
    exact: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    at_least: float = 5.0
    at_least_cold: float = 2.0

    @property
    def columns(self):
        """All columns of the answer, keys first."""
        return self.keys + self.exact + self.close


def middle_day(facts):
    """First and last instant (not included) of the day that Q5 asks for, in milliseconds."""
    first = facts["start_ms"] + (facts["days"] // 2) * DAY_MS
    return first, first + DAY_MS


def middle_device(facts):
    """The device that Q5 asks for."""
    return facts["devices"] // 2


def power_above(celsius, name, at_least):
    """Q9: most of its rows pass at 10 C; few do at 25 C."""
    return Question(
        name, f"hourly mean of power by model where temperature exceeds {celsius} °C",
        ("query", "--metric", "power_w", "--aggregate", "mean", "--every", "1h", "--by", "model", "--filter", f"temperature_c>{celsius}"),
        keys=("model", "window"), close=("power_w_mean",), at_least=at_least)


def questions(facts):
    """All questions about a workload, in order."""
    first, end = middle_day(facts)
    by_metric = [tuple(f"{metric}_{word}" for metric in METRICS) for word in ("count", "mean", "stddev")]
    return [
        Question("Q1", "monthly mean, minimum, maximum of power by region",
                 ("query", "--metric", "power_w", "--aggregate", "mean,min,max", "--every", "1mo", "--by", "region"),
                 keys=("region", "window"), exact=("power_w_min", "power_w_max"), close=("power_w_mean",)),
        Question("Q2", "battery slope of each device from daily means",
                 ("trend", "--metric", "battery_pct", "--every", "1d", "--by", "device"),
                 keys=("device",), exact=("n",), close=("slope_per_day",)),
        Question("Q3", "hourly mean and p95 of latency of one model and firmware in two regions",
                 ("query", "--metric", "latency_ms", "--aggregate", "mean,p95", "--every", "1h", "--by", "region",
                  "--where", "model=A", "--where", "firmware=v3", "--where", "region=r03,r07"),
                 keys=("region", "window"), close=("latency_ms_mean", "latency_ms_p95")),
        Question("Q4", "last value of every column of each device", ("latest",), keys=("device",), exact=METRICS),
        Question("Q5", "one device, one day, all columns",
                 ("samples", "--device", str(middle_device(facts)), "--from", f"{first}ms", "--to", f"{end}ms"),
                 keys=("device", "time"), exact=METRICS, at_least=1.0),
        Question("Q6", "count, mean, deviation of all metrics by firmware",
                 ("query", "--metric", ",".join(METRICS), "--aggregate", "count,mean,stddev", "--by", "firmware"),
                 keys=("firmware",), exact=by_metric[0], close=by_metric[1] + by_metric[2]),
        Question("Q7", "rows of power beyond 4 deviations of each device", ("outliers", "--metric", "power_w", "--sigma", "4"),
                 keys=("device",), exact=("n", "count"), close=("mean", "stddev")),
        Question("Q8", "gaps over 5 minutes of each device", ("gaps", "--longer-than", "5m"),
                 keys=("device",), exact=("count",), close=("total_s", "longest_s")),
        power_above(10, "Q9", at_least=3.0),
        power_above(25, "Q9 (25 °C)", at_least=3.0),
        Question("Q10", "mean power by firmware as it was, 30% of the devices updated in mid-year",
                 ("query", "--metric", "power_w", "--aggregate", "mean", "--by", "release"),
                 keys=("release",), close=("power_w_mean",), at_least=3.0),
    ]

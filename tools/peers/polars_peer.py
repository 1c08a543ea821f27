"""Polars over the workload's Parquet files, by both of its engines. POLARS_MAX_THREADS has to be set before it is imported."""
from datetime import datetime, timezone

import polars as pl
from polars import col

from questions import METRICS, middle_day, middle_device

ENGINES = ("in-memory", "streaming")
GAP_MS = 300_000


def monthly_power(samples, devices):
    """Q1: joined before, or after a first step by device."""
    month = col("ts").dt.truncate("1mo").alias("window")
    power = col("power_w")
    asked = [power.mean().alias("power_w_mean"), power.min().alias("power_w_min"), power.max().alias("power_w_max")]
    steps = [power.sum().alias("total"), pl.len().alias("n"), power.min().alias("least"), power.max().alias("most")]
    merged = [(col("total").sum() / col("n").sum()).alias("power_w_mean"), col("least").min().alias("power_w_min"),
              col("most").max().alias("power_w_max")]
    return [
        samples.join(devices, on="device_id").group_by("region", month).agg(asked),
        samples.group_by("device_id", month).agg(steps).join(devices, on="device_id").group_by("region", "window").agg(merged),
    ]


def battery_slope(samples):
    """Q2: the least squares line through the means of days."""
    daily = samples.group_by("device_id", col("ts").dt.truncate("1d").alias("day")).agg(col("battery_pct").mean().alias("mean"))
    number = col("day").dt.epoch("d")
    slope = pl.cov(number, "mean") / number.var()
    return [daily.group_by(col("device_id").alias("device")).agg(pl.len().alias("n"), slope.alias("slope_per_day"))]


def latency_of_a_cohort(samples, devices):
    """Q3."""
    cohort = devices.filter((col("model") == "A") & (col("firmware") == "v3") & col("region").is_in(["r03", "r07"]))
    latency = col("latency_ms")
    asked = [latency.mean().alias("latency_ms_mean"), latency.quantile(0.95, interpolation="linear").alias("latency_ms_p95")]
    hour = col("ts").dt.truncate("1h").alias("window")
    chosen = samples.filter(col("device_id").is_in(cohort.select("device_id").collect()["device_id"].to_list()))
    return [rows.join(cohort, on="device_id").group_by("region", hour).agg(asked) for rows in (samples, chosen)]


def last_values(samples):
    """Q4: the row of the last time, or the last of each column."""
    newest = samples.group_by("device_id").agg(col("ts").max())
    device = col("device_id").alias("device")
    return [
        samples.join(newest, on=["device_id", "ts"]).select(device, *METRICS),
        samples.group_by(device).agg(col(metric).get(col("ts").arg_max()) for metric in METRICS),
    ]


def one_day(samples, facts):
    """Q5."""
    first, end = (datetime.fromtimestamp(at / 1000, timezone.utc).replace(tzinfo=None) for at in middle_day(facts))
    rows = samples.filter((col("device_id") == middle_device(facts)) & (col("ts") >= first) & (col("ts") < end))
    return [rows.sort("ts").select(col("device_id").alias("device"), col("ts").alias("time"), *METRICS)]


def all_metrics(samples, devices):
    """Q6."""
    words = {"count": pl.Expr.count, "mean": pl.Expr.mean, "stddev": pl.Expr.std}
    asked = [ask(col(metric)).alias(f"{metric}_{word}") for metric in METRICS for word, ask in words.items()]
    return [samples.join(devices, on="device_id").group_by("firmware").agg(asked)]


def far_from_the_mean(samples):
    """Q7: two passes, or one that keeps the column of a device."""
    device, power = col("device_id").alias("device"), col("power_w")
    asked = [pl.len().alias("n"), power.mean().alias("mean"), power.std().alias("stddev")]
    moments = samples.group_by(device).agg(asked)
    far = (power - col("mean")).abs() > 4 * col("stddev")
    counts = (samples.select(device, "power_w").join(moments, on="device").filter(far).group_by("device")
              .agg(pl.len().alias("count")))
    two_passes = moments.join(counts, on="device", how="left").with_columns(col("count").fill_null(0))
    one_pass = samples.group_by(device).agg(*asked, ((power - power.mean()).abs() > 4 * power.std()).sum().alias("count"))
    return [two_passes, one_pass]


def gaps(samples):
    """Q8: the times of a device in order."""
    step = col("ts").dt.epoch("ms").sort().diff()
    long = step.filter(step > GAP_MS)
    asked = [(step > GAP_MS).sum().alias("count"), (long.sum() / 1000).alias("total_s"), (long.max().fill_null(0) / 1000).alias("longest_s")]
    return [samples.group_by(col("device_id").alias("device")).agg(asked)]


def power_above(samples, devices, celsius):
    """Q9: joined before, or after a first step by device."""
    warm = samples.filter(col("temperature_c") > celsius)
    hour, power = col("ts").dt.truncate("1h").alias("window"), col("power_w")
    merged = (col("total").sum() / col("n").sum()).alias("power_w_mean")
    return [
        warm.join(devices, on="device_id").group_by("model", hour).agg(power.mean().alias("power_w_mean")),
        warm.group_by("device_id", hour).agg(power.sum().alias("total"), pl.len().alias("n"))
        .join(devices, on="device_id").group_by("model", "window").agg(merged),
    ]


def power_by_release(samples, firmware):
    """Q10: a join on the device with the range as a filter."""
    within = (col("ts") >= col("valid_from")) & (col("ts") < col("valid_to"))
    return [samples.join(firmware, on="device_id").filter(within).group_by("release").agg(col("power_w").mean().alias("power_w_mean"))]


class Engine:
    """The files of the workload."""

    tolerances = {}

    def __init__(self, workload, folder, _layout):
        self.workload = workload
        self.tables = None

    def load(self, _threads):
        """Nothing to load: it reads the files."""

    def open(self, threads):
        """Names the files as tables. Times lose their zone, which it truncates faster."""
        if pl.thread_pool_size() != threads:
            raise RuntimeError(f"Polars runs {pl.thread_pool_size()} threads, not {threads}: POLARS_MAX_THREADS comes too late")
        samples = pl.scan_parquet(f"{self.workload}/samples-*.parquet").with_columns(col("ts").dt.replace_time_zone(None))
        devices = pl.scan_parquet(f"{self.workload}/devices.parquet").select("device_id", "model", "firmware", "region")
        firmware = pl.scan_parquet(f"{self.workload}/firmware.parquet")
        times = [col(name).dt.replace_time_zone(None) for name in ("valid_from", "valid_to")]
        self.tables = samples, devices, firmware.with_columns(times)

    def forms(self, facts):
        """Ways of asking each question, by its name; each returns an Arrow table."""
        samples, devices, firmware = self.tables
        frames = {
            "Q1": monthly_power(samples, devices), "Q2": battery_slope(samples), "Q3": latency_of_a_cohort(samples, devices),
            "Q4": last_values(samples), "Q5": one_day(samples, facts), "Q6": all_metrics(samples, devices),
            "Q7": far_from_the_mean(samples), "Q8": gaps(samples), "Q9": power_above(samples, devices, 10),
            "Q9 (25 °C)": power_above(samples, devices, 25), "Q10": power_by_release(samples, firmware),
        }
        return {
            name: [lambda frame=frame, engine=engine: frame.collect(engine=engine).to_arrow() for frame in plans for engine in ENGINES]
            for name, plans in frames.items()
        }

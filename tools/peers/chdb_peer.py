"""chDB (ClickHouse in the process) with MergeTree tables in order of device and time, one part, codecs tuned by column.

Two layouts: `released` has the codecs that ClickHouse calls ready; `alp` has its ALP codec for doubles, which it calls a beta and which
reads several times faster. No column is nullable, and repeated texts are dictionaries, since both are faster.
"""
import time

import pyarrow as pa
from chdb import session

import standard_sql

DIALECT = standard_sql.Dialect(
    month="toStartOfMonth({})", day="toDate({})", hour="toStartOfHour({})", day_number="toInt32({})",
    milliseconds="toUnixTimestamp64Milli({})", instant="toDateTime64('{}', 3, 'UTC')", p95="quantileExactInclusive(0.95)({})",
    last="argMax({}, ts)", deviation="stddevSampStable({})")
# By layout: codecs of doubles and of integers.
CODECS = {"released": ("Delta, ZSTD(1)", "T64, ZSTD(1)"), "alp": ("ALP, ZSTD(1)", "T64, ZSTD(1)")}
# Parts that a merge has replaced go at once, so that they do not count as bytes of the table.
KEEP_NOTHING_OLD = "old_parts_lifetime = 0, cleanup_delay_period = 1, cleanup_delay_period_random_add = 0, max_cleanup_delay_period = 1"
OLD_PARTS_SECONDS_MOST = 60
TIME = "DateTime64(3, 'UTC')"


def samples_table(layout):
    """The statement that makes the table of samples."""
    doubles, integers = CODECS[layout]
    types = {"rssi_dbm": f"Int16 CODEC({integers})", "latency_ms": f"Int32 CODEC({integers})"}
    columns = ", ".join(f"{metric} {types.get(metric, f'Float64 CODEC({doubles})')}" for metric in standard_sql.METRICS)
    return (f"CREATE TABLE samples (device_id UInt32 CODEC(Delta, ZSTD(1)), ts {TIME} CODEC(Delta, ZSTD(1)), {columns}) "
            "ENGINE = MergeTree ORDER BY (device_id, ts) "
            f"SETTINGS min_bytes_for_wide_part = 0, {KEEP_NOTHING_OLD}")


def gaps_by_arrays():
    """Q8: the times of a device as one array, which is quicker than a window."""
    return (
        "SELECT device_id AS device, arrayCount(step -> step > 300000, steps) AS count, "
        "arraySum(step -> if(step > 300000, step, 0), steps) / 1000 AS total_s, "
        "arrayMax(step -> if(step > 300000, step, 0), steps) / 1000 AS longest_s FROM (SELECT device_id, "
        "arrayPopFront(arrayDifference(arraySort(groupArray(toUnixTimestamp64Milli(ts))))) AS steps FROM samples GROUP BY 1)")


def power_by_release_from_a_dictionary():
    """Q10: ClickHouse's own form of a range join."""
    return "SELECT dictGet('fleet.releases', 'release', toUInt64(device_id), ts) AS release, avg(power_w) AS power_w_mean FROM samples GROUP BY 1"


class Engine:
    """One folder of a session."""

    tolerances = {}

    def __init__(self, workload, folder, layout):
        self.workload, self.folder, self.layout = workload, folder, layout
        self.session = None

    def load(self, _threads):
        """Fills the tables, on one core and in bounded memory, and merges them to one part."""
        self.folder.mkdir(parents=True)
        self.session = session.Session(str(self.folder))
        run = self.session.query
        run("CREATE DATABASE fleet ENGINE = Atomic")
        run("USE fleet")
        if self.layout == "alp":
            run("SET enable_alp_codec = 1")
        run(samples_table(self.layout))
        run("CREATE TABLE devices (device_id UInt32, model LowCardinality(String), firmware LowCardinality(String), "
            "region LowCardinality(String)) ENGINE = MergeTree ORDER BY device_id")
        run(f"CREATE TABLE firmware (device_id UInt32, release LowCardinality(String), valid_from {TIME}, valid_to {TIME}) "
            "ENGINE = MergeTree ORDER BY (device_id, valid_from)")
        files = self.workload
        run(f"INSERT INTO samples SELECT * FROM file('{files}/samples-*.parquet') SETTINGS max_threads = 1, max_insert_threads = 1")
        run(f"INSERT INTO devices SELECT device_id, model, firmware, region FROM file('{files}/devices.parquet')")
        run(f"INSERT INTO firmware SELECT * FROM file('{files}/firmware.parquet')")
        run(f"CREATE DICTIONARY releases (device_id UInt32, release String, valid_from {TIME}, valid_to {TIME}) PRIMARY KEY device_id "
            "SOURCE(CLICKHOUSE(DB 'fleet' TABLE 'firmware')) LAYOUT(RANGE_HASHED()) RANGE(MIN valid_from MAX valid_to) LIFETIME(0)")
        run("OPTIMIZE TABLE samples FINAL")
        self.await_one_part()
        self.session.close()

    def await_one_part(self):
        """Waits until the parts that the merge has replaced are gone."""
        until = time.monotonic() + OLD_PARTS_SECONDS_MOST
        while str(self.session.query("SELECT count() FROM system.parts WHERE table = 'samples'")).strip() != "1":
            if time.monotonic() > until:
                raise RuntimeError(f"chDB still keeps old parts after {OLD_PARTS_SECONDS_MOST} s")
            time.sleep(0.2)

    def open(self, threads):
        """Opens the session with so many threads."""
        self.session = session.Session(str(self.folder))
        self.session.query("USE fleet")
        self.session.query(f"SET max_threads = {threads}")

    def ask(self, statement):
        """An answer as an Arrow table."""
        answer = self.session.query(statement, "Arrow").bytes()
        return pa.ipc.open_file(pa.BufferReader(answer)).read_all()

    def forms(self, facts):
        """Ways of asking each question, by its name; each returns an Arrow table."""
        texts = standard_sql.statements(DIALECT, facts)
        # Its window function would count the first row of a device as a gap.
        texts["Q8"] = [gaps_by_arrays()]
        texts["Q10"].append(power_by_release_from_a_dictionary())
        return {name: [lambda text=text: self.ask(text) for text in forms] for name, forms in texts.items()}

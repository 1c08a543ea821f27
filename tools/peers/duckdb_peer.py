"""DuckDB with native tables, sorted by device or by time, or as the rows arrive. Times lose their zone, which it truncates much faster."""
import duckdb

import standard_sql

MEMORY_LIMIT = "4GB"
SORTINGS = {"device": " ORDER BY device_id, ts", "time": " ORDER BY ts, device_id", "arrival": ""}
DIALECT = standard_sql.Dialect(
    month="date_trunc('month', {})", day="date_trunc('day', {})", hour="date_trunc('hour', {})", day_number="epoch({}) / 86400",
    milliseconds="epoch_ms({})", instant="TIMESTAMP '{}'", p95="quantile_cont({}, 0.95)", last="arg_max({}, ts)")


def connect(path, threads):
    """A connection with so many threads."""
    connection = duckdb.connect(str(path), config={"threads": threads, "memory_limit": MEMORY_LIMIT})
    connection.execute("SET enable_progress_bar = false")
    return connection


class Engine:
    """One database file."""

    tolerances = {}

    def __init__(self, workload, folder, order):
        self.workload, self.folder, self.order = workload, folder, order
        self.connection = None

    def load(self, threads):
        """Makes the database, one file, and everything in it durable."""
        self.folder.mkdir(parents=True)
        connection, files = connect(self.folder / "fleet.duckdb", threads), self.workload
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"CREATE TABLE samples AS SELECT * REPLACE (ts::TIMESTAMP AS ts) FROM '{files}/samples-*.parquet'{SORTINGS[self.order]}")
        connection.execute(f"CREATE TABLE devices AS SELECT * FROM '{files}/devices.parquet'")
        connection.execute(
            "CREATE TABLE firmware AS SELECT * REPLACE (valid_from::TIMESTAMP AS valid_from, valid_to::TIMESTAMP AS valid_to) "
            f"FROM '{files}/firmware.parquet'")
        connection.execute("CHECKPOINT")
        connection.close()

    def open(self, threads):
        """Opens the database with so many threads."""
        self.connection = connect(self.folder / "fleet.duckdb", threads)

    def forms(self, facts):
        """Ways of asking each question, by its name; each returns an Arrow table."""
        def form(statement):
            return lambda: self.connection.sql(statement).to_arrow_table()
        return {name: [form(text) for text in texts] for name, texts in standard_sql.statements(DIALECT, facts).items()}

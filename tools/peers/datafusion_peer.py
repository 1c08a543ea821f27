"""DataFusion over the workload's Parquet files. Times lose their zone first, which it truncates faster."""
import datafusion
import pyarrow as pa

import standard_sql

DIALECT = standard_sql.Dialect(
    month="date_trunc('month', {})", day="date_trunc('day', {})", hour="date_trunc('hour', {})",
    day_number="(date_part('epoch', {}) / 86400)", milliseconds="arrow_cast({}, 'Int64')", instant="TIMESTAMP '{}'",
    p95="percentile_cont(0.95) WITHIN GROUP (ORDER BY {})", last="last_value({} ORDER BY ts)")
# It interpolates quantiles to six digits.
TOLERANCES = {"latency_ms_p95": 1e-6}
WITHOUT_ZONE = "arrow_cast({}, 'Timestamp(Millisecond, None)') AS {}"


class Engine:
    """The files of the workload."""

    tolerances = TOLERANCES

    def __init__(self, workload, folder, _layout):
        self.workload = workload
        self.context = None

    def load(self, _threads):
        """Nothing to load: it reads the files."""

    def open(self, threads):
        """Names the files as tables."""
        config = datafusion.SessionConfig({"datafusion.execution.time_zone": "UTC"}).with_target_partitions(threads)
        self.context = datafusion.SessionContext(config)
        for table, pattern in (("samples", "samples-*"), ("devices", "devices"), ("firmware", "firmware")):
            self.context.sql(f"CREATE EXTERNAL TABLE stored_{table} STORED AS PARQUET LOCATION '{self.workload}/{pattern}.parquet'")
        times = {"samples": ["ts"], "devices": [], "firmware": ["valid_from", "valid_to"]}
        for table, columns in times.items():
            changed = "".join(f", {WITHOUT_ZONE.format(column, column)}" for column in columns)
            kept = f"* EXCEPT ({', '.join(columns)})" if columns else "*"
            self.context.sql(f"CREATE VIEW {table} AS SELECT {kept}{changed} FROM stored_{table}")

    def ask(self, statement):
        """An answer as an Arrow table."""
        frame = self.context.sql(statement)
        return pa.Table.from_batches(frame.collect(), schema=frame.schema())

    def forms(self, facts):
        """Ways of asking each question, by its name; each returns an Arrow table."""
        texts = standard_sql.statements(DIALECT, facts)
        return {name: [lambda text=text: self.ask(text) for text in forms] for name, forms in texts.items()}

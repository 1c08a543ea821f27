"""`make bench-peers`: fleetlog beside DuckDB, chDB, Polars and DataFusion, in one run on one machine.

Exits with 1 where an answer disagrees, with both values; a ratio that is not reached is marked in the tables. Needs the standard
library alone: the packages of the peers live in an environment of their own (environment.py), in processes of their own (worker.py).
"""
import argparse
import os
import sys
from pathlib import Path

import environment
import machine
import reporting
from measuring import THREADS, Run
from questions import questions


def built(name):
    """A file of the release build."""
    return Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / name


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description="Compares fleetlog with engines that a user would pick instead.")
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=2025)
    parser.add_argument("--repeat", type=int, default=5, help="warm runs of a query, of which the median counts")
    parser.add_argument("--cold-repeat", type=int, default=1, help="cold runs of a query")
    parser.add_argument("--load-repeat", type=int, default=3, help="bulk loads, of which the median counts")
    parser.add_argument("--batches", type=int, default=2_000, help="durable batches of 10,000 readings")
    parser.add_argument("--fleetlog", type=Path, default=os.environ.get("FLEETLOG_BIN") or built("fleetlog"))
    parser.add_argument("--durable-batch", type=Path, default=built("examples") / "durable_batch")
    options = parser.parse_args()
    if min(options.devices, options.days, options.repeat, options.cold_repeat, options.load_repeat, options.batches) < 1:
        parser.error("every number has to be 1 or more")
    for binary in (options.fleetlog, options.durable_batch):
        if not Path(binary).exists():
            parser.error(f"{binary} is not there: `make bench-peers` builds it")
    # Q3 asks for device 2.
    if options.devices < 3:
        parser.error("at least 3 devices are needed, so that every question has an answer")
    return options


def main():
    """Makes what is missing, measures, reports."""
    options = arguments()
    cores = machine.cores(2)
    interpreter = environment.python()
    workload = environment.workload_folder(options.devices, options.days, options.seed)
    environment.make_workload(interpreter, workload, options.devices, options.days, options.seed)
    run = Run(options, interpreter, workload, cores)
    asked = questions(run.facts)
    run.bulk_load()
    run.load_others()
    run.measure_sizes()
    for threads in THREADS:
        run.warm(asked, threads)
        run.cold(asked, threads)
    run.durable_batch()
    print(reporting.report(run, asked))
    return 1 if run.results.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())

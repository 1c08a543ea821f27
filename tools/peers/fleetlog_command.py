"""fleetlog's side: its command, run as a user runs it. Times are the ones that `--explain` reports, on an open store."""
import csv
import io
import json
import shutil
import subprocess
import time
from datetime import datetime

import figures


def milliseconds(text):
    """An instant as the command prints it."""
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def one_row_a_device(rows):
    """The rows of `latest`, one for each metric, as one row a device."""
    devices = {}
    for row in rows:
        devices.setdefault(row["device"], {"device": row["device"]})[row["metric"]] = row["value"]
    return list(devices.values())


def answer_of(text, question):
    """The command's CSV as an answer (see agreement.py)."""
    rows = list(csv.DictReader(io.StringIO(text)))
    if question.command[0] == "latest":
        rows = one_row_a_device(rows)
    answer = []
    for row in rows:
        keys = [milliseconds(row[name]) if name in ("window", "time") else row[name] for name in question.keys]
        answer.append(keys + [float(row[name]) if row[name] else None for name in question.exact + question.close])
    return answer


class Fleetlog:
    """One store, and the command that asks it."""

    def __init__(self, binary, store, cores):
        self.binary, self.store, self.cores = binary, store, cores

    def run(self, words, threads):
        """Runs the command on the first of our cores; returns what it printed and what it explained."""
        command = ["taskset", "-c", ",".join(map(str, self.cores[:threads])), str(self.binary), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"exit code {done.returncode}: {' '.join(command)}\n{done.stderr}")
        explained = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        return done.stdout, explained[-1] if explained else {}

    def load(self, workload, threads):
        """A new store of the workload; returns the seconds that its samples took, from the start of the process to its end."""
        shutil.rmtree(self.store, ignore_errors=True)
        self.run(["init", self.store, "--quiet"], threads)
        started = time.perf_counter()
        files = sorted(workload.glob("samples-*.parquet"))
        self.run(["import", "samples", self.store, *files, "--device", "device_id", "--time", "ts", "--threads", threads, "--quiet"], threads)
        seconds = time.perf_counter() - started
        self.run(["import", "devices", self.store, workload / "devices.parquet", "--device", "device_id", "--quiet"], threads)
        self.run(["import", "devices", self.store, workload / "firmware.parquet", "--device", "device_id", "--from-column", "valid_from",
                  "--attribute", "release", "--quiet"], threads)
        return seconds

    def compacted_copy(self, folder):
        """A copy of the store in the cold tier."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.store, folder)
        copy = Fleetlog(self.binary, folder, self.cores)
        copy.run(["compact", folder, "--cold", "--quiet"], len(self.cores))
        return copy

    def ask(self, question, threads, repeat, before=0):
        """The answer, the seconds of a query on the open store (the median of so many, after so many that do not count), and those of opening it."""
        verb, *words = question.command
        asked = [verb, self.store, *words, "--format", "csv", "--explain", "--repeat", before + repeat, "--threads", threads]
        printed, explained = self.run(asked, threads)
        each_ms = explained.get("elapsed_each_ms", [explained["elapsed_ms"]])
        return answer_of(printed, question), figures.median(each_ms[before:]) / 1000, explained["open_ms"] / 1000

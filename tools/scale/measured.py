"""Processes that are measured: how long they took, what they explained, and the most memory that they held."""
import csv
import io
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Taken:
    """What a process took; `explained` is what `--explain` said."""

    seconds: float
    peak_mib: int
    explained: dict


def anonymous_kib(process):
    """RssAnon of a process; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


def run(words, cores=None):
    """Runs a command on so many cores (all without); its answer is thrown away. Memory is looked at every millisecond."""
    first = sorted(os.sched_getaffinity(0))[:cores]
    with tempfile.TemporaryFile("w+") as errors:
        started, peak = time.perf_counter(), 0
        with subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=errors) as process:
            os.sched_setaffinity(process.pid, first)
            while process.poll() is None:
                peak = max(peak, anonymous_kib(process.pid))
                time.sleep(0.001)
        seconds = time.perf_counter() - started
        errors.seek(0)
        said = errors.read()
    if process.returncode != 0:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(map(str, words))}\n{said}")
    explained = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return Taken(seconds, -(-peak // 1024), explained[-1] if explained else {})


def information(fleetlog, store):
    """The figures of `fleetlog info`, by name."""
    printed = subprocess.run([fleetlog, "info", store, "--format", "csv"], check=True, capture_output=True, text=True).stdout
    return {row["what"]: int(row["value"]) for row in csv.DictReader(io.StringIO(printed)) if row["value"].isdigit()}


def machine():
    """The processor, and how many cores there are."""
    models = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {models[0] if models else 'an unnamed processor'}"


@dataclass(frozen=True)
class Fleet:
    """All that was measured of a fleet; `answers` by question and cores."""

    devices: int
    days: int
    readings: int
    values: int
    bytes: int
    loaded: Taken
    answers: dict

    def elapsed_ms(self, question, cores):
        """The median time of a question on the open store."""
        return self.answers[question, cores].explained["elapsed_ms"]

    def open_ms(self, question):
        """How long the store took to open."""
        return self.answers[question, 1].explained["open_ms"]

    def peak_mib(self):
        """The most that any question held."""
        return max(taken.peak_mib for taken in self.answers.values())

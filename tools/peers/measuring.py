"""The measurements, engine beside engine, so that a slow minute of the machine meets all of them.

Everything is kept in `Results`, by name; nothing is judged here but whether the answers agree.
"""
import json
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import agreement
import environment
import figures
import machine
from fleetlog_command import Fleetlog
from peers import DUCKDB_SORTED, DUCKDB_UNSORTED, PEERS
from serving import Serving

SECONDS_MOST = 20.0
STARTED = time.perf_counter()


@dataclass
class Results:
    """Seconds by (threads, engine, question), bytes and load rates by engine, disagreements as sentences."""

    warm: dict = field(default_factory=dict)
    cold: dict = field(default_factory=dict)
    bytes: dict = field(default_factory=dict)
    loads: dict = field(default_factory=dict)
    durable: dict = field(default_factory=dict)
    forms: dict = field(default_factory=dict)
    disagreements: list = field(default_factory=list)


def note(text):
    """A line of progress, with the seconds since the start."""
    print(f"{time.perf_counter() - STARTED:6.1f} s  {text}", file=sys.stderr, flush=True)


class Run:
    """One run over one workload. `stores` maps names to fleetlog's stores: the fast tier, and the cold one."""

    def __init__(self, options, interpreter, workload, cores):
        self.options, self.interpreter, self.workload, self.cores = options, interpreter, workload, cores
        self.facts = json.loads((workload / "workload.json").read_text())
        self.results = Results()
        self.stores = {}

    def serving(self, peer, threads):
        """A worker of a peer on so many cores."""
        return Serving(self.interpreter, peer, self.workload, self.cores[:threads])

    def load_duckdb(self, peer):
        """Loads one core's DuckDB anew; returns seconds."""
        shutil.rmtree(peer.folder(self.workload), ignore_errors=True)
        with self.serving(peer, 1) as serving:
            return serving.request("load")["seconds"]

    def bulk_load(self):
        """Readings per second on one core: fleetlog, DuckDB as the rows lie, DuckDB sorted; the medians of several turns."""
        fleetlog = Fleetlog(self.options.fleetlog, self.workload.parent / "fleetlog", self.cores)
        seconds = {"fleetlog": [], DUCKDB_UNSORTED.name: [], "DuckDB, sorted by device": []}
        for _ in range(self.options.load_repeat):
            note("bulk load on one core")
            taken = fleetlog.load(self.workload, 1), self.load_duckdb(DUCKDB_UNSORTED), self.load_duckdb(DUCKDB_SORTED)
            for times, once in zip(seconds.values(), taken):
                times.append(once)
        shutil.rmtree(DUCKDB_UNSORTED.folder(self.workload))
        self.results.loads = {name: self.facts["rows"] / figures.median(times) for name, times in seconds.items()}
        self.stores = {"fleetlog": fleetlog, "fleetlog, cold tier": fleetlog.compacted_copy(self.workload.parent / "fleetlog-cold")}

    def load_others(self):
        """Loads the peers whose load is not measured, unless that was done with the same packages and statements."""
        for peer in PEERS:
            if not peer.stores or peer is DUCKDB_SORTED:
                continue
            folder = peer.folder(self.workload)
            sources = [environment.HERE / f"{peer.module}.py", environment.HERE / "standard_sql.py", environment.REQUIREMENTS]
            stamp = folder.with_suffix(f".{environment.checksum(*sources)}")
            if stamp.exists():
                continue
            note(f"loading {peer.name}")
            shutil.rmtree(folder, ignore_errors=True)
            with self.serving(peer, 2) as serving:
                serving.request("load")
            stamp.touch()

    def measure_sizes(self):
        """Bytes of every engine, all of them."""
        for name, store in self.stores.items():
            self.results.bytes[name] = machine.bytes_on_disk([store.store])
        for peer in PEERS:
            name = peer.name if peer.stores else "Parquet (Polars, DataFusion)"
            self.results.bytes[name] = machine.bytes_on_disk(peer.files(self.workload))

    def check(self, question, ours, peer_name, asked):
        """Compares every form of a peer with fleetlog's answer; returns the largest relative difference."""
        worst = 0.0
        for form, answer in enumerate(asked["answers"]):
            difference, problems = agreement.differences(question, ours, answer, asked["tolerances"])
            worst = max(worst, difference)
            sentences = [f"{question.name}, {peer_name}, form {form}: {text}" for text in agreement.shown(problems)]
            self.results.disagreements += sentences
            for sentence in sentences:
                print(f"DISAGREE {sentence}", flush=True)
        return worst

    def warm(self, questions, threads):
        """Every question, on every engine in turn, with everything open."""
        with ExitStack() as stack:
            workers = [stack.enter_context(self.serving(peer, threads)) for peer in PEERS]
            for question in questions:
                note(f"{question.name}, warm, {threads} threads")
                ours, worst = None, 0.0
                for name, store in self.stores.items():
                    answer, self.results.warm[threads, name, question.name], _ = store.ask(question, threads, self.options.repeat)
                    if ours is None:
                        ours = answer
                        continue
                    worst = max(worst, self.check(question, ours, name, {"answers": [answer], "tolerances": {}}))
                before = len(self.results.disagreements)
                for worker in workers:
                    name = worker.peer.name
                    asked = worker.request("ask", question=question.name, repeat=self.options.repeat, seconds_most=SECONDS_MOST)
                    self.results.warm[threads, name, question.name] = figures.median(asked["seconds"])
                    self.results.forms[threads, name, question.name] = asked["form"]
                    worst = max(worst, self.check(question, ours, name, asked))
                if len(self.results.disagreements) == before:
                    print(f"{question.name}, {threads} threads: all agree on {len(ours)} rows; relative difference at most {worst:.1e}", flush=True)

    def cold_peer(self, questions, threads, peer):
        """One peer's cold times: opening and asking."""
        with ExitStack() as stack:
            kept = stack.enter_context(self.serving(peer, threads)) if peer.forks else None
            for question in questions:
                times = []
                for _ in range(self.options.cold_repeat):
                    with ExitStack() as once:
                        worker = kept or once.enter_context(self.serving(peer, threads))
                        machine.drop_page_cache(peer.files(self.workload))
                        form = self.results.forms[threads, peer.name, question.name]
                        taken = worker.request("cold", question=question.name, form=form)
                    times.append(taken["open_seconds"] + taken["seconds"])
                self.results.cold[threads, peer.name, question.name] = figures.median(times)

    def cold(self, questions, threads):
        """Every question on a store that no page of is in memory, each in a process of its own."""
        for name, store in self.stores.items():
            note(f"cold, {name}, {threads} threads")
            for question in questions:
                times = []
                for _ in range(self.options.cold_repeat):
                    machine.drop_page_cache([store.store])
                    _, asking, opening = store.ask(question, threads, 1)
                    times.append(asking + opening)
                self.results.cold[threads, name, question.name] = figures.median(times)
        for peer in PEERS:
            note(f"cold, {peer.name}, {threads} threads")
            self.cold_peer(questions, threads, peer)

    def durable_batch(self):
        """Durable batches beside the disk alone."""
        note("durable batches")
        command = [self.options.durable_batch, self.workload.parent, str(self.options.batches)]
        self.results.durable = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

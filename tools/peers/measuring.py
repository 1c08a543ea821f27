"""The measurements, engine beside engine, so that a slow minute of the machine meets all of them.

Everything is kept in `Results`, by name; nothing is judged here but whether the answers agree: those of every form of a peer with those
of fleetlog's fast tier.
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
# How often every engine is asked a question before it is timed; a peer's worker does so for each form.
ASKED_BEFORE = 2
THREADS = {1: "one core", 2: "two cores"}
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

    def check(self, question, ours, name, answers, tolerances):
        """Compares another engine's answers with fleetlog's; returns the largest relative difference."""
        worst = 0.0
        for form, answer in enumerate(answers):
            difference, problems = agreement.differences(question, ours, answer, tolerances)
            worst = max(worst, difference)
            for text in agreement.shown(problems):
                sentence = f"{question.name}, {name}, form {form + 1}: {text}"
                self.results.disagreements.append(sentence)
                print(f"DISAGREE {sentence}", flush=True)
        return worst

    def ask_fleetlog(self, question, threads):
        """fleetlog's answer, that of its fast tier, and how far the cold tier's is from it."""
        answers = []
        for name, store in self.stores.items():
            answer, self.results.warm[threads, name, question.name], _ = store.ask(question, threads, self.options.repeat, ASKED_BEFORE)
            answers.append(answer)
        return answers[0], self.check(question, answers[0], "fleetlog, cold tier", answers[1:], {})

    def ask_peer(self, worker, question, threads, ours):
        """Asks one peer; returns how far its answers are from fleetlog's."""
        asked = worker.request("ask", question=question.name, repeat=self.options.repeat, seconds_most=SECONDS_MOST)
        key = threads, worker.peer.name, question.name
        self.results.warm[key], self.results.forms[key] = figures.median(asked["seconds"]), asked["form"]
        return self.check(question, ours, worker.peer.name, asked["answers"], asked["tolerances"])

    def warm(self, questions, threads):
        """Every question, on every engine in turn, with everything open."""
        with ExitStack() as stack:
            workers = [stack.enter_context(self.serving(peer, threads)) for peer in PEERS]
            for question in questions:
                note(f"{question.name}, warm, {THREADS[threads]}")
                before = len(self.results.disagreements)
                ours, difference = self.ask_fleetlog(question, threads)
                worst = max([difference, *(self.ask_peer(worker, question, threads, ours) for worker in workers)])
                if len(self.results.disagreements) == before:
                    print(f"{question.name}, {THREADS[threads]}: all agree on {len(ours):,} rows; relative difference at most {worst:.1e}", flush=True)

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
            note(f"cold, {name}, {THREADS[threads]}")
            for question in questions:
                times = []
                for _ in range(self.options.cold_repeat):
                    machine.drop_page_cache([store.store])
                    _, asking, opening = store.ask(question, threads, 1)
                    times.append(asking + opening)
                self.results.cold[threads, name, question.name] = figures.median(times)
        for peer in PEERS:
            note(f"cold, {peer.name}, {THREADS[threads]}")
            self.cold_peer(questions, threads, peer)

    def durable_batch(self):
        """Durable batches beside the disk alone."""
        note("durable batches")
        command = [self.options.durable_batch, self.workload.parent, str(self.options.batches)]
        self.results.durable = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

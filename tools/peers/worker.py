"""A process that holds one peer: reads requests, one JSON object a line, and answers each with one.

`load` fills the peer's files. `ask` runs every form of a question twice, and the fastest for a while and then
as often as it is timed; the store stays open between requests. `cold` opens and asks once: where the engine allows it in a child of its own, so that this process has the package imported
and nothing open, else here, once. Importing Arrow, in which all answers come, never counts. Anything that goes wrong ends the process with a trace on stderr.
"""
import json
import os
import sys
import time
from pathlib import Path

import pyarrow as pa

import agreement
import figures
import peers
import questions

TOO_SLOW = 3.0


def as_keys(column):
    """Keys as other engines write them: times in milliseconds, devices as text."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column.cast(pa.timestamp("ms")).cast(pa.int64()).to_pylist()
    if pa.types.is_dictionary(column.type):
        return [str(value) for value in column.to_pylist()]
    return column.to_pylist()


def answer_of(table, question):
    """A table as an answer (see agreement.py). chDB gives hours as seconds."""
    columns = {}
    for name in question.columns:
        values = as_keys(table[name])
        if name in ("window", "time") and agreement.looks_like_seconds(values):
            values = [value * 1000 for value in values]
        columns[name] = [str(value) for value in values] if name == "device" else values
    rows = list(zip(*(columns[name] for name in question.columns)))
    return [[float(value) if hasattr(value, "as_tuple") else value for value in row] for row in rows]


class Worker:
    """Answers requests for one peer."""

    def __init__(self, peer, workload, threads):
        self.facts = json.loads((workload / "workload.json").read_text())
        self.questions = {question.name: question for question in questions.questions(self.facts)}
        self.engine, self.threads, self.forks = peer.engine(workload), threads, peer.forks
        self.forms = None

    def load(self, _request):
        """Fills the peer's files; says how long that took."""
        started = time.perf_counter()
        self.engine.load(self.threads)
        return {"seconds": time.perf_counter() - started}

    def timed(self, form):
        """One run of a form: seconds, and its table."""
        started = time.perf_counter()
        table = form()
        return time.perf_counter() - started, table

    def warm_up(self, form):
        """Asks until threads, caches and allocators have settled."""
        spent, asked = 0.0, 0
        while spent < figures.WARM_UP_SECONDS and asked < figures.WARM_UP_MOST:
            spent, asked = spent + self.timed(form)[0], asked + 1

    def ask(self, request):
        """Warm times of the fastest form, and the answers of all forms."""
        if self.forms is None:
            self.engine.open(self.threads)
            self.forms = self.engine.forms(self.facts)
        question, forms = self.questions[request["question"]], self.forms[request["question"]]
        tried, answers = [], []
        for form in forms:
            seconds, table = self.timed(form)
            answers.append(answer_of(table, question))
            if not tried or seconds < TOO_SLOW * min(tried):
                seconds = min(seconds, self.timed(form)[0])
            tried.append(seconds)
        fastest = tried.index(min(tried))
        self.warm_up(forms[fastest])
        runs, spent = [], 0.0
        while len(runs) < request["repeat"] and (not runs or spent < request["seconds_most"]):
            runs.append(self.timed(forms[fastest])[0])
            spent += runs[-1]
        return {"seconds": runs, "form": fastest, "answers": answers, "tolerances": self.engine.tolerances}

    def open_and_ask(self, request):
        """Seconds of opening, and of a form of a question after it."""
        started = time.perf_counter()
        self.engine.open(self.threads)
        form = self.engine.forms(self.facts)[request["question"]][request["form"]]
        opened = time.perf_counter()
        form()
        return {"open_seconds": opened - started, "seconds": time.perf_counter() - opened}

    def cold(self, request):
        """Opens and asks once, with nothing open before."""
        if not self.forks:
            return self.open_and_ask(request)
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receiving)
            os.write(sending, json.dumps(self.open_and_ask(request)).encode())
            os._exit(0)
        os.close(sending)
        with os.fdopen(receiving, "rb") as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return json.loads(said)


def main():
    """Serves requests until there are no more."""
    name, workload, threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    # Whatever an engine prints goes to stderr, past the answers.
    os.dup2(2, 1)
    worker = Worker(peers.named(name), Path(workload), int(threads))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(worker, request["do"])(request)), file=answers, flush=True)
    answers.flush()
    # chDB's threads would hold up an orderly end.
    os._exit(0)


if __name__ == "__main__":
    main()

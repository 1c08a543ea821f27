"""The run's end of a worker (see worker.py): one process of one peer, on so many cores."""
import json
import os
import subprocess

import environment


class Serving:
    """A worker that is ready for requests; a context that ends it."""

    def __init__(self, interpreter, peer, workload, cores):
        self.peer = peer
        threads = str(len(cores))
        command = ["taskset", "-c", ",".join(map(str, cores)), interpreter, environment.HERE / "worker.py", peer.name, workload, threads]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"POLARS_MAX_THREADS": threads})
        self.read()

    def read(self):
        """The next answer."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.peer.name} ended with exit code {self.process.wait()}; its trace stands above")
        return json.loads(line)

    def request(self, do, **words):
        """Sends a request and waits for its answer."""
        self.process.stdin.write(json.dumps({"do": do, **words}) + "\n")
        self.process.stdin.flush()
        return self.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

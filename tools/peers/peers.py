"""Which engines fleetlog is compared with, and where each keeps its data. Needs the standard library alone."""
import importlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """An engine in one layout.

    `stores`: it has files of its own, or else reads the workload's Parquet. `forks`: importing it starts no thread, so that a
    child of a process that has imported it can open it.
    """

    name: str
    module: str
    layout: str = ""
    stores: bool = True
    forks: bool = True

    def folder(self, workload):
        """Its files, beside the workload's."""
        return workload.parent / f"{self.module.removesuffix('_peer')}-{self.layout}" if self.stores else None

    def files(self, workload):
        """What lies on the disk for it: a folder, or files."""
        return [self.folder(workload)] if self.stores else sorted(workload.glob("samples-*.parquet"))

    def engine(self, workload):
        """The engine itself; imports its package."""
        return importlib.import_module(self.module).Engine(workload, self.folder(workload), self.layout)


DUCKDB_SORTED = Peer("DuckDB by device", "duckdb_peer", "device")
# Loaded for its time alone, and not asked.
DUCKDB_UNSORTED = Peer("DuckDB, as the rows lie", "duckdb_peer", "arrival")
PEERS = (
    DUCKDB_SORTED,
    Peer("DuckDB by time", "duckdb_peer", "time"),
    Peer("chDB", "chdb_peer", "released", forks=False),
    Peer("chDB, ALP (beta)", "chdb_peer", "alp", forks=False),
    Peer("Polars", "polars_peer", stores=False),
    Peer("DataFusion", "datafusion_peer", stores=False),
)


def named(name):
    """The peer of a name."""
    return next(peer for peer in (*PEERS, DUCKDB_UNSORTED) if peer.name == name)

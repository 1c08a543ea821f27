"""Folders of the run, all outside the checkout, and the virtual environment of the peers, made once for each list of packages."""
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"


def checksum(*paths):
    """Eight digits that change with the files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def root():
    """Where everything lies."""
    cache = os.environ.get("FLEETLOG_CACHE") or Path.home() / ".cache" / "fleetlog"
    return Path(cache).resolve() / "peers"


def python():
    """The interpreter of the environment, which is made if need be."""
    folder = root() / f"venv-{checksum(REQUIREMENTS)}"
    interpreter, whole = folder / "bin" / "python", folder / "whole"
    if whole.exists():
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"making {folder}", file=sys.stderr)
    if subprocess.run([sys.executable, "-m", "venv", folder]).returncode != 0:
        raise SystemExit("bench-peers: Python's venv is needed (python3-venv on Debian and Ubuntu)")
    subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
    whole.touch()
    return interpreter


def workload_folder(devices, days, seed):
    """The workload's folder; another generator makes another one. Stores of it lie beside it."""
    return root() / f"fleet-{devices}x{days}-seed{seed}-{checksum(HERE / 'workload.py')}" / "samples"


def make_workload(interpreter, folder, devices, days, seed):
    """Generates the workload where it is not there."""
    if not (folder / "workload.json").exists():
        print(f"generating {devices} devices, {days} days", file=sys.stderr)
        shutil.rmtree(folder.parent, ignore_errors=True)
        numbers = map(str, (devices, days, seed))
        subprocess.run([interpreter, HERE / "workload.py", folder, *numbers], check=True)


def versions():
    """The packages that are pinned, by name."""
    lines = REQUIREMENTS.read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)

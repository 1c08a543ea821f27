"""What the run asks of the machine: cores to run on, a page cache without the data, bytes on the disk, its name."""
import os
from pathlib import Path


def cores(number):
    """The first cores that this process may use; fewer than asked for is an error."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < number:
        raise SystemExit(f"bench-peers: {number} cores are needed, {len(allowed)} may be used")
    return allowed[:number]


def files_below(paths):
    """Every file in folders, and every file named."""
    for path in paths:
        if path.is_dir():
            yield from (found for found in path.rglob("*") if found.is_file() and not found.is_symlink())
        else:
            yield path


def bytes_on_disk(paths):
    """Blocks that the files take, as `du` counts them."""
    return sum(path.stat().st_blocks * 512 for path in files_below(paths))


def drop_page_cache(paths):
    """Empties the kernel's cache of these files. Not of all files: that would take the engines' own code out of memory as well, of which
    each has tens of megabytes, and the first query would measure how it is read back.
    """
    for path in files_below(paths):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # Only what is on the disk can be dropped.
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def name():
    """The processor, and how many cores there are."""
    text = Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {models[0] if models else 'an unnamed processor'}"

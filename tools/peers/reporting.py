"""The report of a run, as Markdown: what it ran on, ratios, all engines, sizes, bulk load, durable batches, disagreements."""
import environment
import figures
import machine
import tables
from measuring import THREADS
from peers import PEERS

LOAD_RATIO, LOAD_RATE = 1.2, 4e6
DURABLE_LIMITS = {"median_ms": 1.5, "p99_ms": 2.0}
OURS = "fleetlog"
AGREED = "All answers agree to 1e-9, counts, minima and maxima exactly (DataFusion's p95 to 1e-6: it interpolates to six digits)."


def heading(run):
    """What was compared, on what."""
    packages = ", ".join(f"{name} {version}" for name, version in environment.versions().items())
    facts = run.facts
    return (f"{machine.name()}; {facts['devices']} devices, {facts['days']} days, {facts['rows']:,} readings of 8 metrics; {packages}. "
            f"Warm times are medians of {run.options.repeat} on open stores that were asked the same twice before. Cold times hold opening and query, in a process of their own, with "
            "the page cache empty of the engine's data (posix_fadvise).")


def comparisons(times, questions, warm, engine=OURS):
    """Of each (number of threads, question) the comparison with the best peer."""
    found = {}
    for threads in THREADS:
        for question in questions:
            peers = {peer.name: times[threads, peer.name, question.name] for peer in PEERS}
            at_least = question.at_least if warm else question.at_least_cold
            found[THREADS[threads], question.name] = figures.compare(times[threads, engine, question.name], peers, at_least)
    return found


def engine_table(times, questions, threads, stores):
    """Seconds of every engine on one number of threads."""
    names = [*stores, *(peer.name for peer in PEERS)]
    return tables.all_engines(questions, {key[1:]: value for key, value in times.items() if key[0] == threads}, names)


def loads(results):
    """Bulk load of one core."""
    ours = results.loads[OURS]
    rows = []
    for name, rate in results.loads.items():
        ratio = "" if name == OURS else mark(ours / rate, ours / rate >= LOAD_RATIO, f"at least {LOAD_RATIO}")
        rate_cell = mark(rate / 1e6, rate >= LOAD_RATE, "at least 4") if name == OURS else tables.three_digits(rate / 1e6)
        rows.append([name, rate_cell, ratio])
    return tables.markdown(["bulk load, one core", "million readings a second", "fleetlog is faster by"], rows)


def mark(value, holds, wanted):
    """A number, marked where it misses."""
    text = tables.three_digits(value)
    return text if holds else f"**{text}** ({wanted})"


def durable(found):
    """Durable batches beside the disk alone."""
    rows = []
    for name, title in (("median_ms", "median"), ("p95_ms", "p95"), ("p99_ms", "p99"), ("max_ms", "maximum")):
        raw, ours = found["raw"][name], found["fleetlog"][name]
        limit = DURABLE_LIMITS.get(name)
        ratio = mark(ours / raw, limit is None or ours / raw <= limit, f"at most {limit}")
        rows.append([title, f"{raw:.2f} ms", f"{ours:.2f} ms", ratio])
    head = [f"{found['batches']:,} durable batches of {found['readings']:,} readings", f"raw write and fdatasync of {found['plain_bytes']:,} bytes",
            "fleetlog", "times as long"]
    return tables.markdown(head, rows)


def report(run, questions):
    """All of it."""
    results = run.results
    warm, cold = (comparisons(times, questions, is_warm) for times, is_warm in ((results.warm, True), (results.cold, False)))
    parts = [heading(run), "Warm:", tables.ratios(questions, warm, THREADS.values()), "Cold:", tables.ratios(questions, cold, THREADS.values())]
    for title, times in (("warm", results.warm), ("cold", results.cold)):
        for threads, word in THREADS.items():
            parts += [f"All engines, {title}, {word}:", engine_table(times, questions, threads, run.stores)]
    parts += [tables.sizes(results.bytes, run.facts["rows"] * 8), loads(results), durable(results.durable)]
    count = len(set(results.disagreements))
    parts.append(AGREED if count == 0 else f"{count} DISAGREEMENTS:")
    return "\n\n".join(parts + list(dict.fromkeys(results.disagreements)))

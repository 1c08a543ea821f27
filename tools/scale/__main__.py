"""make scale: how time and memory grow with devices, days and cores.

Makes fleets of several sizes one after the other, asks each of them the same questions on one core and on two, and prints what was measured: medians of
several askings on an open store, and the peak of RssAnon of each process. Then a model is fitted to the smaller fleets, held against the larger ones, and
asked about the fleet that is not measured.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import measured
import model

METRIC = "temperature_c"
# Name, and words: the verb in front of the store, the others behind it.
QUESTIONS = [
    ("daily mean of a metric, statistics off", ["trend", "--metric", METRIC, "--every", "1d", "--no-statistics"]),
    ("daily mean of a metric", ["trend", "--metric", METRIC, "--every", "1d"]),
    ("monthly mean, least, greatest by region", ["query", "--metric", METRIC, "--aggregate", "mean,min,max", "--every", "1mo", "--by", "region"]),
    ("hourly mean where another metric passes", ["query", "--metric", "power_w", "--aggregate", "mean", "--every", "1h", "--by", "model", "--filter", METRIC + ">10"]),
    ("p95 and deviation by region", ["query", "--metric", "power_w", "--aggregate", "p95,stddev", "--by", "region"]),
    ("gaps over 5 minutes of each device", ["gaps", "--longer-than", "5m"]),
    ("last value of each metric of each device", ["latest"]),
]
FIRST = QUESTIONS[0][0]
# What the project promises of the fleet of a thousand devices and a year.
SECONDS_MOST, MEMORY_MOST_MIB = 5.0, 320


def sizes(text):
    """'100x365,1000x30' as pairs of devices and days."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*(,[1-9]\d*x[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of sizes: write DEVICESxDAYS, with commas between them, as 100x30,1000x365")
    return [tuple(int(number) for number in size.split("x")) for size in text.split(",")]


def arguments():
    """The command line."""
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
    parser = argparse.ArgumentParser(prog="make scale", description="Measures how time and memory grow with the fleet.")
    parser.add_argument("--sizes", type=sizes, default="100x30,300x30,100x365,1000x30,1000x365,10000x30", help="DEVICESxDAYS, by commas")
    parser.add_argument("--predict", type=sizes, default="10000x365", help="sizes that the model is asked about")
    parser.add_argument("--repeat", type=int, default=5, help="askings of a question, of which the median counts")
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("FLEETLOG_CACHE", Path.home() / ".cache/fleetlog")) / "scale")
    parser.add_argument("--fleetlog", type=Path, default=binaries / "fleetlog")
    parser.add_argument("--fleetgen", type=Path, default=binaries / "fleetgen")
    options = parser.parse_args()
    for binary in (options.fleetlog, options.fleetgen):
        if not binary.exists():
            parser.error(f"{binary} is not there: `make scale` builds it")
    return options


def note(text):
    """Says what goes on."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def make_store(options, folder, devices, days):
    """Generates a fleet, imports it on two cores, and removes the files; what the import took."""
    files, store = folder / "files", folder / "store"
    note(f"generating {devices} devices, {days} days")
    subprocess.run([options.fleetgen, "--devices", str(devices), "--days", str(days), "--uniform", "--out", files], check=True, capture_output=True)
    note("importing")

    def run(*words):
        measured.run([options.fleetlog, *words, "--quiet"])

    run("init", store)
    taken = measured.run([options.fleetlog, "import", "samples", store, files / "samples.parquet", "--device", "device", "--time", "time", "--threads", "2", "--quiet"])
    run("import", "devices", store, files / "devices.csv", "--device", "device")
    run("import", "devices", store, files / "attributes.csv", "--device", "device", "--from-column", "time", "--attribute", "value=firmware")
    shutil.rmtree(files)
    return store, taken


def measure(options, devices, days):
    """All that is known of one size."""
    folder = options.folder / f"fleet-{devices}x{days}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        store, loaded = make_store(options, folder, devices, days)
        info = measured.information(options.fleetlog, store)
        answers = {}
        for name, (verb, *words) in QUESTIONS:
            note(name)
            for cores in (1, 2):
                command = [options.fleetlog, verb, store, *words, "--memory", "256MiB", "--format", "csv", "--explain", "--repeat", str(options.repeat)]
                answers[name, cores] = measured.run([*command, "--threads", str(cores)], cores)
        return measured.Fleet(devices, days, info["samples"], info["values"], info["bytes_on_disk"], loaded, answers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(fleets):
    """What was measured, in Markdown."""
    print(f"{measured.machine()}; 8 metrics, a row a minute; `--memory 256MiB`; medians on open stores, in milliseconds on one core / two\n")
    print("| | " + " | ".join(f"{fleet.devices:,} devices, {fleet.days} days" for fleet in fleets) + " |")
    print("|---" * (len(fleets) + 1) + "|")

    def row(name, cell):
        print(f"| {name} | " + " | ".join(cell(fleet) for fleet in fleets) + " |")

    row("readings", lambda fleet: f"{fleet.readings:,}")
    row("bytes on the disk, and for each value", lambda fleet: f"{fleet.bytes / 1e6:,.0f} MB, {fleet.bytes / fleet.values:.3f}")
    row("import on two cores, readings a second", lambda fleet: f"{fleet.readings / fleet.loaded.seconds:,.0f}")
    row("peak of RssAnon of the import", lambda fleet: f"{fleet.loaded.peak_mib} MiB")
    row("opening", lambda fleet: f"{fleet.open_ms(FIRST):.1f} ms")
    for name, _ in QUESTIONS:
        row(name, lambda fleet, name=name: f"{fleet.elapsed_ms(name, 1):,.2f} / {fleet.elapsed_ms(name, 2):,.2f}")
    row("highest peak of RssAnon of these", lambda fleet: f"{fleet.peak_mib()} MiB")


def predictions(fleets, unmeasured):
    """The model: fitted to all but the largest fleets, held against those, then asked about what was not measured."""
    largest = max(fleet.readings for fleet in fleets)
    known = [fleet for fleet in fleets if fleet.readings * 2 < largest]
    if len({fleet.devices * fleet.days for fleet in known}) < 2:
        print("\nNo model: a fixed part and one for each device-day need two sizes or more of less than half the readings of the largest.")
        return
    print("\nThe model: a question takes a fixed time, so much for each device, and so much for each device-day; fitted by least squares of relative errors to")
    print(f"the fleets of less than half the readings of the largest ({', '.join(f'{fleet.devices}x{fleet.days}' for fleet in known)}), on two cores.\n")
    others = [fleet for fleet in fleets if fleet not in known]
    print("| | fixed | each 1,000 devices | each 1,000 device-days | " + " | ".join(f"{fleet.devices:,} x {fleet.days}: predicted, measured" for fleet in others)
          + "".join(f" | {devices:,} x {days}: predicted" for devices, days in unmeasured) + " |")
    print("|---" * (4 + len(others) + len(unmeasured)) + "|")
    for name, _ in QUESTIONS:
        fitted = model.fit([(fleet.devices, fleet.days, fleet.elapsed_ms(name, 2)) for fleet in known])
        cells = [f"{fitted.fixed:.2f} ms", f"{fitted.each_device * 1e3:.2f} ms", f"{fitted.each_device_day * 1e3:.3f} ms"]
        cells += [f"{fitted.at(fleet.devices, fleet.days):,.1f}, {fleet.elapsed_ms(name, 2):,.1f} ms" for fleet in others]
        cells += [f"{fitted.at(devices, days) / 1e3:,.2f} s" for devices, days in unmeasured]
        print(f"| {name} | " + " | ".join(cells) + " |")
    for devices, days in unmeasured:
        fitted = model.fit([(fleet.devices, fleet.days, fleet.bytes) for fleet in known])
        print(f"\n{devices:,} devices, {days} days: {fitted.at(devices, days) / 1e9:,.1f} GB on the disk.")


def promises(fleets):
    """Whether what is promised of a thousand devices and a year holds; 1 where it does not."""
    missed = False
    for fleet in (fleet for fleet in fleets if (fleet.devices, fleet.days) == (1_000, 365)):
        seconds = fleet.elapsed_ms(FIRST, 2) / 1e3
        for name, value, most in [(f"{FIRST}, seconds on two cores", seconds, SECONDS_MOST), ("peak of RssAnon with --memory 256MiB, MiB", fleet.peak_mib(), MEMORY_MOST_MIB)]:
            held = value <= most
            missed |= not held
            print(f"\n{name}: {value:.2f}, at most {most}: {'held' if held else 'MISSED'}")
    return int(missed)


def main():
    """Measures, prints, judges."""
    options = arguments()
    fleets = [measure(options, devices, days) for devices, days in options.sizes]
    fleets.sort(key=lambda fleet: fleet.devices * fleet.days)
    table(fleets)
    predictions(fleets, options.predict)
    return promises(fleets)


if __name__ == "__main__":
    sys.exit(main())

"""The comparison workload: a fleet of one row a minute and eight metrics, as Parquet files.

The same devices, days and seed give the same files, byte for byte: every device draws from its own stream, seeded by
(seed, device). There are no nulls and no two rows of one device and time; a missing sample is a missing row (2%). Rows lie by device,
then by arrival: 0.1% of them are late by 2 to 120 rows. A fleet is whole once `workload.json` is there, which is written last.
"""
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
MINUTE_MS = 60_000
DAY_MINUTES = 1_440
YEAR_MINUTES = 365 * DAY_MINUTES
ROW_GROUP_ROWS = 262_144
DEVICES_A_FILE = 10
MODELS = ["A", "B", "C", "D", "E"]
REGIONS = 12
FIRMWARES = 8
UPDATED_SHARE = 0.3
TIME = pa.timestamp("ms", tz="UTC")
SAMPLES = pa.schema([
    ("device_id", pa.uint32()), ("ts", TIME), ("temperature_c", pa.float64()), ("humidity_pct", pa.float64()),
    ("battery_pct", pa.float64()), ("power_w", pa.float64()), ("rssi_dbm", pa.int16()),
    ("packet_loss_pct", pa.float64()), ("latency_ms", pa.int32()), ("reading", pa.float64()),
])
# Streams that belong to no device; devices are numbered below 2^32.
REFERENCE_STREAM, FLEET_STREAM = 2**33, 2**34


def wandering(noise, memory):
    """An autoregressive walk: each minute keeps `memory` of the one before and adds its noise."""
    by_minute = np.ascontiguousarray(noise.reshape(-1, DAY_MINUTES).T)
    for minute in range(1, DAY_MINUTES):
        by_minute[minute] += memory * by_minute[minute - 1]
    fading = memory ** np.arange(1, DAY_MINUTES + 1)
    carried = 0.0
    for day in range(by_minute.shape[1]):
        by_minute[:, day] += carried * fading
        carried = by_minute[-1, day]
    return by_minute.T.ravel()


def rounded(values, decimals):
    """Quantised as a sensor reports them, never -0.0."""
    scale = 10.0**decimals
    return np.rint(values * scale) / scale + 0.0


def covered(minutes, starts, lengths, heights):
    """The sum, minute by minute, of intervals that begin at `starts`."""
    steps = np.zeros(minutes + 1)
    np.add.at(steps, starts, heights)
    np.add.at(steps, np.minimum(starts + lengths, minutes), -np.asarray(heights))
    return np.cumsum(steps[:-1])


def reference(minutes, seed):
    """What every device's `reading` follows: a barometer in hPa with two tides a day."""
    stream = np.random.default_rng([seed, REFERENCE_STREAM])
    tides = 0.8 * np.sin(np.arange(minutes) * (4 * np.pi / DAY_MINUTES))
    return 1013.0 + wandering(stream.normal(0, 0.05, minutes), 0.9998) + tides


def climate(stream, minutes, day_angle, phase):
    """Temperature by season, hour and weather; humidity against it."""
    year_angle = 2 * np.pi * np.arange(minutes) / YEAR_MINUTES
    mean, season, daily = stream.uniform(8, 20), stream.uniform(6, 12), stream.uniform(2, 6)
    expected = mean - season * np.cos(year_angle) - daily * np.cos(day_angle - phase)
    temperature = expected + wandering(stream.normal(0, 0.06, minutes), 0.995)
    humidity = 62 - 1.6 * (temperature - expected.mean()) + wandering(stream.normal(0, 0.15, minutes), 0.997)
    return temperature, np.clip(humidity, 3, 100)


def energy(stream, minutes, day_angle, phase, temperature):
    """Power with bursts of load; a battery that load and cold empty, and that is charged again at 8 to 25%."""
    begins = np.flatnonzero(stream.random(minutes) < stream.uniform(0.0005, 0.004))
    lengths = stream.geometric(1 / stream.uniform(4, 20), len(begins))
    burst = np.maximum(covered(minutes, begins, lengths, stream.lognormal(0.5, 0.6, len(begins))), 0)
    base = stream.uniform(4, 60)
    load = base * (1 + 0.15 * np.sin(day_angle + phase) + burst)
    power = np.maximum(load + stream.normal(0, base * 0.01, minutes), 0)
    drain = 1 + 0.3 * burst + 0.01 * np.maximum(10 - temperature, 0)
    cycles = stream.random() + np.cumsum(drain) / (stream.uniform(15, 240) * DAY_MINUTES)
    battery = 100 - stream.uniform(75, 92) * (cycles % 1.0) + stream.normal(0, 0.03, minutes)
    return power, np.clip(battery, 0, 100)


def radio(stream, minutes, day_angle):
    """Signal strength as a walk folded into -95 to -45 dBm; a weak signal loses more packets and takes longer."""
    steps = stream.choice(np.array([-1, 0, 1]), minutes, p=[0.12, 0.76, 0.12])
    walk = np.cumsum(steps) + stream.integers(10, 40)
    rssi = -95 + np.abs(walk % 100 - 50)
    weakness = np.clip((-70 - rssi) / 25, 0, 1)
    losing = stream.random(minutes) < 0.015 + 0.06 * weakness
    loss = np.where(losing, np.minimum(stream.exponential(3, minutes) + 0.1, 100), 0.0)
    slowness = (1 + 0.5 * weakness + 0.2 * np.sin(day_angle)) * np.exp(stream.normal(0, 0.35, minutes))
    return rssi, loss, np.clip(stream.uniform(25, 120) * slowness, 1, 60_000)


def arrivals(stream, minutes):
    """The minutes of which a row exists, in the order in which the rows arrive."""
    lost = stream.random(minutes) < 0.003
    outages = np.flatnonzero(stream.random(minutes) < 0.017 / 45)
    lengths = stream.geometric(1 / 45, len(outages))
    out = covered(minutes, outages, lengths, np.ones(len(outages))) > 0.5
    present = np.flatnonzero(~(lost | out))
    late = stream.random(len(present)) < 0.001
    delays = np.where(late, stream.integers(2, 121, len(present)) + 0.5, 0.0)
    return present[np.argsort(np.arange(len(present)) + delays, kind="stable")]


def device_samples(device, days, seed, barometer):
    """All rows of one device."""
    stream = np.random.default_rng([seed, device])
    minutes = days * DAY_MINUTES
    day_angle = 2 * np.pi * np.arange(minutes) / DAY_MINUTES
    phase = stream.uniform(0, 0.6)
    times = START_MS + np.arange(minutes, dtype=np.int64) * MINUTE_MS + stream.integers(MINUTE_MS)
    temperature, humidity = climate(stream, minutes, day_angle, phase)
    power, battery = energy(stream, minutes, day_angle, phase, temperature)
    rssi, loss, latency = radio(stream, minutes, day_angle)
    drift = stream.uniform(0.5, 4) * stream.choice([-1, 1]) / YEAR_MINUTES if device % 20 == 7 else 0.0
    reading = barometer + stream.normal(0, 0.3) + drift * np.arange(minutes) + stream.normal(0, 0.02, minutes)
    order = arrivals(stream, minutes)
    columns = [
        np.full(minutes, device, np.uint32), times, rounded(temperature, 2), rounded(humidity, 1), rounded(battery, 1),
        rounded(power, 2), rssi.astype(np.int16), rounded(loss, 1), np.rint(latency).astype(np.int32), rounded(reading, 3),
    ]
    arrays = [pa.array(column[order]).cast(field.type) for column, field in zip(columns, SAMPLES)]
    return pa.table(arrays, schema=SAMPLES)


def device_attributes(devices, seed):
    """One row a device. Regions go round, so that each appears early; the cell that Q3 asks for is never empty."""
    stream = np.random.default_rng([seed, FLEET_STREAM])
    rows = []
    for device in range(devices):
        region = device % REGIONS
        model, firmware = MODELS[stream.integers(len(MODELS))], f"v{1 + stream.integers(FIRMWARES)}"
        latitude, longitude = -55 + 10 * region + stream.uniform(0, 8), stream.uniform(-120, 140)
        site = f"site-{region + 1:02d}-{stream.integers(10)}"
        if device in (2, 6):
            model, firmware = "A", "v3"
        rows.append((device, model, firmware, f"r{region + 1:02d}", site, round(latitude, 5), round(longitude, 5)))
    device_id, *texts, latitudes, longitudes = (list(column) for column in zip(*rows))
    names = ["device_id", "model", "firmware", "region", "site", "lat", "lon"]
    return pa.table([pa.array(device_id, pa.uint32()), *texts, latitudes, longitudes], names=names)


def firmware_history(attributes, days, seed):
    """Which firmware a device ran, from when to when: 30% go to the next one, each at a moment of its own in mid-year."""
    stream = np.random.default_rng([seed, FLEET_STREAM + 1])
    count = attributes.num_rows
    updated = set(stream.permutation(count)[: max(1, round(UPDATED_SHARE * count))].tolist())
    end = START_MS + days * DAY_MINUTES * MINUTE_MS
    rows = []
    for device, firmware in zip(attributes["device_id"].to_pylist(), attributes["firmware"].to_pylist()):
        moment = START_MS + int((end - START_MS) * stream.uniform(0.45, 0.55))
        if device in updated:
            rows += [(device, firmware, START_MS, moment), (device, f"v{int(firmware[1:]) + 1}", moment, end)]
        else:
            rows.append((device, firmware, START_MS, end))
    device_id, firmwares, begins, ends = (list(column) for column in zip(*rows))
    arrays = [pa.array(device_id, pa.uint32()), firmwares, pa.array(begins, pa.int64()).cast(TIME), pa.array(ends, pa.int64()).cast(TIME)]
    return pa.table(arrays, names=["device_id", "release", "valid_from", "valid_to"])


def write_samples(folder, devices, days, seed):
    """The rows of the fleet, ten devices a file; returns their number."""
    barometer, rows = reference(days * DAY_MINUTES, seed), 0
    for first in range(0, devices, DEVICES_A_FILE):
        path = folder / f"samples-{first // DEVICES_A_FILE:04d}.parquet"
        with pq.ParquetWriter(path, SAMPLES, compression="zstd") as writer:
            for device in range(first, min(first + DEVICES_A_FILE, devices)):
                table = device_samples(device, days, seed, barometer)
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
                rows += table.num_rows
    return rows


def write_workload(folder, devices, days, seed):
    """Makes the fleet in a folder, unless it is there already."""
    folder = Path(folder)
    if (folder / "workload.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    attributes = device_attributes(devices, seed)
    pq.write_table(attributes, folder / "devices.parquet", compression="zstd")
    pq.write_table(firmware_history(attributes, days, seed), folder / "firmware.parquet", compression="zstd")
    rows = write_samples(folder, devices, days, seed)
    facts = {"devices": devices, "days": days, "seed": seed, "rows": rows, "start_ms": START_MS}
    (folder / "workload.json").write_text(json.dumps(facts) + "\n")


if __name__ == "__main__":
    target, *numbers = sys.argv[1:]
    write_workload(target, *map(int, numbers))

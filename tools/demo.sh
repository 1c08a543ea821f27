#!/usr/bin/env bash
# make demo: a fleet-year generated, imported, its trend by region and by firmware, an excerpt of the dump, sizes and
# times; then the same trend over real telemetry, where it is present.
set -eu
bin=${BIN:?folder of the release build} dir=${DEMO_DIR:?folder for what the demo makes}
data=${FLEETLOG_DATA:-../shared/data}
fleetlog=$bin/fleetlog
mkdir -p "$dir"
say() { printf '\n== %s\n' "$*"; }
run() { printf '$ fleetlog %s\n' "$*"; "$fleetlog" "$@"; }

say "A fleet-year: 100 devices, a row a minute, 8 metrics"
if [ ! -e "$dir/fleet/truth.json" ]; then
  "$bin/fleetgen" --devices 100 --days 365 --seed 2025 --out "$dir/fleet"
fi
rm -rf "$dir/year.fleet"
cd "$dir"
run init year.fleet
time run import samples year.fleet fleet/samples.parquet --device device --time time

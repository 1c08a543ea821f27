#!/usr/bin/env bash
# make demo: a fleet-year generated, imported, its trend by region and by firmware, an excerpt of the dump, sizes and
# times; then the same trend over real telemetry, where it is present. DEMO_DEVICES and DEMO_DAYS make another fleet.
set -euo pipefail
bin=${BIN:?folder of the release build} dir=${DEMO_DIR:?folder for what the demo makes}
devices=${DEMO_DEVICES:-100} days=${DEMO_DAYS:-365}
root=$(cd "$(dirname "$0")/.." && pwd)
data=$(cd "$root" && cd "${FLEETLOG_DATA:-../shared/data}" 2>/dev/null && pwd || true)
# shellcheck source=tools/fleet.sh
. "$root/tools/fleet.sh"
say() { printf '\n== %s\n' "$*"; }
# A word as a shell reads it back.
quoted() {
  case $1 in
    '' | *[!A-Za-z0-9_./,:=@%+-]*) printf "'%s'" "${1//\'/\'\\\'\'}" ;;
    *) printf %s "$1" ;;
  esac
}
run() {
  local word format=(--format table)
  printf '$ fleetlog'
  for word in "$@"; do printf ' %s' "$(quoted "$word")"; done
  echo
  # What prints no table has no format.
  case $1 in init | dump) format=() ;; esac
  "$bin/fleetlog" "$@" ${format[@]+"${format[@]}"} --quiet
}
# timed SUBJECT COMMAND...: runs it and says how long that took.
timed() {
  local TIMEFORMAT="   ($1 took %R s)"
  shift
  time "$@"
}
# The first lines, read to the end: `head` would end the pipe, which counts as a failure.
first() { sed -n "1,$1p"; }
# Long lines end after a whole part; parts have two blanks between them.
shorter() { sed -E '/^.{111}/s/^(.{1,106})  .*/\1  .../'; }
mkdir -p "$dir" && cd "$dir"

say "A fleet: $devices devices, $days days, a row a minute, 8 metrics, with its ground truth"
timed 'making the fleet, where it is not there yet,' make_fleet fleet --devices "$devices" --days "$days" --seed 2025
rm -rf year.fleet machines.fleet

units=temperature_c=degC,humidity_percent=%,battery_v=V,power_w=W,rssi_dbm=dBm,latency_ms=ms,pressure_hpa=hPa,vibration_mm_s=mm/s
labels=component,cause,stage,from,to,status,code,action,metric
say "Into a store: samples, devices, the history of their firmware, events"
run init year.fleet
timed 'the import of samples' run import samples year.fleet "$fleet/samples.parquet" --device device --time time --unit "$units"
run import devices year.fleet "$fleet/devices.csv" --device device
run import devices year.fleet "$fleet/attributes.csv" --device device --from-column time --attribute value=firmware
run import events year.fleet "$fleet/events.csv" --device device --time time --kind-column kind --label "$labels"

say "What it holds (a few devices have wrong clocks: hence 1970)"
run info year.fleet

say "The year's trend of temperature by region, of power by firmware as it was at the time"
timed 'the trend by region' run trend year.fleet --metric temperature_c --every 1mo --by region --from 2025-01-01 --to 2026-01-01
timed 'the trend by firmware' run trend year.fleet --metric power_w --every 1w --by firmware --from 2025-01-01 --to 2026-01-01

say "Monthly mean, minimum and maximum by region: from statistics, without reading a value"
run query year.fleet --metric temperature_c --aggregate mean,min,max --every 1mo --by region --from 2025-01-01 --to 2026-01-01 --limit 12 --explain

say "An excerpt of the dump"
run dump year.fleet --manifest --index | shorter | first 40

say "Failures of the year"
run events year.fleet --kind failure | first 8

machines=${data:+$data/azure-pdm}
if [ -n "$machines" ] && [ -e "$machines/PdM_machines.csv" ]; then
  say "Real telemetry: machines of azure-pdm, that nobody here wrote"
  run init machines.fleet
  run import samples machines.fleet "$machines"/PdM_telemetry*.csv --device machineID --time datetime --time-format '%Y-%m-%d %H:%M:%S' --unit volt=V
  run import devices machines.fleet "$machines/PdM_machines.csv" --device machineID
  run trend machines.fleet --metric vibration --every 1d --by model
  run query machines.fleet --metric volt,pressure --aggregate mean,p95 --by model
else
  say "No real telemetry is here (FLEETLOG_DATA names its folder): the same over one device's year"
  run trend year.fleet --metric battery_v --every 1d --by device --where device=dev-000001 --from 2025-01-01
fi
say "Done: the stores lie in $dir"

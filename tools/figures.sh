#!/usr/bin/env bash
# make figures: measures what the README states, on this machine, in one run. Prints a table; exits 1 where a figure is missed.
set -eu
bin=${BIN:?folder of the release build} dir=${FIGURES_DIR:-${DEMO_DIR:-$HOME/.cache/fleetlog/demo}}
fleetlog=$bin/fleetlog
mkdir -p "$dir" && cd "$dir"
[ -e fleet/truth.json ] || { rm -rf fleet; "$bin/fleetgen" --devices 100 --days 365 --seed 2025 --out fleet >&2; }
missed=0

# Runs a command; sets seconds and the peak of RssAnon in MiB, read from /proc while it runs.
measure() {
  local started ended rss
  peak=0
  started=$(date +%s%N)
  "$@" >out.csv 2>err.txt &
  local pid=$!
  while [ -e /proc/$pid/status ]; do
    rss=$(awk '/^RssAnon/ {print $2}' /proc/$pid/status 2>/dev/null || true)
    [ -n "$rss" ] && [ "$rss" -gt "$peak" ] && peak=$rss
    read -r -t 0.01 <> <(:) || true
  done
  wait $pid || { cat err.txt >&2; exit 1; }
  ended=$(date +%s%N)
  seconds=$(awk -v ns=$((ended - started)) 'BEGIN {printf "%.2f", ns / 1e9}')
  peak=$((peak / 1024))
}
# figure NAME VALUE WORD LIMIT
figure() {
  local held
  held=$(awk -v value="$2" -v limit="$4" -v word="$3" 'BEGIN {print (word == "least" ? value >= limit : value <= limit) ? "held" : "MISSED"}')
  [ $held = held ] || missed=1
  printf '%-58s %14s   at %-5s %-9s %s\n' "$1" "$2" "$3" "$4" "$held"
}
explained() { grep -o "\"$1\":[0-9.e+-]*" err.txt | tail -1 | cut -d: -f2; }

echo "machine: $(nproc) cores, $(awk -F: '/model name/ {print $2; exit}' /proc/cpuinfo | xargs); fleet-year: 100 devices, 8 metrics, a row a minute"
# Sorted Parquet on one core: the median of three.
rates=""
for _ in 1 2 3; do
  rm -rf figures.fleet
  "$fleetlog" init figures.fleet --quiet
  measure taskset -c 0 "$fleetlog" import samples figures.fleet fleet/samples.parquet --device device --time time --threads 1 --format csv
  rows=$(tail -1 out.csv | cut -d, -f1)
  rates="$rates $(awk -v rows="$rows" -v seconds="$seconds" 'BEGIN {printf "%d", rows / seconds}')"
  import_peak=$peak
done
rate=$(tr ' ' '\n' <<<"$rates" | grep . | sort -n | sed -n 2p)
figure "import of sorted Parquet, readings/s on one core" "$rate" least 1000000
figure "  peak of RssAnon, MiB" "$import_peak" most 320
"$fleetlog" import devices figures.fleet fleet/devices.csv --device device --quiet >/dev/null
"$fleetlog" import devices figures.fleet fleet/attributes.csv --device device --from-column time --attribute value=firmware --quiet >/dev/null
bytes=$("$fleetlog" info figures.fleet --format json | grep -o '"bytes_per_value":[0-9.]*' | tail -1 | cut -d: -f2)
all=$("$fleetlog" info figures.fleet --format csv | awk -F, '$1 == "bytes_per_value" {print $2}')
figure "fleet-year, bytes a value with everything on the disk" "$(printf %.3f "$all")" most 1.2

query() { # NAME LIMIT_MS WORDS...
  local name=$1 limit=$2
  shift 2
  measure "$fleetlog" "$@" --explain --repeat 5 --format csv
  figure "$name, ms (median of 5)" "$(printf %.2f "$(explained elapsed_ms)")" most "$limit"
  figure "  peak of RssAnon, MiB" "$peak" most 320
}
year="--from 2025-01-01 --to 2026-01-01"
# shellcheck disable=SC2086
{
  query "monthly mean, min, max by region" 1000 query figures.fleet --metric temperature_c --aggregate mean,min,max --every 1mo --by region $year
  figure "open of the sealed fleet-year, ms" "$(printf %.2f "$(explained open_ms)")" most 100
  query "the same without statistics" 30000 query figures.fleet --metric temperature_c --aggregate mean,min,max --every 1mo --by region $year --no-statistics
  query "p95 and stddev by region and firmware" 30000 query figures.fleet --metric temperature_c --aggregate p95,stddev --by region,firmware $year
  query "4 metrics, daily, by device, 7 aggregates" 60000 query figures.fleet --metric temperature_c,power_w,rssi_dbm,battery_v --aggregate mean,min,max,stddev,first,last,slope --every 1d --by device $year
  query "weekly trend by firmware" 30000 trend figures.fleet --metric power_w --every 1w --by firmware $year
}
rm -f out.csv err.txt
exit $missed

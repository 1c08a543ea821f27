#!/usr/bin/env bash
# make figures: measures what the README states, on this machine, in one run. Prints a table; exits 1 where a figure is missed.
set -euo pipefail
bin=${BIN:?folder of the release build} dir=${FIGURES_DIR:-${DEMO_DIR:-$HOME/.cache/fleetlog/demo}}
fleetlog=$bin/fleetlog
# Other sizes are for a trial of this script: the README's figures are those of a fleet-year.
devices=${FIGURES_DEVICES:-100} days=${FIGURES_DAYS:-365} shuffled_days=${FIGURES_SHUFFLED_DAYS:-30}
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/fleet.sh
. "$root/tools/fleet.sh"
mkdir -p "$dir" && cd "$dir"
make_fleet fleet --devices "$devices" --days "$days" --seed 2025 >&2
year_fleet=$fleet
missed=0
# Nothing ever comes from it: to wait for it is to sleep without a process.
exec {never}<> <(:)

# Runs a command; sets seconds and the peak of RssAnon in MiB, read from /proc every millisecond while it runs. A command of
# which no reading was taken fails: nothing is known of it.
measure() {
  local started ended key value rest readings=0
  peak=0
  started=$(date +%s%N)
  "$@" >out.csv 2>err.txt &
  local pid=$!
  while [ -e /proc/$pid/status ]; do
    while read -r key value rest; do
      [ "$key" = RssAnon: ] || continue
      readings=$((readings + 1))
      [ "$value" -le "$peak" ] || peak=$value
    done 2>/dev/null </proc/$pid/status || true
    read -r -t 0.001 -u "$never" || true
  done 2>/dev/null
  wait $pid || { echo "exit code $?: $*" >&2; cat err.txt out.csv >&2; exit 1; }
  ended=$(date +%s%N)
  seconds=$(awk -v ns=$((ended - started)) 'BEGIN {printf "%.2f", ns / 1e9}')
  [ "$readings" -gt 0 ] && [ "$peak" -gt 0 ] || { echo "no reading of memory was taken of: $*" >&2; exit 1; }
  peak=$(((peak + 1023) / 1024))
}
# figure NAME VALUE WORD LIMIT
figure() {
  local held
  held=$(awk -v value="$2" -v limit="$4" -v word="$3" 'BEGIN {print (word == "least" ? value >= limit : value <= limit) ? "held" : "MISSED"}')
  [ $held = held ] || missed=1
  printf '%-72s %14s   at %-5s %-9s %s\n' "$1" "$2" "$3" "$4" "$held"
}
explained() { grep -o "\"$1\":[0-9.e+-]*" err.txt | tail -1 | cut -d: -f2; }

echo "machine: $(nproc) cores, $(awk -F: '/model name/ {print $2; exit}' /proc/cpuinfo | xargs); fleet: $devices devices, $days days, 8 metrics, a row a minute"
# Sorted Parquet on one core: the median of three.
rates=""
for _ in 1 2 3; do
  rm -rf figures.fleet
  "$fleetlog" init figures.fleet --quiet
  measure taskset -c 0 "$fleetlog" import samples figures.fleet "$year_fleet/samples.parquet" --device device --time time --threads 1 --format csv
  rows=$(tail -1 out.csv | cut -d, -f1)
  rates="$rates $(awk -v rows="$rows" -v seconds="$seconds" 'BEGIN {printf "%d", rows / seconds}')"
  import_peak=$peak
done
rate=$(tr ' ' '\n' <<<"$rates" | grep . | sort -n | sed -n 2p)
figure "import of sorted Parquet, readings/s on one core" "$rate" least 1000000
figure "  peak of RssAnon, MiB" "$import_peak" most 320
"$fleetlog" import devices figures.fleet "$year_fleet/devices.csv" --device device --quiet >/dev/null
"$fleetlog" import devices figures.fleet "$year_fleet/attributes.csv" --device device --from-column time --attribute value=firmware --quiet >/dev/null
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

# held NAME WORDS...: the peak of any verb.
held() {
  local name=$1
  shift
  measure "$fleetlog" "$@" --quiet
  figure "peak of RssAnon, MiB: $name (${seconds} s)" "$peak" most 320
}
held "import events" import events figures.fleet "$year_fleet/events.csv" --device device --time time --kind-column kind --label component --label cause
held "events" events figures.fleet
held "a device's page" device figures.fleet dev-000001
held "samples of a device" samples figures.fleet --device dev-000001
held "latest" latest figures.fleet
held "gaps" gaps figures.fleet --longer-than 5m
held "outliers" outliers figures.fleet --metric power_w --sigma 4
held "compact --cold" compact figures.fleet --cold

# Files out of order: through the sorter.
make_fleet months --devices "$devices" --days "$shuffled_days" --seed 2026 --format csv >&2
(sed -n 1p "$fleet/samples.csv" && sed 1d "$fleet/samples.csv" | shuf --random-source="$fleet/samples.csv") >shuffled.csv
gzip -1 -c shuffled.csv >shuffled.csv.gz
awk -F, 'NR > 1 {printf "{\"device\":\"%s\",\"time\":\"%s\",\"temperature_c\":%s,\"power_w\":%s}\n", $1, $2, $3, $6}' shuffled.csv >shuffled.jsonl
for file in shuffled.csv shuffled.csv.gz shuffled.jsonl; do
  rm -rf shuffled.fleet
  "$fleetlog" init shuffled.fleet --quiet
  held "import of $file, $(($(wc -l <shuffled.csv) - 1)) rows" import samples shuffled.fleet "$file" --device device --time time
done
rm -rf shuffled.fleet shuffled.csv shuffled.csv.gz shuffled.jsonl
rm -f out.csv err.txt
exit $missed

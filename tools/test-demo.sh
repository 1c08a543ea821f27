#!/usr/bin/env bash
# The README's first command on a small fleet: every step of the demo runs, prints what it is for, and a failing step fails it.
# BIN names the folder of built binaries.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD bin=$(cd "${BIN:?folder of built binaries}" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "test-demo: $*" >&2; exit 1; }
demo() { DEMO_DIR=$folder/demo DEMO_DEVICES=16 DEMO_DAYS=30 FLEETLOG_DATA=${data:-$folder/none} BIN=$1 "$root/tools/demo.sh"; }

says=$(demo "$bin" 2>&1) || fail "it failed: $says"
# The table that follows a command.
table() { awk -v start="\$ fleetlog $1" 'index($0, start) == 1 {on = 1; next} /^\$|^==/ {on = 0} on' <<<"$says"; }
expect() { grep -Eq -- "$2" <<<"$(table "$1")" || fail "'$1' prints no '$2': $(table "$1")"; }
expect "import samples" "rows_read.*stored"
expect "import devices" "rows_read.*stored"
expect "import events" "rows_read.*stored"
rows=$(grep -Eo '^[0-9]+ rows' <<<"$says" | head -c -6)
[ "$rows" -gt 300000 ] || fail "$rows rows were generated"
expect "import samples" "\b$rows\b.*\b$rows\b"
expect "info" "samples.*\b$rows\b"
expect "trend year.fleet --metric temperature_c" "slope_per_day \[degC/d\]"
expect "trend year.fleet --metric power_w" "1\.[0-9]+\.[0-9]+ "
expect "query year.fleet --metric temperature_c" "2025-01-01T00:00:00Z"
expect "dump" "manifest"
expect "events" "failure"
expect "trend year.fleet --metric battery_v" "dev-000001"
"$bin/fleetlog" dump "$folder/demo/year.fleet" --manifest >"$folder/manifest"
long=$(awk 'length > 111' "$folder/manifest" | head -1)
[ -n "$long" ] || fail "no line of the manifest is long"
short=$(table dump | grep -F '  ...')
[ -n "$short" ] && [ "${long#"${short%  ...}"  }" != "$long" ] || fail "'$long' does not end after a whole part: '$short'"
[ "$(grep -Ec '^   \(.* took [0-9.]+ s\)$' <<<"$says")" -eq 4 ] || fail "it does not say what took how long: $says"
! grep -Eq '^   \([0-9]' <<<"$says" || fail "a time says not of what: $says"
grep -q "^== Done" <<<"$says" || fail "it did not end: $says"

# Real telemetry, by a path that begins at the checkout, from wherever the demo is started.
mkdir "$folder/data" "$folder/data/azure-pdm"
{
  echo datetime,machineID,volt,rotate,pressure,vibration
  for hour in 00 01 02 03 04 05; do echo "2015-01-01 $hour:00:00,1,17$hour.5,40$hour,100,4$hour"; done
} >"$folder/data/azure-pdm/PdM_telemetry.csv"
printf 'machineID,model,age\n1,model3,18\n' >"$folder/data/azure-pdm/PdM_machines.csv"
again=$(data=$(realpath --relative-to=. "$folder/data") && cd / && demo "$bin" 2>&1) || fail "it failed: $again"
grep -qF -- "--time-format '%Y-%m-%d %H:%M:%S' --unit volt=V" <<<"$again" || fail "a command can not be pasted: $again"
says=$again expect "query machines.fleet --metric volt,pressure" "model3 +1703 +1705\.25 +100 +100"

# The fleet of one fleetgen and its options is kept; of others it is made again.
! grep -Eq '^[0-9]+ rows' <<<"$again" || fail "the fleet was made twice"
[ "$(ls "$folder/demo" | grep -c '^fleet-.*devices16-days30-seed2025$')" -eq 1 ] || fail "the folder's name: $(ls "$folder/demo")"

# A step that fails, also in a pipe, fails the demo.
mkdir "$folder/bin"
cp "$bin/fleetgen" "$folder/bin/"
for verb in dump events trend; do
  printf '#!/bin/sh\n[ "$1" != %s ] || { echo "broken on purpose" >&2; exit 1; }\nexec "%s" "$@"\n' $verb "$bin/fleetlog" >"$folder/bin/fleetlog"
  chmod +x "$folder/bin/fleetlog"
  ! demo "$folder/bin" >/dev/null 2>&1 || fail "a failing '$verb' is hidden"
done
echo "test-demo: ok"

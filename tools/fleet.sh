# Sourced by the demo and the figures: fleets that are made once.
# shellcheck shell=bash disable=SC2154

# make_fleet LABEL OPTIONS...: sets `fleet` to a folder in this one that holds the fleet of these options, made by this very
# fleetgen. The folder's name has its version, a checksum of its binary and the options: what another one made is removed.
make_fleet() {
  local label=$1 version sum
  shift
  version=$("$bin/fleetgen" --version)
  sum=$(cksum <"$bin/fleetgen")
  fleet=$label-${version##* }-${sum%% *}$(printf '%s' "${*/#--/-}" | tr -d ' ' | tr -c 'A-Za-z0-9\n' -)
  # truth.json is written last: without it a fleet is not whole.
  if [ ! -e "$fleet/truth.json" ]; then
    rm -rf "$label"-[0-9]*
    "$bin/fleetgen" "$@" --out "$fleet"
  fi
}

#!/usr/bin/env bash
# The main job end to end, as ./dev demo shows it: a daemon runs a planner's recorded waves, swaps weights only when
# the planner's window allows it, advises the planner, and is seen by Prometheus. Fails if any of it is not so.
set -euo pipefail

if (($# != 2)); then
  echo "usage: ${0##*/} BWRTD BWRTCTL" >&2
  exit 2
fi
readonly bwrtd=$1 bwrtctl=$2
plan=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/tests/data/bcache_waves.json
dir=$(mktemp -d /tmp/bwrt-demo-XXXXXX)  # Short, as names of Unix sockets are.
readonly plan dir
daemon=

clean_up() {
  [[ -z $daemon ]] || kill -KILL "$daemon" 2>/dev/null || true
  rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
  printf 'demo: %s\n' "$*" >&2
  if [[ -s $dir/log ]]; then
    echo "demo: the daemon's log ends:" >&2
    tail -n 20 "$dir/log" >&2
  fi
  exit 1
}

heading() { printf '\n=== %s\n' "$*"; }

# Shows a command as a user would type it and runs it. What it prints is in $output; returns its status.
ctl() {
  local status=0
  printf '$ bwrtctl %s\n' "${*/#$plan/tests/data/bcache_waves.json}"
  output=$("$bwrtctl" --server="unix:$dir/bwrt.sock" "$@") || status=$?
  return "$status"
}

# The value of a key where it first comes in a JSON object.
field() { # KEY JSON
  [[ $2 =~ \"$1\":\"?([^,\"\}]+) ]] || fail "no \"$1\" in: $2"
  printf '%s' "${BASH_REMATCH[1]}"
}

lines() { # REGEX: those of $output that match, indented
  grep -E "$1" <<<"$output" | sed 's/^/  /' || fail "no line like \"$1\" in: $output"
}

# Debian comes without curl.
scrape() {
  local connection
  exec {connection}<>"/dev/tcp/${metrics%:*}/${metrics##*:}"
  printf 'GET /metrics HTTP/1.0\r\n\r\n' >&"$connection"
  cat <&"$connection"
  exec {connection}>&-
}

heading "A daemon starts, and says where it serves"
"$bwrtd" --listen="unix:$dir/bwrt.sock" --metrics=127.0.0.1:0 --ready-file="$dir/ready" 2>"$dir/log" &
daemon=$!
for ((i = 0; i < 3000; ++i)); do
  if [[ -s $dir/ready ]] || ! kill -0 "$daemon" 2>/dev/null; then break; fi
  sleep 0.02
done
[[ -s $dir/ready ]] || fail "the daemon does not start"
cat "$dir/ready"
metrics=$(field metrics "$(<"$dir/ready")")

heading "A publisher gives the model its first weights"
ctl --json weights set default --tensor "layer0.w:f32:512x256=random:1" --label step-1 || fail "not published"
first=$(field version "$output")
echo "  version $first, called step-1"

heading "A planner's recorded waves run; each tile is compared with a double-precision reference"
verified=0
declare -A worst
for dtype in f32 bf16; do
  ctl --json replay "$plan" --verify --dtype "$dtype" || fail "the replay failed: $output"
  waves=$(field waves "$output")
  [[ $(field verified "$output") == "$waves" && $(field failed "$output") == 0 ]] || fail "not all verified: $output"
  worst[$dtype]=$(LC_ALL=C printf '%.1e' "$(field max_rel_error "$output")")
  LC_ALL=C printf '  %d waves with %d tiles in %.2f s: all verified, worst tile %s\n' "$waves" \
    "$(field tiles "$output")" "$(field seconds "$output")" "${worst[$dtype]}"
  verified=$((verified + waves))
done

heading "A wave leaves its swap window [0, 1) behind: new weights are refused"
ctl submit --tensor layer0.w --swap-end 1 || fail "the wave did not run"
lines '^tokens'
refused=0
publish=(weights set default --tensor "layer0.w:f32:512x256=random:2" --label step-2)
ctl "${publish[@]}" 2>"$dir/refusal" && fail "the swap was accepted: $output"
sed 's/^/  /' "$dir/refusal"
grep -q 'SWAP_WINDOW_CLOSED.*window \[0,1), clock \[3,3\]' "$dir/refusal" || fail "the refusal lacks its numbers"
refused=$((refused + 1))

heading "A wave whose window is open follows: now the same weights are accepted"
ctl submit --tensor layer0.w --tensor-seed 1 --verify || fail "the wave before the swap is wrong: $output"
lines '^(version|tokens|verified)'
before=$output
accepted=0
ctl --json "${publish[@]}" || fail "the swap was refused"
previous=$(field previous_version "$output") version=$(field version "$output")
[[ $previous == "$first" ]] || fail "the swap replaced version $previous"
accepted=$((accepted + 1))
echo "  version $previous -> $version, called step-2"
ctl submit --tensor layer0.w --tensor-seed 2 --verify || fail "the wave after the swap is wrong: $output"
lines '^(version|verified)'
[[ $before == "version $first 'step-1'"* ]] || fail "the wave before the swap ran with another version"
[[ $output == "version $version 'step-2'"* ]] || fail "the wave after the swap ran with another version"

heading "What the daemon tells the planner"
ctl sample || fail "no sample"
lines .
grep -q '^wgmma_active ' <<<"$output" || fail "the sample has no readings"
grep -q '^advice: ' <<<"$output" || echo "  advice: none, as every reading is in its good range"

heading "What Prometheus reads at http://$metrics/metrics"
scraped=$(scrape)
for series in bwrt_waves_total bwrt_model_version bwrt_swap_total bwrt_wgmma_active_ratio bwrt_l2_hit_ratio; do
  grep "^$series{" <<<"$scraped" | sed 's/^/  /' || fail "$series is missing"
done
grep -q "^bwrt_waves_total{.*outcome=\"ok\".*} $((verified + 3))\$" <<<"${scraped//$'\r'/}" || fail "waves are miscounted"

heading "SIGTERM: the daemon drains"
kill -TERM "$daemon"
status=0
wait "$daemon" || status=$?
daemon=
((status == 0)) || fail "the daemon exited $status"
grep -q drained "$dir/log" || fail "the daemon did not drain"
sed -n 's/^.*"message":"\(draining\|drained\)".*$/  \1/p' "$dir/log"

printf '\ndemo: %d waves verified (worst tile f32 %s, bf16 %s), %d swap refused, %d accepted (version %s -> %s), ' \
  "$verified" "${worst[f32]}" "${worst[bf16]}" "$refused" "$accepted" "$previous" "$version"
echo "daemon exited $status"

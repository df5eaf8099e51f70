#!/usr/bin/env bash
# What all counters cost: the same program with them and without, in turns, so that a busy machine troubles both alike. One
# program, told by its environment: two would differ in how the compiler lays them out, which is worth up to a sixth.
#
# As root it runs before all other work on the machine (SCHED_FIFO); `MPRUN_BENCH_POLITE=1` leaves that out.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release --bin mprun --features uncounted
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "${CARGO_TARGET_DIR:-target}/release/mprun" "$folder"

before=()
if [ "$(id -u)" = 0 ] && [ -z "${MPRUN_BENCH_POLITE:-}" ]; then
  before=(chrt --fifo 1)
fi
"${before[@]}" python3 benches/counters.py "$folder/mprun" "$@"

#!/usr/bin/env bash
# What all counters cost: the same program with them and without, in turns, so that a busy machine troubles both alike.
#
# As root it runs before all other work on the machine (SCHED_FIFO); `MPRUN_BENCH_POLITE=1` leaves that out.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
for features in uncounted ''; do
  cargo build --quiet --release --bin mprun --features "$features"
  cp "${CARGO_TARGET_DIR:-target}/release/mprun" "$programs/${features:-counted}"
done

before=()
if [ "$(id -u)" = 0 ] && [ -z "${MPRUN_BENCH_POLITE:-}" ]; then
  before=(chrt --fifo 1)
fi
"${before[@]}" python3 benches/counters.py "$programs/counted" "$programs/uncounted" "$@"

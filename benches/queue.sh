#!/usr/bin/env bash
# The queue beside its peers, in one table with the goals; faster-fifo comes from PyPI into a folder of the cache.
# Arguments name parts of the table (small, tight, large, latency, memory, takeover, program, processor).
#
# As root it runs before all other work on the machine (SCHED_FIFO), so that a busy machine spoils nothing; `MPRUN_BENCH_POLITE=1`
# leaves that out.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${XDG_CACHE_HOME:-$HOME/.cache}/mprun-tools
if [ ! -x "$tools/python/bin/python" ]; then
  python3 -m venv "$tools/python"
  "$tools/python/bin/pip" --quiet install faster-fifo || echo "queue.sh: no faster-fifo: its row is left out" >&2
fi
export PYTHON=$tools/python/bin/python

before=()
if [ "$(id -u)" = 0 ] && [ -z "${MPRUN_BENCH_POLITE:-}" ]; then
  before=(chrt --fifo 1)
fi
built=$(cargo bench --locked --bench queue --no-run 2>&1 | tee /dev/stderr)
bench=$(sed -n 's|.*Executable benches/queue.rs (\(.*\))|\1|p' <<<"$built")
uptime
for part in "${@:-}"; do
  "${before[@]}" "$bench" ${part:+"$part"}
done
uptime

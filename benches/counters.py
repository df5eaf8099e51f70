"""Runs a program on the same pipelines with its counters and without, in turns; see counters.sh."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

COUNT = "[stages.number]\nuse = 'count'\nwith = {{ to = {items} }}\noutput = 'a'\n"
PIPELINES = {
    "count -> discard": (COUNT + "[stages.gone]\nuse = 'discard'\ninput = 'a'\n", 5_000_000),
    "count -> filter -> discard": (
        COUNT
        + "[stages.pass]\nuse = 'filter'\nwith = {{ matches = '.' }}\ninput = 'a'\noutput = 'b'\n"
        "[stages.gone]\nuse = 'discard'\ninput = 'b'\n",
        3_000_000,
    ),
    "count -> cat (reply) -> discard": (
        COUNT
        + "[stages.cat]\ncommand = ['cat']\nmode = 'reply'\ninput = 'a'\noutput = 'b'\n"
        "[stages.gone]\nuse = 'discard'\ninput = 'b'\n",
        2_000_000,
    ),
}
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 41


def seconds(counts, text, items):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "p.toml")
        with open(path, "w") as file:
            file.write(text.format(items=items))
        environment = dict(os.environ, XDG_RUNTIME_DIR=folder, XDG_STATE_HOME=folder)
        if not counts:
            environment["MPRUN_UNCOUNTED"] = "1"
        start = time.monotonic()
        subprocess.run([sys.argv[1], "-q", path], check=True, env=environment, stdout=subprocess.DEVNULL)
        return time.monotonic() - start


def ratios(first, second, text, items):
    """How much longer the first takes than the second, of each pair of runs."""
    found = []
    for round in range(ROUNDS + 1):
        # Whoever runs first has it neither better nor worse: they take turns. The first round warms up.
        took = {}
        for side in (0, 1) if round % 2 else (1, 0):
            took[side] = seconds((first, second)[side], text, items)
        found.append(took[0] / took[1])
    return found[1:]


def shown(found):
    """The median, and the range that holds the true one with 95 % probability (by ranks: no shape is assumed)."""
    found, reach = sorted(found), int(0.98 * len(found) ** 0.5) + 1
    middle = len(found) // 2
    least, most = found[max(middle - reach, 0)], found[min(middle + reach, len(found) - 1)]
    cost = [f"{(value - 1) * 100:.1f}" for value in (statistics.median(found), least, most)]
    return f"{cost[0]} % ({cost[1]} to {cost[2]})"


print(f"median of {ROUNDS} pairs; goal: at most 2 %")
print(f"{'pipeline':<34} {'the counters cost':>24} {'nothing costs':>24}", flush=True)
for name, (text, items) in PIPELINES.items():
    cost = ratios(True, False, text, items)
    nothing = ratios(False, False, text, items)
    print(f"{name:<34} {shown(cost):>24} {shown(nothing):>24}", flush=True)

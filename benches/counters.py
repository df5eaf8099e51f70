"""Runs two programs on the same pipelines in turns; see counters.sh."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

COUNT = "[stages.number]\nuse = 'count'\nwith = {{ to = {items} }}\noutput = 'a'\n"
PIPELINES = {
    "count -> discard": (COUNT + "[stages.gone]\nuse = 'discard'\ninput = 'a'\n", 12_000_000),
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
        600_000,
    ),
}
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 11


def seconds(program, text, items):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "p.toml")
        with open(path, "w") as file:
            file.write(text.format(items=items))
        environment = dict(os.environ, XDG_RUNTIME_DIR=folder, XDG_STATE_HOME=folder)
        start = time.monotonic()
        subprocess.run([program, "-q", path], check=True, env=environment, stdout=subprocess.DEVNULL)
        return time.monotonic() - start


print(f"{'pipeline':<34} {'with':>12} {'without':>12} {'cost':>7}   (goal: at most 2 %; median of {ROUNDS} pairs)")
for name, (text, items) in PIPELINES.items():
    pairs = []
    for round in range(ROUNDS + 1):
        # Whoever runs first has it neither better nor worse: they take turns. The first round warms up.
        order = sys.argv[1:3] if round % 2 else sys.argv[2:0:-1]
        took = {program: seconds(program, text, items) for program in order}
        pairs.append((took[sys.argv[1]], took[sys.argv[2]]))
    pairs = pairs[1:]
    cost = statistics.median(with_ / without - 1 for with_, without in pairs)
    rates = [items / statistics.median(side) / 1e6 for side in zip(*pairs)]
    print(f"{name:<34} {rates[0]:>8.2f} M/s {rates[1]:>8.2f} M/s {cost * 100:>6.1f} %", flush=True)

#!/usr/bin/env python3
"""One random life of a log folder, read by mprun, `tail -F` (by inotify, and by looking every 0.1 s) and rsyslog's imfile
at the same time.

    benches/follow.py MPRUN [SEED [STEPS [PAUSE_MS [SWITCHES]]]]

SWITCHES: of 100 steps so many switch the link to the folder. Prints how many lines each reader lost, doubled and tore, and of
how many lost ones mprun's log says file and byte. Wants `tail` and `rsyslogd`; no system service is touched.
"""
import collections
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

mprun = os.path.abspath(sys.argv[1])
given = [int(argument) for argument in sys.argv[2:]]
seed, steps, pause, switches = given + [1, 1000, 40, 2][len(given):]
dice = random.Random(seed)
home = tempfile.mkdtemp(prefix="follow-")
logs = f"{home}/logs"
os.makedirs(f"{logs}/v0")
os.symlink("v0", f"{logs}/cur")

with open(f"{home}/mprun.toml", "w") as file:
    file.write(f"""[stages.read]
use = "lines"
with = {{ path = "{logs}/cur/*.log", follow = true }}
output = "q"
[stages.write]
use = "file"
with = {{ path = "{home}/mprun.out" }}
input = "q"
""")
os.mkdir(f"{home}/rsyslog")
with open(f"{home}/rsyslog.conf", "w") as file:
    file.write(f"""global(workDirectory="{home}/rsyslog" maxMessageSize="64k")
module(load="imfile" mode="inotify")
template(name="raw" type="string" string="%msg%\\n")
input(type="imfile" File="{logs}/cur/*.log" Tag="x" reopenOnTruncate="on")
action(type="omfile" file="{home}/rsyslog.out" template="raw")
""")
names = [f"{name}.log" for name in "abc"]
env = dict(os.environ, XDG_STATE_HOME=f"{home}/state", XDG_RUNTIME_DIR=home)


def start(name, *command):
    """Those that write no file of their own write to standard output."""
    err = open(f"{home}/{name}.err", "wb")
    out = open(f"{home}/{name}.out", "wb") if command[0] == "tail" else subprocess.DEVNULL
    return subprocess.Popen(command, stdout=out, stderr=err, env=env)


tail = ["-q", "-n", "+1", "-F", *(f"{logs}/cur/{name}" for name in names)]
readers = {
    "mprun": start("mprun", mprun, "run", f"{home}/mprun.toml", "--no-watch"),
    "tail": start("tail", "tail", *tail),
    "looking": start("looking", "tail", "---disable-inotify", "-s", "0.1", *tail),
    "imfile": start("rsyslog", "rsyslogd", "-n", "-f", f"{home}/rsyslog.conf", "-i", f"{home}/rsyslog.pid"),
}
time.sleep(3)

# Each line with its file's name and the byte at which it ends.
written, halves, done = {}, [], collections.Counter()
version, late = 0, []


class Writer:
    def __init__(self, path):
        self.file, self.rest, self.text = open(path, "ab", buffering=0), "", ""
        self.name = os.path.basename(path).removesuffix(".new")

    def write(self, half=False):
        if not self.rest:
            self.text = self.rest = f"{dice.randrange(10**13):013}-" + "x" * dice.randrange(200)
        at = len(self.rest) // 2 if half else len(self.rest)
        self.file.write(self.rest[:at].encode() + (b"" if half else b"\n"))
        self.rest = self.rest[at:]
        if not half:
            written[self.text] = (self.name, os.fstat(self.file.fileno()).st_size)
            self.rest = ""

    def close(self):
        if self.rest:
            halves.append(self.text[: -len(self.rest)])
        self.file.close()


writers = {}


def retire(writer):
    """It writes on for a while under the old name, as after `logrotate`."""
    late.append(writer)
    if len(late) > 4:
        late.pop(0).close()


for step in range(steps):
    name = dice.choice(names)
    path = f"{logs}/v{version}/{name}"
    if name not in writers:
        writers[name] = Writer(path)
    writer = writers[name]
    what = dice.choices(
        ["append", "half", "late", "rename", "copytruncate", "delete", "replace", "switch"], [50, 10, 15, 8, 4, 3, 4, switches]
    )[0]
    done[what] += 1
    if what == "append":
        for _ in range(dice.randrange(1, 6)):
            writer.write()
    elif what == "half" and not writer.rest:
        writer.write(half=True)
    elif what == "late" and late:
        dice.choice(late).write()
    elif what == "rename":
        os.rename(path, f"{path}.{step}")
        writers[name] = Writer(path)
        retire(writer)
    elif what == "copytruncate":
        if writer.rest:
            writer.write()
        shutil.copy(path, f"{path}.{step}")
        os.truncate(path, 0)
    elif what == "delete":
        os.remove(path)
        retire(writers.pop(name))
    elif what == "replace":
        writers[name] = Writer(f"{path}.new")
        writers[name].write()
        os.rename(f"{path}.new", path)
        retire(writer)
    elif what == "switch":
        version += 1
        os.mkdir(f"{logs}/v{version}")
        os.symlink(f"v{version}", f"{logs}/new")
        os.rename(f"{logs}/new", f"{logs}/cur")
        for writer in writers.values():
            retire(writer)
        writers = {}
    time.sleep(dice.random() * pause / 1000)

for writer in [*writers.values(), *late]:
    writer.close()
time.sleep(10)
for reader in readers.values():
    reader.terminate()
for reader in readers.values():
    reader.wait()

print(f"seed {seed}, {steps} steps, up to {pause} ms between them: {len(written)} lines;",
      ", ".join(f"{count} {what}" for what, count in sorted(done.items())))
print("| | lost | doubled | torn |\n|---|---|---|---|")
with open(f"{home}/mprun.err") as file:
    said = re.findall(r"/([^/`]+)`.*(?:its bytes|behind its byte) (\d+).*not read", file.read())
for reader, out in (
    ("mprun", "mprun"), ("`tail -F`", "tail"), ("`tail -F`, looking", "looking"), ("imfile", "rsyslog")
):
    with open(f"{home}/{out}.out", encoding="utf-8", errors="replace") as file:
        seen = collections.Counter(line.rstrip("\n") for line in file)
    lost = [line for line in written if line not in seen]
    doubled = sum(seen[line] - 1 for line in written if line in seen)
    torn = sum(count for line, count in seen.items() if line not in written and line not in halves)
    told = [line for line in lost if any(name == written[line][0] and int(at) < written[line][1] for name, at in said)]
    hint = f" (said: {len(told)})" if reader == "mprun" else ""
    print(f"| {reader} | {len(lost)}{hint} | {doubled} | {torn} |")
if os.environ.get("KEEP"):
    print(home)
else:
    shutil.rmtree(home)

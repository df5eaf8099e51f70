#!/usr/bin/env python3
"""Tasks of one line of Python over one Redis: mprun, Celery (acks_late, prefetch 1, no results) and RQ, two processes each.

    benches/tasks.py MPRUN [ROUNDS]

Makes a virtual environment for Celery and RQ (PyPI), and starts a redis-server of its own (appendonly yes, appendfsync
everysec). Prints tasks a second and processor time a task, start and end subtracted, the median of ROUNDS (3) in turns; then
what a kill -9 costs: of one process that works, and of all processes, which are started again at once.
"""
import collections
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

mprun = os.path.abspath(sys.argv[1])
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
GIVEN_UP = 30  # seconds without a task done

home = tempfile.mkdtemp(prefix="mprun-bench-tasks-")
python = f"{home}/python/bin"
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
url = f"redis://127.0.0.1:{port}"

# What a task does is the same for all: a line with its number and its process.
TASK = """
import os, time
out = os.open("done", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def work(number):
    time.sleep(float(os.environ["PAUSE"]))
    os.write(out, b"%d %d\\n" % (int(number), os.getpid()))
"""
FILES = {
    "task.py": TASK,
    "app.py": f"""
import celery, task
app = celery.Celery("app", broker="{url}/1")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_ignore_result=True)
work = app.task(name="work")(task.work)
""",
    "stage.py": "import mprun, task\n\n@mprun.stage\ndef work(number: str):\n    task.work(number)\n",
    "mprun.toml": f"""
broker = "{url}"
[queues.jobs]
shared = true
capacity = 1000000
[stages.read]
use = "lines"
with = {{ path = "numbers" }}
output = "jobs"
[stages.work]
command = ["python3", "stage.py"]
framing = "mprun"
processes = 2
input = "jobs"
""",
}
for name, text in FILES.items():
    with open(f"{home}/{name}", "w") as file:
        file.write(text)


def environment(pause):
    return {**os.environ, "PAUSE": str(pause), "XDG_STATE_HOME": home, "XDG_RUNTIME_DIR": home, "PYTHONPATH": home}


class Mprun:
    def fill(self, tasks):
        with open(f"{home}/numbers", "w") as file:
            file.writelines(f"{number}\n" for number in range(tasks))
        run([mprun, "run", "-q", "--new-run", "--stages", "read", "mprun.toml"])

    commands = [[mprun, "run", "-q", "--stages", "work", "mprun.toml"]]
    tasks = 20000


class Celery:
    def fill(self, tasks):
        run([f"{python}/python", "-c", f"import app\nfor n in range({tasks}): app.work.delay(n)"])

    commands = [[f"{python}/celery", "-A", "app", "worker", "-c", "2", "-l", "CRITICAL"]]
    tasks = 3000


class Rq:
    def fill(self, tasks):
        run([f"{python}/python", "-c", "import redis, rq, task\n"
             f"q = rq.Queue(connection=redis.Redis(port={port}, db=2), default_timeout=60)\n"
             f"for n in range({tasks}): q.enqueue(task.work, n, result_ttl=0)"])

    commands = [[f"{python}/rq", "worker", "--quiet", "-u", f"{url}/2"]] * 2
    tasks = 300


def run(command):
    subprocess.run(command, cwd=home, env=environment(0), check=True, stdout=subprocess.DEVNULL)


def start(tool, pause):
    return [subprocess.Popen(command, cwd=home, env=environment(pause), process_group=0, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in tool.commands]


def done():
    with contextlib.suppress(FileNotFoundError), open(f"{home}/done") as file:
        return [tuple(map(int, line.split())) for line in file.read().splitlines()]
    return []


def end(workers):
    """Their processor time, with that of their children."""
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            worker.send_signal(signal.SIGTERM)
    times = [os.wait4(worker.pid, 0)[2] for worker in workers]
    return sum(usage.ru_utime + usage.ru_stime for usage in times)


def prepare(tool, tasks):
    subprocess.run(["redis-cli", "-p", str(port), "flushall"], check=True, stdout=subprocess.DEVNULL)
    with contextlib.suppress(FileNotFoundError):
        os.remove(f"{home}/done")
    tool.fill(tasks)


def busy(tool, tasks):
    """Tasks a second from the first that is done to the last, and seconds of the processor in all."""
    prepare(tool, tasks)
    workers, first = start(tool, 0), None
    while len(done()) < tasks:
        if first is None and done():
            first = (time.monotonic(), len(done()))
        time.sleep(0.01)
    elapsed = time.monotonic() - first[0] if first else 1
    rate = (tasks - first[1]) / elapsed if first else 0
    return rate, end(workers)


def after_a_kill(tool, whole):
    """Tasks lost and doubled, and seconds from the kill to the next task that was done by another process."""
    tasks = 400
    prepare(tool, tasks)
    workers = start(tool, 0.02)
    while len(done()) < tasks // 4:
        time.sleep(0.01)
    killed = time.monotonic()
    before = len(done())
    old = {pid for _, pid in done()}
    if whole:
        for worker in workers:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        workers = start(tool, 0.02)
    else:
        victim = done()[-1][1]
        os.kill(victim, signal.SIGKILL)
        old = {victim} if tool is not TOOLS["RQ"] else old
    goes_on, last = None, (before, killed)
    while len({number for number, _ in done()}) < tasks and time.monotonic() - last[1] < GIVEN_UP:
        now = done()
        if goes_on is None and any(pid not in old for _, pid in now[before:]) and (whole or len(now) > before + 1):
            goes_on = time.monotonic() - killed
        if len(now) > last[0]:
            last = (len(now), time.monotonic())
        time.sleep(0.005)
    end(workers)
    counts = collections.Counter(number for number, _ in done())
    doubled = sum(count - 1 for count in counts.values())
    return tasks - len(counts), doubled, goes_on


TOOLS = {"mprun": Mprun(), "Celery": Celery(), "RQ": Rq()}
subprocess.run([sys.executable, "-m", "venv", f"{home}/python"], check=True)
subprocess.run([f"{python}/pip", "install", "-q", "celery[redis]", "packaging", "rq"], check=True)
redis = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--appendonly", "yes", "--dir", home],
                         stdout=subprocess.DEVNULL)
try:
    while subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True).returncode:
        time.sleep(0.01)
    figures = {name: [] for name in TOOLS}
    for _ in range(rounds):
        for name, tool in TOOLS.items():
            (rate, whole), (_, empty) = busy(tool, tool.tasks), busy(tool, 1)
            figures[name].append((rate, (whole - empty) / (tool.tasks - 1)))
    rates, costs = ({name: statistics.median(row[i] for row in rows) for name, rows in figures.items()} for i in (0, 1))
    print("| | tasks a second | mprun's is | processor time of a task | mprun's is |\n|---|---|---|---|---|")
    for name in TOOLS:
        print(f"| {name} | {rates[name]:.0f} | {rates['mprun'] / rates[name]:.1f}x | {costs[name] * 1e6:.0f} us "
              f"| {costs['mprun'] / costs[name]:.2f}x |")
    print(f"\n| kill -9 of | | lost within {GIVEN_UP} s | done twice | goes on after |\n|---|---|---|---|---|")
    for whole, what in [(False, "a process that works"), (True, "all processes")]:
        for name, tool in TOOLS.items():
            lost, doubled, goes_on = after_a_kill(tool, whole)
            print(f"| {what} | {name} | {lost} of 400 | {doubled} | {'-' if goes_on is None else f'{goes_on:.2f} s'} |")
finally:
    redis.terminate()
    redis.wait()
    subprocess.run(["rm", "-rf", home])

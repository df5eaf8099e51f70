"""A box with nothing in it but an unpacked archive: no C library, no shell, no name service but /etc/passwd and one DNS server.

`python3 dist/box.py FOLDER`, as root. What a program that is linked statically needs of a machine shows there: a user by
name, a host by name, a control socket, a program of its own.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

PIPELINE = """\
[stages.count]
use = "count"
with = { from = 1, to = 3 }
output = "numbers"

[stages.send]
use = "http"
with = { url = "http://example.test:8080/items", max_items = 1 }
input = "numbers"

[stages.pages]
command = ["/bin/mprun", "man", "/out/man"]
user = "someone"
output = "said"

[stages.drop]
use = "discard"
input = "said"
"""
SOMEONE = 1234


def main() -> None:
    if "MPRUN_BOX" not in os.environ:
        os.environ["MPRUN_BOX"] = "1"
        unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        os.execvp("unshare", unshare + [sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder)
        furnish(box, Path(sys.argv[1]))
        try:
            look(box)
        finally:
            subprocess.run(["umount", "--lazy", box / "proc"], check=True)


def look(box: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    items = serve()
    mprun(box, "-q", "run", "/etc/try.toml")
    if sorted(items) != ["1", "2", "3"]:
        sys.exit("box: the HTTP server got %r" % items)
    owner = (box / "out/man/mprun.1").stat().st_uid
    if owner != SOMEONE:
        sys.exit("box: the program ran as user %d" % owner)


def furnish(box: Path, archive: Path) -> None:
    shutil.copytree(archive, box, dirs_exist_ok=True)
    for name in ["etc", "proc", "dev", "tmp", "out", "root"]:
        (box / name).mkdir()
    os.chown(box / "out", SOMEONE, SOMEONE)
    os.mknod(box / "dev/null", 0o020666, os.makedev(1, 3))
    os.chmod(box / "dev/null", 0o666)
    subprocess.run(["mount", "-t", "proc", "proc", box / "proc"], check=True)
    (box / "etc/passwd").write_text("root:x:0:0::/root:\nsomeone:x:%d:%d::/out:\n" % (SOMEONE, SOMEONE))
    (box / "etc/group").write_text("someone:x:%d:\n" % SOMEONE)
    (box / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    (box / "etc/try.toml").write_text(PIPELINE)
    os.chmod(box, 0o755)


def mprun(box: Path, *arguments: str) -> None:
    environment = {"PATH": "/bin", "HOME": "/root"}
    chroot = shutil.which("chroot")
    subprocess.run([chroot, box, "/bin/mprun", *arguments], env=environment, check=True, timeout=60)


def serve() -> list:
    """The two servers; what the one for HTTP gets, as it comes."""
    items = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            items.append(self.rfile.read(int(self.headers["Content-Length"])).decode().strip())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    threading.Thread(target=answer, args=(names,), daemon=True).start()
    threading.Thread(target=HTTPServer(("127.0.0.1", 8080), Handler).serve_forever, daemon=True).start()
    return items


def answer(names: socket.socket) -> None:
    """Every name is 127.0.0.1, and has no other address."""
    while True:
        question, asker = names.recvfrom(512)
        end = question.index(b"\0", 12) + 5
        is_a = question[end - 4 : end - 2] == b"\0\1"
        head = question[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_a else b""
        names.sendto(head + question[12:end] + record, asker)


main()

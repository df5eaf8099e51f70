"""Makes the wheel: the program and the Python module. `python3 dist/wheel.py PROGRAM VERSION FOLDER` prints its path.

A wheel is a ZIP file with three files about itself; the standard library is all that it takes.
"""

import base64
import hashlib
import os
import re
import sys
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def tags(program: bytes) -> list:
    """Where the program runs: the oldest glibc that has all it needs; everywhere, if it is linked statically."""
    machine = {0x3E: "x86_64", 0xB7: "aarch64"}.get(int.from_bytes(program[18:20], "little"))
    if program[:5] != b"\x7fELF\x02" or machine is None:
        sys.exit("wheel: the program is no ELF file of x86_64 or aarch64, so there is no tag for it")
    needed = [int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)(?:\.\d+)?(?=\0)", program)]
    if has_interpreter(program):
        return ["manylinux_2_%d_%s" % (max(needed), machine)]
    # 2.17 and 1.1 are the oldest that pip has names for.
    return ["manylinux_2_17_%s" % machine, "musllinux_1_1_%s" % machine]


def has_interpreter(program: bytes) -> bool:
    """Whether a dynamic linker starts it: it then has a program header of type 3."""
    start, size, count = (
        int.from_bytes(program[32:40], "little"),
        int.from_bytes(program[54:56], "little"),
        int.from_bytes(program[56:58], "little"),
    )
    return any(int.from_bytes(program[at : at + 4], "little") == 3 for at in range(start, start + size * count, size))


def metadata(version: str) -> str:
    head = [
        "Metadata-Version: 2.1",
        "Name: mprun",
        "Version: " + version,
        "Summary: Runs programs as one supervised pipeline of processes; a Python function can be a stage of it",
        "License: MIT OR Apache-2.0",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Typing :: Typed",
        "Requires-Python: >=3.8",
        "Description-Content-Type: text/markdown",
    ]
    text = (HERE / "docs" / "python.md").read_text()
    # Pages beside this one are not where the description is shown.
    return "\n".join(head) + "\n\n" + re.sub(r"\[([^\]]+)\]\((?!https?://)[^)]+\)", r"\1", text)


def main() -> None:
    path, version, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    program = path.read_bytes()
    platforms = tags(program)
    about = "mprun-%s.dist-info" % version
    wheel = ["Wheel-Version: 1.0", "Generator: mprun dist/wheel.py", "Root-Is-Purelib: false"]
    wheel += ["Tag: py3-none-" + name for name in platforms]
    files = [("mprun/" + file.name, file.read_bytes(), 0o644) for file in module()]
    files += [("mprun-%s.data/scripts/mprun" % version, program, 0o755)]
    files += [("%s/licenses/%s" % (about, name), (HERE / name).read_bytes(), 0o644) for name in licences()]
    files += [(about + "/METADATA", metadata(version).encode(), 0o644)]
    files += [(about + "/WHEEL", ("\n".join(wheel) + "\n").encode(), 0o644)]
    record = "".join("%s,sha256=%s,%d\n" % (name, digest(content), len(content)) for name, content, _ in files)
    files += [(about + "/RECORD", (record + about + "/RECORD,,\n").encode(), 0o644)]
    out = folder / ("mprun-%s-py3-none-%s.whl" % (version, ".".join(platforms)))
    write(out, files)
    print(out)


def module() -> list:
    return sorted(file for file in (HERE / "python" / "mprun").iterdir() if file.suffix in (".py", ".typed"))


def licences() -> list:
    return sorted(file.name for file in HERE.glob("LICENSE-*"))


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def write(out: Path, files: list) -> None:
    """All or nothing, and the same bytes for the same content."""
    date = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", "315532800")))[:6]
    new = out.with_suffix(".new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content, mode in files:
            entry = zipfile.ZipInfo(name, date)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    new.replace(out)


main()

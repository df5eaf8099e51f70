"""The scripts of `pipelines/`, in a shell and as mprun runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import unittest
from pathlib import Path

import parent
from parent import Answer

SCRIPTS = Path(__file__).resolve().parents[2] / "pipelines" / "scripts"


def run(script: str, given: bytes, contract: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs an example to its end."""
    command = [sys.executable, str(SCRIPTS / script)]
    return subprocess.run(command, input=given, capture_output=True, env=contract, timeout=parent.TIME_LIMIT)


class Examples(unittest.TestCase):
    def test_the_task_of_the_pool_says_who_it_is(self) -> None:
        done = run("pool_task.py", b"hello 0\n", parent.environment())
        self.assertRegex(done.stdout.decode(), r"^ Sub-process\(es\) [0-9]+ said hello 0\.\n$")

    def test_factors(self) -> None:
        given = b"".join(map(parent.item, [b"360", b"1000000007", b"1", b"x", b"2"]))
        done = run("factors.py", given, parent.helper())
        got = parent.answers(done.stdout)
        self.assertEqual(got[0], Answer([b"360 = 2 * 2 * 2 * 3 * 3 * 5"]))
        self.assertEqual(got[1], Answer([b"1000000007 = 1000000007"]))
        self.assertEqual(got[2], Answer(failure="1 has no prime factors"))
        self.assertIn("invalid literal for int()", got[3].failure or "")
        self.assertEqual(got[4], Answer([b"2 = 2"]))

    def test_load_is_a_line_each_time(self) -> None:
        command = [sys.executable, str(SCRIPTS / "load.py"), "0.01"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=parent.environment()) as source:
            assert source.stdout
            lines = [json.loads(source.stdout.readline()) for _ in range(3)]
            source.stdout.close()
            self.assertEqual(source.wait(parent.TIME_LIMIT), 0)
        self.assertTrue(all(len(line["load"]) == 3 for line in lines))


if __name__ == "__main__":
    unittest.main()

"""`serve` and `stage` in framing "mprun"."""

from __future__ import annotations

import os
import random
import tempfile
import time
import unittest
from pathlib import Path

import parent
from parent import Answer

from mprun import Item, stage
from mprun._signature import Takes, takes_of

ECHO = """
    import mprun
    mprun.serve(lambda text: text)
"""


class Values(unittest.TestCase):
    def test_what_a_function_returns_are_the_outputs(self) -> None:
        got = parent.ask(
            """
            import mprun
            def several(text):
                yield text
                yield b"\\xff"
                yield ""
            def f(text):
                return {"none": None, "text": "ä", "bytes": b"\\0\\n", "list": ["a", b"b"], "empty": []}.get(
                    text, several(text)
                )
            mprun.serve(f)
            """,
            b"none", b"text", b"bytes", b"list", b"empty", b"generator",
        )  # fmt: skip
        expected = [[], ["ä".encode()], [b"\0\n"], [b"a", b"b"], [], [b"generator", b"\xff", b""]]
        self.assertEqual(got, [Answer(outputs) for outputs in expected])

    def test_an_output_may_have_any_length(self) -> None:
        items = [b"x" * length for length in (0, 1, 254, 255, 256, 257, 70_000)]
        self.assertEqual(parent.ask(ECHO, *items), [Answer([item]) for item in items])

    def test_bytes_by_annotation_or_flag(self) -> None:
        for script in (
            "import mprun\ndef f(data: bytes): return data[::-1]\nmprun.serve(f)",
            "from __future__ import annotations\nimport mprun\ndef f(data: bytes): return data[::-1]\nmprun.serve(f)",
            "import mprun\nmprun.serve(lambda data: data[::-1], as_bytes=True)",
        ):
            self.assertEqual(parent.ask(script, b"\xff\0", b""), [Answer([b"\0\xff"]), Answer([b""])])

    def test_a_function_may_take_the_item_itself(self) -> None:
        script = """
            import mprun
            def f(item: mprun.Item):
                if item.text == "bad":
                    item.fail("no good")
                    return
                item.emit("first")
                return f"{item.text} {item.attempt}"
            mprun.serve(f)
        """
        given = parent.item(b"x", attempt=3) + parent.item(b"bad")
        ran = parent.run(script, given, parent.helper())
        self.assertEqual(parent.answers(ran.out), [Answer([b"first", b"x 3"]), Answer(failure="no good")])

    def test_what_is_not_utf8_passes_unharmed(self) -> None:
        self.assertEqual(parent.ask(ECHO, b"\xff\xfe ok"), [Answer([b"\xff\xfe ok"])])

    def test_large_and_many_random_items_come_back_in_order(self) -> None:
        dice = random.Random(1)
        items = [dice.randbytes(dice.choice([0, 5, 300])) for _ in range(5000)] + [dice.randbytes(4 << 20), b"last"]
        got = parent.ask(ECHO, *items)
        self.assertEqual([answer.outputs for answer in got], [[data] for data in items])

    def test_a_wrong_function_is_refused_before_the_first_item(self) -> None:
        def number(n: int) -> str:
            return str(n)

        async def later(text: str) -> str:
            return text

        for wrong in (number, later, lambda: None):
            self.assertRaises(TypeError, takes_of, wrong)
        self.assertIs(takes_of(str.upper), Takes.TEXT)
        self.assertIs(takes_of(lambda item: None), Takes.TEXT)

        def whole(item: Item) -> None: ...

        self.assertIs(takes_of(whole), Takes.ITEM)

    def test_the_decorator_leaves_an_imported_function_alone(self) -> None:
        @stage
        def f(text: str) -> str:
            return text

        self.assertEqual(f("x"), "x")

    def test_the_decorator_serves_when_run_as_a_program(self) -> None:
        got = parent.ask("import mprun\n@mprun.stage\ndef f(text: str) -> str:\n    return text * 2", b"a")
        self.assertEqual(got, [Answer([b"aa"])])


class Failures(unittest.TestCase):
    def test_an_exception_fails_the_item_with_its_traceback_and_the_process_lives_on(self) -> None:
        got = parent.ask(
            """
            import mprun
            def inner(text):
                raise ValueError("not " + text)
            def f(text):
                yield "lost"
                if text == "b":
                    inner(text)
            mprun.serve(f)
            """,
            b"a", b"b", b"c",
        )  # fmt: skip
        self.assertEqual([answer.outputs for answer in got], [[b"lost"], [], [b"lost"]])
        cause = got[1].failure or ""
        self.assertTrue(cause.startswith("Traceback (most recent call last):"), cause)
        self.assertTrue(cause.endswith("ValueError: not b"), cause)
        self.assertIn("in inner", cause)
        self.assertNotIn("_serve.py", cause)

    def test_fail_is_a_cause_without_a_traceback(self) -> None:
        got = parent.ask("import mprun\ndef f(text): raise mprun.Fail('too ' + text)\nmprun.serve(f)", b"dear")
        self.assertEqual(got, [Answer(failure="too dear")])

    def test_a_value_that_is_no_output_says_what_is_accepted(self) -> None:
        for value in ("5", "{'a': 1}", "[1]", "object()"):
            got = parent.ask(f"import mprun\nmprun.serve(lambda text: {value})", b"x")
            self.assertRegex(got[0].failure or "", "^TypeError: .*must .*str.*bytes", value)

    def test_a_cause_is_bounded(self) -> None:
        got = parent.ask("import mprun\ndef f(text): raise ValueError('x' * 10**6 + 'end')\nmprun.serve(f)", b"x")
        cause = got[0].failure or ""
        self.assertLessEqual(len(cause), 32 * 1024)
        self.assertTrue(cause.endswith("end"))

    def test_endless_recursion_fails_the_item_only(self) -> None:
        got = parent.ask(
            "import mprun\ndef f(text): return f(text) if text == 'x' else text\nmprun.serve(f)", b"x", b"y"
        )
        self.assertIn("RecursionError", got[0].failure or "")
        self.assertEqual(got[1], Answer([b"y"]))

    def test_an_exit_in_the_function_ends_the_program_after_the_answers_before_it(self) -> None:
        script = "import mprun, sys\ndef f(text):\n  if text == 'c': sys.exit(7)\n  return text\nmprun.serve(f)"
        ran = parent.run(script, b"".join(map(parent.item, [b"a", b"b", b"c", b"d"])), parent.helper())
        self.assertEqual((ran.code, parent.answers(ran.out)), (7, [Answer([b"a"]), Answer([b"b"])]))

    def test_an_interrupt_ends_the_program_after_the_answers_before_it(self) -> None:
        script = """
            import mprun, os, signal
            def f(text):
                if text == "b":
                    os.kill(os.getpid(), signal.SIGINT)
                return text
            mprun.serve(f)
        """
        ran = parent.run(script, parent.item(b"a") + parent.item(b"b"), parent.helper())
        self.assertEqual((ran.code, parent.answers(ran.out)), (-2, [Answer([b"a"])]))

    def test_a_truncated_input_is_told(self) -> None:
        ran = parent.run(ECHO, parent.item(b"a") + b"\0\0", parent.helper())
        self.assertEqual(ran.code, 1)
        self.assertIn("ended in the middle", ran.err)
        self.assertEqual(parent.answers(ran.out), [Answer([b"a"])])

    def test_an_item_too_short_to_have_an_attempt_is_told(self) -> None:
        ran = parent.run(ECHO, b"\0\0\0\2ab", parent.helper())
        self.assertEqual(ran.code, 1)
        self.assertIn("ProtocolError", ran.err)

    def test_a_crash_in_native_code_leaves_its_python_traceback(self) -> None:
        script = "import mprun, os, signal\nmprun.serve(lambda text: os.kill(os.getpid(), signal.SIGSEGV))"
        ran = parent.run(script, parent.item(b"a"), parent.helper())
        self.assertEqual(ran.code, -11)
        self.assertIn("Segmentation fault", ran.err)


class Streams(unittest.TestCase):
    def test_prints_children_and_raw_writes_go_to_standard_error(self) -> None:
        got = parent.run(
            """
            import mprun, os, subprocess, sys
            print("at the top", flush=True)
            def f(text):
                print("printed")
                sys.stdout.write("written")
                os.system("echo child")
                subprocess.run(["echo", "other child"])
                os.write(1, b"raw\\n")
                return text
            mprun.serve(f)
            """,
            parent.item(b"a") + parent.item(b"b"),
            parent.helper(),
        )
        self.assertEqual(parent.answers(got.out), [Answer([b"a"]), Answer([b"b"])])
        for text in ("at the top", "printed", "written", "child", "other child", "raw"):
            self.assertIn(text, got.err)

    def test_a_child_cannot_eat_items(self) -> None:
        script = "import mprun, os\ndef f(text):\n  os.system('cat >&2')\n  return text\nmprun.serve(f)"
        process = parent.start(script, parent.helper())
        assert process.stdin and process.stdout
        for data in (b"a", b"b"):
            # The second comes while the first one's child would be reading.
            process.stdin.write(parent.item(data))
        out, err = parent.finish(process)
        self.assertEqual((parent.answers(out), err), ([Answer([b"a"]), Answer([b"b"])], ""))

    def test_a_forked_child_that_exits_sends_nothing_again(self) -> None:
        got = parent.ask(
            """
            import mprun, os, sys
            def f(text):
                child = os.fork()
                if child == 0:
                    sys.exit(0)
                os.waitpid(child, 0)
                return text
            mprun.serve(f)
            """,
            *[b"%d" % n for n in range(20)],
        )
        self.assertEqual([answer.outputs for answer in got], [[b"%d" % n] for n in range(20)])

    def test_a_reader_that_goes_away_ends_the_program_quietly(self) -> None:
        process = parent.start(ECHO, parent.helper())
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(parent.item(b"a"))
        self.assertEqual(process.wait(parent.TIME_LIMIT), 0)
        self.assertEqual(process.stderr.read(), b"")
        process.stdin.close()
        process.stderr.close()


class Promptness(unittest.TestCase):
    def test_an_answer_does_not_wait_for_the_next_item(self) -> None:
        process = parent.start(ECHO, parent.helper())
        assert process.stdin and process.stdout and process.stderr
        for data in (b"a", b"b", b"c"):
            process.stdin.write(parent.item(data))
            expected = b"\0\0\0\2o" + data + b"\0\0\0\1e"
            come = parent.read_frames(process.stdout.read, lambda come: come.endswith(b"e"))
            self.assertEqual(come, expected)
        parent.finish(process)

    def test_an_answer_does_not_wait_for_slow_items_after_it(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            gate = Path(folder, "gate")
            script = f"""
                import mprun, os, time
                def f(text):
                    time.sleep(0.01)
                    while text == "3" and not os.path.exists({str(gate)!r}):
                        time.sleep(0.01)
                    return text
                mprun.serve(f)
            """
            process = parent.start(script, parent.helper())
            assert process.stdin and process.stdout
            process.stdin.write(b"".join(parent.item(b"%d" % n) for n in range(5)))
            come = parent.read_frames(process.stdout.read, lambda come: come.count(b"e") >= 3)
            self.assertEqual([answer.outputs for answer in parent.answers(come)], [[b"0"], [b"1"], [b"2"]])
            gate.touch()
            rest, _ = parent.finish(process)
            self.assertEqual([answer.outputs for answer in parent.answers(rest)], [[b"3"], [b"4"]])

    def test_an_endless_answer_needs_no_endless_memory(self) -> None:
        script = """
            import mprun, resource
            resource.setrlimit(resource.RLIMIT_AS, (128 << 20, 128 << 20))
            mprun.serve(lambda text: (text * 1000 for _ in range(150_000)))
        """
        process = parent.start(script, parent.helper())
        assert process.stdin and process.stdout
        process.stdin.write(parent.item(b"x"))
        left = 150_000 * 1005 + 5
        while left:
            left -= len(os.read(process.stdout.fileno(), 1 << 20))
        self.assertEqual(parent.finish(process), (b"", ""))

    def test_it_waits_without_using_the_processor(self) -> None:
        script = "import mprun, time\nmprun.serve(lambda text: str(time.process_time()))"
        process = parent.start(script, parent.helper())
        assert process.stdin and process.stdout

        def used() -> float:
            assert process.stdin and process.stdout
            process.stdin.write(parent.item(b""))
            come = parent.read_frames(process.stdout.read, lambda come: come.endswith(b"\0\0\0\1e"))
            return float(parent.answers(come)[0].outputs[0])

        before = used()
        time.sleep(0.5)
        self.assertLess(used() - before, 0.1)
        parent.finish(process)


if __name__ == "__main__":
    unittest.main()

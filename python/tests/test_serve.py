"""`serve` and `stage` in framing "mprun"."""

from __future__ import annotations

import os
import random
import sys
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
                return {
                    "none": None, "text": "ä", "bytes": b"\\0\\n", "list": ["a", b"b"], "empty": [],
                    "array": bytearray(b"\\0\\xff"), "view": memoryview(b"abcd")[1:3], "views": [memoryview(b"x")],
                }.get(text, several(text))
            mprun.serve(f)
            """,
            b"none", b"text", b"bytes", b"list", b"empty", b"array", b"view", b"views", b"generator",
        )  # fmt: skip
        expected = [[], ["ä".encode()], [b"\0\n"], [b"a", b"b"], [], [b"\0\xff"], [b"bc"], [b"x"]]
        expected.append([b"generator", b"\xff", b""])
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
        for value in ("5", "{'a': 1}", "[1]", "object()", "range(3)"):
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
            # As in a terminal, also where the tests run in the background.
            signal.signal(signal.SIGINT, signal.default_int_handler)
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

    def test_a_forked_child_that_comes_back_to_the_loop_ends_there_and_answers_nothing(self) -> None:
        script = """
            import mprun, os
            def f(text):
                child = os.fork()
                if child == 0:
                    # Left to go on, it would have two items more, and their effects twice.
                    {child}
                _, status = os.waitpid(child, 0)
                return f"{text} {os.waitstatus_to_exitcode(status)}"
            mprun.serve(f)
        """
        for child in ("return 'stray'", "return None", "return 5", "raise ValueError('own cause')"):
            with self.subTest(child=child):
                items = b"".join(parent.item(b"%d" % n) for n in range(3))
                ran = parent.run(script.replace("{child}", child), items, parent.helper())
                outputs = [answer.outputs for answer in parent.answers(ran.out)]
                self.assertEqual(outputs, [[b"0 1"], [b"1 1"], [b"2 1"]], ran.err)
                self.assertEqual(ran.err.count("only that program may answer"), 3, ran.err)
                self.assertEqual("own cause" in ran.err, "raise" in child, ran.err)

    def test_a_forked_child_has_none_of_the_items_descriptors(self) -> None:
        script = """
            import mprun, os
            def pipes():
                there = []
                for name in os.listdir("/proc/self/fd"):
                    try:
                        there.append(os.readlink(f"/proc/self/fd/{name}"))
                    except OSError:
                        pass
                return there
            items = {os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, *mprun._streams._taken.values())}
            def f(text):
                items.update(os.readlink(f"/proc/self/fd/{fd}") for fd in mprun._streams._taken.values())
                items.discard("/dev/null")
                items.discard(os.readlink("/proc/self/fd/2"))
                before = len(items.intersection(pipes()))
                child = os.fork()
                if child == 0:
                    os._exit(len(items.intersection(pipes())))
                _, status = os.waitpid(child, 0)
                return f"{before} {os.waitstatus_to_exitcode(status)}"
            mprun.serve(f)
        """
        self.assertEqual(parent.ask(script, b"x"), [Answer([b"2 0"])])

    def test_a_pool_of_processes_in_a_function_works_however_it_is_started(self) -> None:
        for method in ("fork", "spawn", "forkserver"):
            with self.subTest(method=method), tempfile.TemporaryDirectory() as folder:
                program = Path(folder, "program.py")
                program.write_text(
                    "import multiprocessing, mprun\n"
                    "def double(n):\n    print('working')\n    return 2 * n\n"
                    "@mprun.stage\n"
                    "def f(text):\n"
                    f"    with multiprocessing.get_context('{method}').Pool(2) as pool:\n"
                    "        return str(sum(pool.map(double, range(int(text)))))\n"
                )
                process = parent.start_command([sys.executable, str(program)], parent.numbered())
                assert process.stdin
                process.stdin.write(parent.item(b"3") + parent.item(b"4"))
                out, err = parent.finish(process)
                got = parent.numbered_answers(out)
                self.assertEqual(got, [(1, Answer([b"6"])), (2, Answer([b"12"]))], err)
                self.assertEqual(err.count("working"), 7, err)

    def test_threads_of_a_function_may_add_outputs(self) -> None:
        script = """
            import mprun, threading
            def f(item: mprun.Item):
                def add(n):
                    for i in range(200):
                        item.emit(f"{n} {i} " + "x" * 500)
                threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
            mprun.serve(f)
        """
        (got,) = parent.ask(script, b"")
        self.assertEqual(len(got.outputs), 800)
        for n in range(4):
            own = [output for output in got.outputs if output.startswith(b"%d " % n)]
            self.assertEqual(own, [b"%d %d " % (n, i) + b"x" * 500 for i in range(200)])

    def test_a_thread_that_is_late_cannot_add_to_another_item(self) -> None:
        script = """
            import mprun, threading
            threads, gate = [], threading.Event()
            def f(item: mprun.Item):
                if item.text == "a":
                    def late():
                        gate.wait()
                        try:
                            item.emit("stray")
                        except RuntimeError as error:
                            print(error)
                    threads.append(threading.Thread(target=late))
                    threads[0].start()
                else:
                    gate.set()
                    threads[0].join()
                return item.text
            mprun.serve(f)
        """
        ran = parent.run(script, parent.item(b"a") + parent.item(b"b"), parent.helper())
        self.assertEqual(parent.answers(ran.out), [Answer([b"a"]), Answer([b"b"])])
        self.assertIn("this item is over", ran.err)

    def test_a_reader_that_goes_away_ends_the_program_quietly(self) -> None:
        process = parent.start(ECHO, parent.helper())
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(parent.item(b"a"))
        self.assertEqual(process.wait(parent.TIME_LIMIT), 0)
        self.assertEqual(process.stderr.read(), b"")
        process.stdin.close()
        process.stderr.close()


class Numbers(unittest.TestCase):
    def test_each_answer_says_which_item_it_is_about(self) -> None:
        script = """
            import mprun
            def f(text):
                if text == "bad":
                    raise mprun.Fail("no good")
                if text == "many":
                    return ["x", bytearray(b"y")]
                return text if text else None
            mprun.serve(f)
        """
        given = parent.item(b"a") + parent.BEGINS
        texts = [b"", b"bad", b"many", b"b"]
        given += b"".join(parent.numbered_item(number, text) for number, text in enumerate(texts, 2))
        ran = parent.run(script, given, parent.numbered())
        outcomes = [[b"a"], [], None, [b"x", b"y"], [b"b"]]
        expected = [Answer(failure="no good") if each is None else Answer(each) for each in outcomes]
        self.assertEqual(parent.numbered_answers(ran.out), list(enumerate(expected, 1)), ran.err)

    def test_a_loop_over_items_has_attempts_and_numbers(self) -> None:
        script = "import mprun\nfor item in mprun.items(): item.reply(f'{item.text} {item.attempt}')"
        given = parent.BEGINS + parent.numbered_item(1, b"a") + parent.numbered_item(2, b"b", attempt=3)
        ran = parent.run(script, given, parent.numbered())
        self.assertEqual(parent.numbered_answers(ran.out), [(1, Answer([b"a 1"])), (2, Answer([b"b 3"]))])

    def test_an_item_that_another_process_took_ends_the_program(self) -> None:
        given = parent.BEGINS + parent.numbered_item(1, b"a") + parent.numbered_item(3, b"c")
        ran = parent.run(ECHO, given, parent.numbered())
        self.assertEqual(ran.code, 1)
        self.assertIn("does another process read this one's items?", ran.err)

    def test_numbers_are_not_asked_for_where_they_are_not_offered(self) -> None:
        self.assertEqual(parent.ask(ECHO, b"a"), [Answer([b"a"])])
        for script in ("import mprun", "import mprun\nmprun.emit"):
            self.assertEqual(parent.run(script, b"", parent.numbered()).out, b"")

    def test_a_program_without_an_item_asks_and_ends(self) -> None:
        ran = parent.run(ECHO, b"", parent.numbered())
        self.assertEqual((ran.code, ran.out), (0, parent.ASKS))


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

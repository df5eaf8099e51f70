"""`items`, the other framings, and the shell."""

from __future__ import annotations

import unittest

import parent
from parent import Answer


class Loop(unittest.TestCase):
    def test_emit_reply_fail_and_nothing(self) -> None:
        got = parent.ask(
            """
            import mprun
            for item in mprun.items():
                if item.text == "emit":
                    item.emit("a", b"b")
                    item.emit("c")
                elif item.text == "both":
                    item.emit("a")
                    item.reply("b", "c")
                elif item.text == "fail":
                    item.emit("lost")
                    item.fail("why")
            """,
            b"emit", b"both", b"fail", b"nothing",
        )  # fmt: skip
        abc = Answer([b"a", b"b", b"c"])
        self.assertEqual(got, [abc, abc, Answer(failure="why"), Answer()])

    VERDICTS = """
        import mprun
        for item in mprun.items():
            with item:
                item.emit("lost")
                if item.text == "later":
                    item.later("down")
                elif item.text == "reject":
                    item.reject("bad")
                elif item.text == "Later":
                    raise mprun.Later("away")
                elif item.text == "Reject":
                    raise mprun.Reject("worse")
    """

    def test_an_item_can_be_put_off_and_rejected(self) -> None:
        items = [b"later", b"reject", b"Later", b"Reject", b"good"]
        given = b"".join(map(parent.item, items))
        ran = parent.run(self.VERDICTS, given, parent.newest())
        self.assertEqual(ran.code, 0, ran.err)
        expected = [Answer(later="down"), Answer(rejected="bad"), Answer(later="away"), Answer(rejected="worse")]
        numbered = list(enumerate([*expected, Answer([b"lost"])], 1))
        self.assertEqual(parent.numbered_answers(ran.out), numbered)

    def test_an_mprun_that_knows_no_verdicts_is_told_of_failures(self) -> None:
        for contract in (parent.helper(), parent.numbered()):
            ran = parent.run(self.VERDICTS, parent.item(b"later") + parent.item(b"Reject"), contract)
            out = ran.out
            got = [answer for _, answer in parent.numbered_answers(out)] if out[4:5] == b"v" else parent.answers(out)
            self.assertEqual(got, [Answer(failure="down"), Answer(failure="worse")])

    def test_in_other_framings_the_exit_code_says_it(self) -> None:
        for text, code in ((b"later", 75), (b"Later", 75), (b"reject", 65), (b"Reject", 65)):
            contract = parent.environment(MPRUN_FRAMING="lines", MPRUN_STAGE="test")
            ran = parent.run(self.VERDICTS, text + b"\n", contract)
            self.assertEqual((ran.code, ran.out), (code, b""))

    def test_within_with_an_exception_fails_the_item_and_the_loop_goes_on(self) -> None:
        got = parent.ask(
            """
            import mprun
            for item in mprun.items():
                with item:
                    item.reply(str(10 // int(item.text)))
            """,
            b"5", b"0", b"x", b"2",
        )  # fmt: skip
        self.assertEqual([answer.outputs for answer in got], [[b"2"], [], [], [b"5"]])
        self.assertIn("ZeroDivisionError", got[1].failure or "")
        self.assertIn("ValueError", got[2].failure or "")

    def test_without_with_an_exception_ends_the_program_after_the_answers_before_it(self) -> None:
        script = "import mprun\nfor item in mprun.items():\n  item.reply(str(10 // int(item.text)))"
        ran = parent.run(script, b"".join(map(parent.item, [b"5", b"2", b"0", b"1"])), parent.helper())
        self.assertEqual((ran.code, parent.answers(ran.out)), (1, [Answer([b"2"]), Answer([b"5"])]))
        self.assertIn("ZeroDivisionError", ran.err)

    def test_the_attempt_is_told(self) -> None:
        script = "import mprun\nfor item in mprun.items(): item.reply(str(item.attempt))"
        ran = parent.run(script, parent.item(b"") + parent.item(b"", 2) + parent.item(b"", 2**32 - 1), parent.helper())
        self.assertEqual([answer.outputs for answer in parent.answers(ran.out)], [[b"1"], [b"2"], [b"4294967295"]])

    def test_the_attempt_of_a_program_started_for_its_item_is_told(self) -> None:
        script = "import mprun\nfor item in mprun.items(): item.reply(str(item.attempt))"
        for contract, expected in (({"MPRUN_ATTEMPT": "4"}, b"4\n"), ({}, b"1\n")):
            self.assertEqual(parent.run(script, b"x\n", parent.environment(**contract)).out, expected)

    def test_a_break_keeps_no_answer_back(self) -> None:
        script = "import mprun, os\nfor item in mprun.items():\n  item.reply('a')\n  break\nos._exit(0)"
        ran = parent.run(script, parent.item(b"x") * 3, parent.helper())
        self.assertEqual(parent.answers(ran.out), [Answer([b"a"])])

    def test_an_item_is_answered_once(self) -> None:
        got = parent.ask(
            """
            import mprun
            for item in mprun.items():
                item.reply("one")
                for again in (item.reply, lambda: item.fail("x"), lambda: item.emit("y")):
                    try:
                        again()
                    except RuntimeError:
                        pass
                    else:
                        raise AssertionError
            """,
            b"a",
        )
        self.assertEqual(got, [Answer([b"one"])])

    def test_a_mistake_after_the_answer_is_not_hidden(self) -> None:
        script = "import mprun\nfor item in mprun.items():\n with item:\n  item.reply('a')\n  item.reply('b')"
        ran = parent.run(script, parent.item(b"x"), parent.helper())
        self.assertEqual((ran.code, parent.answers(ran.out)), (1, [Answer([b"a"])]))

    def test_the_input_is_read_by_one_loop(self) -> None:
        script = "import mprun\nnext(mprun.items(), None)\nnext(mprun.items(), None)"
        ran = parent.run(script, b"", parent.helper())
        self.assertIn("RuntimeError", ran.err)

    def test_code_after_the_loop_runs(self) -> None:
        ran = parent.run("import mprun\nfor item in mprun.items(): pass\nprint('end')", b"", parent.helper())
        self.assertEqual((ran.code, ran.out, ran.err), (0, b"", "end\n"))


DOUBLE = "import mprun\nmprun.serve(lambda text: text * 2)"
INVERSE = "import mprun\nmprun.serve(lambda text: str(10 // int(text)))"


class OtherFramings(unittest.TestCase):
    def test_every_framing_and_pair_of_framings(self) -> None:
        for given, contract, expected in (
            (b"a\nb", {"MPRUN_FRAMING": "lines"}, b"aa\nbb\n"),
            (b"a\0\n\0", {"MPRUN_FRAMING": "nul"}, b"aa\0\n\n\0"),
            (b"1:a,0:,", {"MPRUN_FRAMING": "netstring"}, b"2:aa,0:,"),
            (b"\0\0\0\1a", {"MPRUN_FRAMING": "u32be"}, b"\0\0\0\2aa"),
            (b"a\n", {"MPRUN_IN_FRAMING": "lines", "MPRUN_OUT_FRAMING": "u32be"}, b"\0\0\0\2aa"),
            (b"1:a,", {"MPRUN_FRAMING": "lines", "MPRUN_IN_FRAMING": "netstring"}, b"aa\n"),
        ):
            with self.subTest(contract=contract):
                ran = parent.run(DOUBLE, given, parent.environment(MPRUN_STAGE="test", **contract))
                self.assertEqual((ran.code, ran.out, ran.err), (0, expected, ""))

    def test_reply_one_wants_one_output(self) -> None:
        contract = parent.environment(MPRUN_FRAMING="lines", MPRUN_REPLY="one", MPRUN_STAGE="test")
        ran = parent.run("import mprun\nmprun.serve(lambda text: text.split())", b"a\nb c\nd\n", contract)
        self.assertEqual((ran.code, ran.out), (1, b"a\n"))
        self.assertIn("wants one output", ran.err)

    def test_until_empty_ends_each_answer(self) -> None:
        contract = parent.environment(MPRUN_FRAMING="lines", MPRUN_REPLY="until-empty", MPRUN_STAGE="test")
        ran = parent.run("import mprun\nmprun.serve(lambda text: text.split())", b"a b\n\nc\n", contract)
        self.assertEqual((ran.code, ran.out), (0, b"a\nb\n\n\nc\n\n"))
        ran = parent.run("import mprun\nmprun.serve(lambda text: ['a', text])", b"b\n\n", contract)
        self.assertEqual((ran.code, ran.out), (1, b"a\nb\n\n"))

    def test_under_mprun_a_failure_ends_the_program_without_an_answer(self) -> None:
        contract = parent.environment(MPRUN_FRAMING="lines", MPRUN_REPLY="one", MPRUN_STAGE="test")
        ran = parent.run(INVERSE, b"5\n0\n2\n", contract)
        self.assertEqual((ran.code, ran.out), (1, b"2\n"))
        self.assertIn("ZeroDivisionError", ran.err)

    def test_an_output_that_the_framing_cannot_carry_fails(self) -> None:
        contract = parent.environment(MPRUN_FRAMING="lines", MPRUN_REPLY="one", MPRUN_STAGE="test")
        ran = parent.run("import mprun\nmprun.serve(lambda text: 'a\\nb')", b"x\n", contract)
        self.assertEqual((ran.code, ran.out), (1, b""))
        self.assertIn("u32be", ran.err)

    def test_an_unknown_contract_is_refused(self) -> None:
        for wrong in ({"MPRUN_FRAMING": "mprun2"}, {"MPRUN_REPLY": "two"}, {"MPRUN_IN_FRAMING": "mprun"}):
            ran = parent.run(DOUBLE, b"", parent.environment(**wrong))
            self.assertEqual(ran.code, 1)
            self.assertIn("ValueError", ran.err)


class Shell(unittest.TestCase):
    def test_without_mprun_a_script_reads_and_writes_lines(self) -> None:
        ran = parent.run(DOUBLE, b"a\nb", parent.environment())
        self.assertEqual((ran.code, ran.out, ran.err), (0, b"aa\nbb\n", ""))

    def test_without_mprun_a_failure_is_shown_and_the_rest_goes_on(self) -> None:
        ran = parent.run(INVERSE, b"5\n0\n2\n", parent.environment())
        self.assertEqual((ran.code, ran.out), (1, b"2\n5\n"))
        self.assertIn("ZeroDivisionError", ran.err)

    def test_a_source_writes_at_once_and_ends_quietly_with_its_reader(self) -> None:
        script = "import mprun, time\nmprun.emit('a', b'b')\nprint('log')\ntime.sleep(0.3)\nwhile True: mprun.emit('c')"
        process = parent.start(script, parent.environment())
        assert process.stdout
        self.assertEqual(process.stdout.read(100), b"a\nb\n")
        process.stdout.close()
        process.stdout = None
        self.assertEqual(parent.finish(process), (None, "log\n"))

    def test_a_source_uses_its_output_framing(self) -> None:
        contract = parent.environment(MPRUN_STAGE="test", MPRUN_OUT_FRAMING="u32be")
        self.assertEqual(parent.run("import mprun\nmprun.emit('a\\n')", b"", contract).out, b"\0\0\0\2a\n")

    def test_emit_is_not_for_stages_with_an_input(self) -> None:
        ran = parent.run("import mprun\nmprun.emit('a')", b"", parent.helper())
        self.assertIn("item.emit", ran.err)


if __name__ == "__main__":
    unittest.main()

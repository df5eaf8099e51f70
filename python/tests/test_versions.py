"""What Python the module needs, and that an older one is told so."""

from __future__ import annotations

import ast
import unittest

import parent

OLDEST = (3, 8)


class Versions(unittest.TestCase):
    def test_an_older_python_is_told_so_before_anything_else_of_the_module_is_read(self) -> None:
        script = """
            import sys
            sys.version_info = (3, 6, 9, "final", 0)
            import mprun
        """
        ran = parent.run(script, b"", parent.numbered())
        self.assertEqual(ran.code, 1)
        last = ran.err.rstrip().splitlines()[-1]
        self.assertRegex(last, r"^ImportError: the mprun module needs Python 3\.8 or later, and .* is Python 3\.6$")
        self.assertNotIn("_answers.py", ran.err)
        # The oldest grammar that can be asked for; there is nothing newer in it.
        ast.parse((parent.MODULE / "mprun" / "__init__.py").read_text("ascii"), feature_version=(3, 4))

    def test_the_module_is_written_in_the_language_of_the_oldest_one(self) -> None:
        files = list((parent.MODULE / "mprun").glob("*.py"))
        self.assertGreater(len(files), 5)
        for file in files:
            with self.subTest(file=file.name):
                ast.parse(file.read_text("utf-8"), feature_version=OLDEST)
                subscripted = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if is_new_generic(node)]
                self.assertEqual(subscripted, [])


def is_new_generic(node: ast.AST) -> bool:
    """An alias like `X = list[int]`, which is no annotation: 3.8 evaluates it, and fails."""
    if not isinstance(node, ast.Assign):
        return False
    names = [each.value for each in ast.walk(node.value) if isinstance(each, ast.Subscript)]
    return any(isinstance(name, ast.Name) and name.id in ("dict", "list", "set", "tuple", "type") for name in names)


if __name__ == "__main__":
    unittest.main()

"""The rules of the house, for Python: short files, short functions, opening words."""
import ast
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
FILE_LINES_MAX, FUNCTION_LINES_MAX = 500, 70


class HouseRules(unittest.TestCase):
    """What tests/tidy.rs holds for Rust."""

    def test_files_and_functions_stay_small_and_say_what_they_are_for(self):
        files = sorted(FOLDER.rglob("*.py"))
        self.assertGreater(len(files), 10)
        for path in files:
            text = path.read_text()
            tree = ast.parse(text)
            self.assertTrue(ast.get_docstring(tree), f"{path}: no opening words")
            self.assertLess(len(text.splitlines()), FILE_LINES_MAX, path)
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    self.assertLess(node.end_lineno - node.lineno, FUNCTION_LINES_MAX if isinstance(node, ast.FunctionDef) else FILE_LINES_MAX,
                                    f"{path}:{node.lineno}")

    def test_packages_are_pinned(self):
        lines = [line for line in (FOLDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
        for line in lines:
            self.assertRegex(line, r"^[a-z-]+==[0-9.]+$")

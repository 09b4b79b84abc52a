"""The tools that judge the tests: mutants and their explanations, and the coverage of branches."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import branches, mutation

ROOT = Path(__file__).parents[2]
DIFF = """# telephony.call.line.playout.x: survived
--- telephony/call/line/playout.py
+++ telephony/call/line/playout.py
@@ -1,3 +1,3 @@
 def poll(self):
-        if ahead <= lead:
+        if ahead < lead:
             return 1
"""


@pytest.mark.parametrize(
    ("name", "function"),
    [("telephony.a.xǁPlayoutǁpoll__mutmut_7", "Playout.poll"), ("telephony.a.x__parse__mutmut_9", "_parse")],
)
def test_a_mutant_is_known_by_its_function_and_its_lines(name: str, function: str) -> None:
    found = mutation.read_mutant(name, DIFF)
    assert found == mutation.Mutant("telephony.a", function, "if ahead <= lead:", "if ahead < lead:")


def test_each_explained_mutant_names_a_function_that_has_the_line() -> None:
    mutants = list(mutation.explained(mutation.EXPLANATIONS.read_text()))
    assert mutants and len(mutants) == len(set(mutants))
    for mutant in mutants:
        source = " ".join((ROOT / f"{mutant.module.replace('.', '/')}.py").read_text().split())
        assert " ".join(mutant.before.split()) in source, mutant
        assert f"def {mutant.function.rpartition('.')[2]}(" in source, mutant
        assert mutant.before != mutant.after


def test_an_explanation_says_why() -> None:
    entry = '[[survivor]]\nmodule = "a"\nfunction = "f"\nbefore = "x"\nafter = ["y"]\nwhy = ""\n'
    with pytest.raises(AssertionError, match="say why"):
        list(mutation.explained(entry))


def test_the_mutated_modules_are_pure_and_have_their_tests() -> None:
    import tomllib

    pyproject = (ROOT / "pyproject.toml").read_text()
    pure = branches.pure_modules(pyproject)
    options = tomllib.loads(pyproject)["tool"]["mutmut"]
    for path in options["only_mutate"]:
        assert path.removesuffix(".py").replace("/", ".") in pure
    for path in options["pytest_add_cli_args_test_selection"]:
        assert (ROOT / path).exists()


def test_branches_are_counted_in_pure_modules_and_lines_everywhere() -> None:
    def summary(lines: tuple[int, int], taken: tuple[int, int]) -> dict[str, dict[str, int]]:
        names = ("covered_lines", "num_statements", "covered_branches", "num_branches")
        return {"summary": dict(zip(names, (*lines, *taken), strict=True))}

    files = {
        "telephony/masking.py": summary((9, 10), (19, 20)),
        "telephony/twilio/__init__.py": summary((10, 10), (10, 10)),
        "telephony/maskings.py": summary((1, 20), (0, 10)),
    }
    lines, percent = branches.report(files, ["telephony.masking", "telephony.twilio"])
    assert percent == pytest.approx(100 * 29 / 30)
    assert lines == [
        "  telephony/masking.py: 1 of 20 branches not run",
        "branch coverage of the pure modules: 96.7 % (29 of 30; 95 % needed)",
        "line coverage of realtime_core and telephony: 50.0 % (20 of 40)",
    ]

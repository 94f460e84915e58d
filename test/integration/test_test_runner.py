"""What scripts/test says at its end, where much failed: the last lines of its output are all that some see of it."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from under_test import ROOT  # noqa: F401: it adds scripts/lib to the path

from test_runner import Results, failures_of

COUNT = 83
BROKEN = f"""
import pytest

@pytest.fixture
def broken():
    yield
    raise AssertionError("not put back")

@pytest.mark.parametrize("number", range({COUNT}))
def test_broken(number, broken):
    assert number < 0, "no certificate:\\n" + 1000 * f"{{number}} "

def test_good():
    pass
"""


def test_each_failed_test_is_one_short_line_with_its_reason_before_the_count(tmp_path, capsys):
    (tmp_path / "test_it.py").write_text(BROKEN)
    report = tmp_path / "report.xml"
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", report,
                    tmp_path / "test_it.py"], cwd=tmp_path, capture_output=True, timeout=120, check=False)
    results = Results()
    results.add(passed=1, failures=failures_of(ElementTree.parse(report).getroot().iter("testcase")))
    results.add(failures=["configure build-clang"])
    assert results.report() == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == COUNT + 2 and lines[-1] == f"1 passed, {COUNT + 1} failed, 0 skipped"
    assert lines[-2] == "FAILED configure build-clang"
    for number, line in enumerate(lines[:COUNT]):
        title, _, reason = line.partition("]: ")
        assert title == f"FAILED integration: test_it::test_broken[{number}"
        assert reason.startswith("AssertionError: no certificate: ") and len(reason) <= 200

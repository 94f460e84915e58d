"""scripts/test: builds with sanitizers, runs every test, and says in its last line how many passed.

Every step has a time limit; a step that fails prints its log; the exit status is 0 only when nothing failed."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from builds import ROOT, configure

NPM = ROOT / "test" / "integration" / "npm"
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks={leaks}:abort_on_error=0:halt_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "LSAN_OPTIONS": f"suppressions={ROOT}/test/integration/leaks.suppressions:print_suppressions=0",
}
LOG_LINES = 150
REASON_CHARACTERS = 200
REASON_MARKS = ("[  ERROR   ]", "error: ", "ERROR: ", "runtime error: ")
# More than there are cores, each with sandboxes of its own: most tests wait for a timer, a deadline or a fail-over (with one more
# the cores were idle for half of the time).
PARALLEL = ["-n", str(len(os.sched_getaffinity(0)) + 2), "--dist", "loadfile"]
LONGEST_FILES = 15
FEW_FAILURES = 10
SANITIZER_REPORTS = ("AddressSanitizer", "LeakSanitizer", "runtime error:")
BENCHMARKS = ("bench-memory", "bench-bulk", "bench", "bench-rest", "bench-dns", "bench-ocsp", "bench-crl")  # the longest first
CLANG_FORMAT = 14  # Debian 12's; each version has an opinion of its own about the same settings
# Takes what the tests leave of the cores, in a session of its own too (each is scheduled as one: sched(7), autogroup).
LOWEST_PRIORITY = ["sh", "-c", 'echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n 19 "$@"', "sh"]


class Results:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0
        self.failures = []
        self.lock = Lock()

    def add(self, passed=0, skipped=0, failures=()):
        """Of a failure its title, or the title with the reason."""
        with self.lock:
            self.passed += passed
            self.skipped += skipped
            self.failed += len(failures)
            self.failures += [(each, "") if isinstance(each, str) else each for each in failures]

    def report(self):
        """The last lines are all that some see of the output: each failure in one of them, then the count."""
        for title, reason in self.failures:
            print(f"FAILED {title}" + (f": {one_line(reason)}" if reason else ""))
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed or not self.passed else 0


def one_line(text, longest=REASON_CHARACTERS):
    """As much of it as has room, without line breaks."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[:longest - 1] + "…"


def last_line(text):
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def reason_of(test):
    """Of a unit test: what cmocka or a sanitizer says first of what is wrong."""
    lines = (test.get("stdout", "") + "\n" + test.get("stderr", "")).splitlines()
    return next((line for line in lines if any(mark in line for mark in REASON_MARKS)), "")


def title_of(case):
    return f"integration: {case.get('classname')}::{case.get('name')}"


def failures_of(cases):
    """[(test, reason)] of a report's test cases, each test once: one that failed may have failed to clean up too."""
    failures = {}
    for case in cases:
        for child in case:
            if child.tag in ("failure", "error"):
                failures.setdefault(title_of(case), child.get("message") or last_line(child.text or ""))
    return list(failures.items())


def may_be_load(cases):
    """A few of thousands, and no report of a sanitizer."""
    texts = [child.text or "" for case in cases for child in case if child.tag in ("failure", "error")]
    return 0 < len(failures_of(cases)) <= FEW_FAILURES and not any(mark in text for text in texts for mark in SANITIZER_REPORTS)


def tail(text, lines=LOG_LINES):
    return "\n".join(text.splitlines()[-lines:])


class Runner:
    def __init__(self, options):
        self.options = options
        self.results = Results()
        self.builds = Path(os.environ.get("ORIGINCA_BUILDS", ROOT))

    def wants(self, *parts):
        return self.options.only is None or self.options.only in parts

    def run(self, title, command, seconds, environment=None, directory=ROOT):
        """(exit status, output); a step past its time limit is killed with everything it started."""
        print(f"--- {title}", flush=True)
        started = time.monotonic()
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, cwd=directory, start_new_session=True,
                                       env={**os.environ, **(environment or {})})
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
                status = 124
            output.seek(0)
            text = output.read()
        if status == 124:
            text += f"\nkilled after {seconds} s\n"
        end = "ok" if status == 0 else f"exit {status}"
        print(f"    {title}: {end}, {time.monotonic() - started:.0f} s", flush=True)
        return status, text

    def check(self, title, command, seconds, environment=None, directory=ROOT):
        """A step that counts as one test."""
        return self.judge(title, *self.run(title, command, seconds, environment, directory))

    def judge(self, title, status, text):
        if status:
            print(tail(text))
        self.results.add(passed=status == 0, failures=[(title, last_line(text))] if status else [])
        return status == 0

    # Building

    def build(self, name, options, compiler=None, targets=(), before=()):
        """The build folder, None where the build failed; `before` goes before the command."""
        directory = self.builds / name
        try:
            configure(directory, options, {"CC": compiler} if compiler else None)
        except subprocess.CalledProcessError:
            log = directory / "meson-logs" / "meson-log.txt"
            print(tail(log.read_text(errors="replace") if log.exists() else ""))
            self.results.add(failures=[f"configure {name}"])
            return None
        is_built = self.check(f"build {name}", [*before, "ninja", "-C", directory, *targets], 1800)
        return directory if is_built else None

    def other_builds(self, before=()):
        """{name: folder, or None} of what the parts after the integration tests need."""
        wanted = {}
        if self.options.only is None and not self.options.quick:
            wanted["build-clang"] = ["-Dwerror=true", "--buildtype=debugoptimized"], "clang"
            wanted["build-release"] = ["-Dwerror=true", "-Dtests=false", "--buildtype=release"], "gcc"
        if self.wants("fuzz"):
            wanted["build-fuzz"] = ["-Dfuzz=true", "-Dtests=false", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                                    "--buildtype=debugoptimized"], "clang"
        return {name: self.build(name, *settings, before=before) for name, settings in wanted.items()}

    def sanitizer_environment(self):
        # Processes of the server cannot be traced, so the leak checker needs root's rights to look at them.
        leaks = "1" if os.geteuid() == 0 else "0"
        return {name: value.format(leaks=leaks) for name, value in SANITIZERS.items()}

    # Parts

    def unit(self, directory, title="unit tests", chosen=("--no-suite", "model"), before=()):
        name = title.replace(" ", "-")
        status, text = self.run(title, [*before, "meson", "test", "-C", directory, "--no-rebuild", "--print-errorlogs", "--logbase",
                                        name, "--num-processes", "2", *chosen], 900, self.sanitizer_environment())
        log = directory / "meson-logs" / f"{name}.json"
        if not log.exists():
            print(tail(text))
            self.results.add(failures=[title])
            return
        tests = [json.loads(line) for line in log.read_text().splitlines()]
        skipped = [test["name"] for test in tests if test["result"] == "SKIP"]
        failures = [(f"unit: {test['name']} ({test['result']})", reason_of(test)) for test in tests
                    if test["result"] not in ("OK", "SKIP", "EXPECTEDFAIL")]
        if status or failures:
            print(tail(text, 400))
        if status and not failures:
            failures = [title]
        self.results.add(len(tests) - len(skipped) - len(failures), len(skipped), failures)

    def integration(self, directory, patterns):
        if not all((NPM / "node_modules" / name).exists() for name in ("acme-client", "cloudflare")):
            self.run("npm ci", ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], 300, directory=NPM)
        with tempfile.TemporaryDirectory(prefix="originca-test-") as temporary:
            environment = self.sanitizer_environment() | {
                "ORIGINCA_BUILD": str(directory), "ORIGINCA_QUICK": "1" if self.options.quick else "0"}
            files = sorted(path for pattern in patterns for path in (ROOT / "test" / "integration").glob(pattern))

            def pytest(title, name, *arguments):
                report = Path(temporary) / f"{name}.xml"
                status, text = self.run(title, [
                    "/usr/bin/python3", "-m", "pytest", "-q", "-c", ROOT / "test/integration/pytest.ini", "-o", "addopts=-ra",
                    "-o", f"cache_dir={temporary}/cache", "--basetemp", Path(temporary) / name, "--junitxml", report, *arguments],
                    3000, environment)
                if status:
                    print(tail(text, 600))
                cases = list(ElementTree.parse(report).getroot().iter("testcase")) if report.exists() else []
                # Fixtures end their sandboxes; this is for a run that was killed.
                for state in (Path(temporary) / name).glob("**/sandbox.json"):
                    self.run("end a sandbox that was left", [ROOT / "scripts/sandbox", "down", "--dir", state.parent], 120)
                return status, text, cases

            status, text, cases = pytest("integration tests", "t", *PARALLEL, *files)
            self._print_longest(cases)
            if may_be_load(cases):
                self._again(cases, *pytest("integration tests that failed, alone", "alone", "--last-failed", *files))
            else:
                self._count(cases, status, text)

    def _again(self, first, status, text, cases):
        """One that passes where nothing runs beside it failed for want of time: it is named, and counts as passed."""
        for title, reason in failures_of(first):
            print(f"    at first, beside others: {title}: {reason[:REASON_CHARACTERS]}", flush=True)
        failed = {title for title, _ in failures_of(first)}
        passed_then = [case for case in first if title_of(case) not in failed]
        self._count(passed_then + cases, status, text)

    def _count(self, cases, status, text):
        failures, passed, skipped = failures_of(cases), 0, 0
        for case in cases:
            kinds = {child.tag for child in case}
            if not kinds & {"failure", "error"}:
                skipped += "skipped" in kinds
                passed += "skipped" not in kinds
        if status and not failures:
            failures = [(f"integration tests (pytest exit {status})", last_line(text))]
        self.results.add(passed, skipped, failures)

    def _print_longest(self, cases):
        """A file is the smallest thing that one of the parallel runs takes, so the longest bounds the whole."""
        seconds = Counter()
        for case in cases:
            seconds[case.get("classname")] += float(case.get("time"))
        for name, each in seconds.most_common(LONGEST_FILES):
            print(f"    {each:4.0f} s {name}", flush=True)

    def fuzz(self, directory, before=()):
        seconds = 3 if self.options.quick else 10
        targets = sorted(path for path in directory.glob("test/*/fuzz_*") if path.is_file()
                         and os.access(path, os.X_OK))

        def run(target):
            what = target.name.removeprefix("fuzz_")
            title, corpus = f"fuzz {target.parent.name} {what}", ROOT / "test" / target.parent.name / f"corpus_{what}"
            with tempfile.TemporaryDirectory(prefix="originca-fuzz-") as found:
                return title, *self.run(title, [
                    *before, target, f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=2048", "-print_final_stats=0",
                    f"-artifact_prefix={found}/", found, *([corpus] if corpus.is_dir() else [])],
                    seconds + 120, self.sanitizer_environment())

        # Each keeps one core busy for a fixed time.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for title, status, text in pool.map(run, targets):
                self.judge(title, status, text)
        if not targets:
            self.results.add(failures=["fuzz: no targets were built"])

    def checks(self):
        sources = sorted(str(path) for folder in ("base", "rules", "store", "dnscheck", "perspective", "server", "cli", "bench",
                                                  "include", "test") for path in (ROOT / folder).rglob("*.[ch]")
                         if "node_modules" not in path.parts)
        version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True, timeout=20).stdout
        if f" version {CLANG_FORMAT}." in version:
            self.check("clang-format", ["clang-format", "--dry-run", "-Werror", *sources], 120)
        else:
            print(f"    clang-format: the layout is that of version {CLANG_FORMAT}; not compared by {version.strip()}", flush=True)
        pages = sorted((ROOT / "doc" / "man").glob("*.[0-9]"))
        if shutil.which("mandoc"):
            self.check("man pages", ["mandoc", "-T", "lint", "-W", "warning", *pages], 60)
        scripts = [path for folder in ("scripts", ".ci") for path in (ROOT / folder).iterdir() if path.is_file()]
        self.check("shell syntax", ["bash", "-n", *scripts], 30)

    def smoke(self, directory):
        """Two at a time: they show that each works, and wait for much."""
        def run(name):
            title = f"{name} smoke (release build)"
            return title, *self.run(title, [ROOT / "scripts" / name, "--smoke"], 400, {"ORIGINCA_BUILD": str(directory)})

        with ThreadPoolExecutor(2) as pool:
            for title, status, text in pool.map(run, BENCHMARKS):
                self.judge(title, status, text)

    def what_needs_no_quiet(self, directory, before=()):
        """The folder of the release build, or None. It takes what the integration tests leave of the cores: a good part."""
        if directory and self.wants("unit"):
            self.unit(directory, "model", ("--suite", "model", "--timeout-multiplier", "4"), before)
        builds = self.other_builds(before)
        if builds.get("build-fuzz"):
            self.fuzz(builds["build-fuzz"], before)
        return builds.get("build-release")

    def all(self):
        directory, release = None, None
        if self.wants("unit", "integration", "clients"):
            directory = self.build("build-asan", ["-Dwerror=true", "-Db_sanitize=address,undefined",
                                                  "--buildtype=debugoptimized"], "gcc")
        if directory and self.wants("unit"):
            self.unit(directory)
        if directory and self.wants("integration"):
            with ThreadPoolExecutor(1) as pool:
                rest = pool.submit(self.what_needs_no_quiet, directory, LOWEST_PRIORITY)
                self.integration(directory, ["test_*.py"])
            release = rest.result()
        else:
            if directory and self.wants("clients"):
                self.integration(directory, ["test_client_*.py", "test_python_acme.py"])
            release = self.what_needs_no_quiet(directory)
        if release:
            self.smoke(release)
        if self.options.only is None:
            self.checks()
        return self.results.report()


def main():
    parser = argparse.ArgumentParser(prog="scripts/test", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, one compiler, no benchmark")
    parser.add_argument("--only", choices=["unit", "integration", "clients", "fuzz"], help="one part alone")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    sys.exit(Runner(parser.parse_args()).all())


if __name__ == "__main__":
    main()

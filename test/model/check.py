"""Checks issuance.pml with spin: the protocol holds in every run, and each known mistake is found.

usage: check.py [--all]     --all: also the long runs (minutes), for who changes the model or the protocol."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MODEL = Path(__file__).resolve().parent / "issuance.pml"
MISTAKES = 11
RIGHTS_KILLS = {"REVOKES": 0, "LOST_TAILS": 0}
RIGHTS_TAILS = {"REVOKES": 0, "KILLS": 0}
REVOKES_KILLS = {"RIGHTS": 0, "LOST_TAILS": 0}
REVOKES_TAILS = {"RIGHTS": 0, "KILLS": 0}
# The run that shows each mistake.
SHOWS = {1: REVOKES_KILLS, 2: REVOKES_TAILS, 3: RIGHTS_KILLS, 4: REVOKES_KILLS, 5: REVOKES_KILLS, 6: RIGHTS_KILLS,
         7: RIGHTS_KILLS, 8: REVOKES_KILLS, 9: RIGHTS_KILLS, 10: RIGHTS_KILLS, 11: RIGHTS_KILLS}
SECONDS = 2400  # of one run; the short ones take seconds


def verify(title, checks_ends, settings, directory):
    """(title, states, the first error or ""). With `checks_ends` every order must end, whoever is scheduled fairly."""
    directory.mkdir()
    settings = [f"-D{name}={value}" for name, value in settings.items()]
    subprocess.run(["spin", "-a", *settings, MODEL], cwd=directory, check=True, capture_output=True, timeout=60)
    search = ["-DNFAIR=3"] if checks_ends else ["-DSAFETY", "-DNOCLAIM"]
    subprocess.run([os.environ.get("CC", "cc"), "-w", "-O2", "-DCOLLAPSE", "-DVECTORSZ=2048", *search, "-o", "check",
                    "pan.c"], cwd=directory, check=True, timeout=120)
    how = ["-a", "-f", "-m400000"] if checks_ends else ["-E", "-m400000"]
    text = subprocess.run(["./check", *how, "-n"], cwd=directory, capture_output=True, text=True,
                          timeout=SECONDS).stdout
    error = re.search(r"^pan:1: (.*)$", text, re.M)
    if not error and ("errors: 0" not in text or "max search depth too small" in text):
        error = re.search(r"(?s)(.*)", text)  # it did not come to its end
    return title, int(re.search(r"(\d+) states, stored", text)[1]), error[1] if error else ""


def runs(is_long):
    for name, settings in (("rights, kills and fail-over", RIGHTS_KILLS), ("rights, a lost tail and fail-over", RIGHTS_TAILS),
                           ("revocation, kills and fail-over", REVOKES_KILLS),
                           ("revocation, a lost tail and fail-over", REVOKES_TAILS)):
        yield f"nothing is undone: {name}", False, settings, False
    for name, settings in (("kills and fail-over", REVOKES_KILLS), ("a lost tail and fail-over", REVOKES_TAILS)):
        yield f"every order ends: {name}", True, settings, False
    if is_long:
        for name, settings in (("rights, kills and fail-over", RIGHTS_KILLS),
                               ("rights, a lost tail and fail-over", RIGHTS_TAILS)):
            yield f"every order ends: {name}", True, settings, False
    for mistake in range(1, MISTAKES + 1):
        yield f"mistake {mistake} is found", False, SHOWS[mistake] | {"MISTAKE": mistake}, True


def main():
    failures = 0
    with tempfile.TemporaryDirectory(prefix="originca-model-") as temporary, ThreadPoolExecutor(2) as pool:
        planned = list(runs("--all" in sys.argv[1:]))
        results = [pool.submit(verify, title, checks_ends, settings, Path(temporary) / str(number))
                   for number, (title, checks_ends, settings, _) in enumerate(planned)]
        for result, (*_, must_fail) in zip(results, planned):
            title, states, error = result.result()
            is_good = bool(error) == must_fail
            failures += not is_good
            print(f"{'ok' if is_good else 'FAILED'}: {title} ({states} states{', ' + error if error else ''})", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

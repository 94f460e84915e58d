"""What the benchmarks share: how they start, a sandbox that is gone afterwards, and running a program for what it prints."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from box import Sandbox
from builds import build_directory


def prepare():
    """The folder of the build that is measured; the sandbox takes its programs from there too."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    directory = build_directory()
    os.environ["ORIGINCA_BUILD"] = str(directory)
    return directory


def start_benchmark(parser, smoke):
    """The options, with those of `smoke` for a short run, and the folder of the benchmark's programs."""
    parser.add_argument("--smoke", action="store_true", help="a short run: does everything work?")
    options = parser.parse_args()
    if options.smoke:
        vars(options).update(smoke)
    return options, prepare() / "bench"


@contextlib.contextmanager
def passing_directory():
    directory = Path(tempfile.mkdtemp(prefix="originca-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def passing_box(settings):
    """A sandbox that says nothing when it comes up."""
    with passing_directory() as directory:
        box = Sandbox(directory / "box")
        try:
            with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
                box.up(settings)
            yield box
        finally:
            if box.state:
                box.down(False)


def run_program(command, seconds, environment=None, explain=lambda: ""):
    """What the program prints. Its failure ends the benchmark, with what `explain` says of it."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds,
                            env={**os.environ, **(environment or {})})
    if result.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed:\n{result.stdout[-2000:]}{result.stderr}\n{explain()}")
    return result.stdout

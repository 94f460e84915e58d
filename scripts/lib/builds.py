"""Where the programs come from: meson builds them into build/, unless ORIGINCA_BUILD names a finished build."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def configure(directory, options=(), environment=None):
    if (Path(directory) / "build.ninja").exists():
        return
    subprocess.run(["meson", "setup", str(directory), str(ROOT), *options], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, **(environment or {})})


def build_directory():
    """The folder of a build that is up to date."""
    finished = os.environ.get("ORIGINCA_BUILD")
    if finished:
        return Path(finished).resolve()
    directory = ROOT / "build"
    configure(directory, ["--buildtype=release", "-Dtests=false"])
    result = subprocess.run(["ninja", "-C", str(directory)], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"The build failed:\n{result.stdout[-6000:]}{result.stderr[-2000:]}")
    return directory


def server_program():
    path = build_directory() / "server" / "originca-server"
    if not os.access(path, os.X_OK):
        raise SystemExit(f"{path} is not there; ORIGINCA_BUILD must name a finished build")
    return str(path)

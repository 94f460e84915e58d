"""Where the programs come from: meson builds them into build/, unless ORIGINCA_BUILD names a finished build."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"originca-server": "server/originca-server", "originca": "cli/originca"}


def configure(directory, options=(), environment=None):
    if (Path(directory) / "build.ninja").exists():
        return
    subprocess.run(["meson", "setup", str(directory), str(ROOT), *options], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, **(environment or {})})


def programs():
    """{program: path}; builds what is not built."""
    finished = os.environ.get("ORIGINCA_BUILD")
    directory = Path(finished or ROOT / "build").resolve()
    if not finished:
        configure(directory, ["--buildtype=release", "-Dtests=false"])
        result = subprocess.run(["ninja", "-C", str(directory), *PROGRAMS.values()], capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"sandbox: the build failed:\n{result.stdout[-6000:]}{result.stderr[-2000:]}")
    paths = {name: directory / path for name, path in PROGRAMS.items()}
    for path in paths.values():
        if not os.access(path, os.X_OK):
            raise SystemExit(f"sandbox: {path} is not there; ORIGINCA_BUILD must name a finished build")
    return paths

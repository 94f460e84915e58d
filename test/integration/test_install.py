"""`meson install` puts everything in place, and what it installs is true: pages, unit, example, settings."""

import os
import re
import shutil
from pathlib import Path

import pytest

from under_test import ROOT, run


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The installed files by their place below the prefix."""
    target = tmp_path_factory.mktemp("install")
    run(["meson", "install", "-C", os.environ["ORIGINCA_BUILD"], "--no-rebuild"], {"DESTDIR": target}, timeout=120)
    files = [path for path in target.rglob("*") if path.is_file()]
    return {re.sub(r".*?/(bin|share|lib|etc)/", r"\1/", str(path.relative_to(target)), count=1): path for path in files}


@pytest.mark.parametrize("name", ["bin/originca", "bin/originca-server", "share/man/man1/originca.1",
                                  "share/man/man5/originca.conf.5", "share/man/man8/originca-server.8",
                                  "share/doc/originca/originca.conf.example", "share/doc/originca/redis.conf.example",
                                  "lib/systemd/system/originca.service"])
def test_is_installed(tree, name):
    assert name in tree, sorted(tree)


def test_installed_programs_say_their_version(tree):
    for program in ("originca", "originca-server"):
        assert run([tree[f"bin/{program}"], "--version"]).stdout.startswith(program)
        assert "Usage" in run([tree[f"bin/{program}"], "--help"]).stdout


def test_the_unit_starts_the_installed_program(tree):
    unit = tree["lib/systemd/system/originca.service"].read_text()
    assert re.search(r"^ExecStart=/\S+/bin/originca-server", unit, re.M), unit


@pytest.mark.parametrize("unit, exposure", [("originca", 32), ("originca-perspective", 22)])
def test_the_units_leave_little_open(tree, unit, exposure):
    """By systemd's own count, in tenths; users, capabilities and addresses are what is left."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd here")
    path = tree[f"lib/systemd/system/{unit}.service"]
    judged = run(["systemd-analyze", "security", "--offline=yes", f"--threshold={exposure}", path], check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    for setting in ("NoNewPrivileges=true", "ProtectSystem=strict", "SystemCallFilter=@system-service",
                    "MemoryDenyWriteExecute=true"):
        assert setting in path.read_text().splitlines()


def test_every_setting_of_the_example_is_known(tree, tmp_path):
    """The example's files do not exist here; that must be all that is wrong with it."""
    example = tree["share/doc/originca/originca.conf.example"]
    result = run([tree["bin/originca-server"], "-c", example, "--check-config"], check=False)
    complaints = [line for line in (result.stdout + result.stderr).splitlines() if ":" in line]
    assert not [line for line in complaints if "no setting" in line or "unknown" in line], complaints


def test_the_settings_in_the_documentation_are_those_of_the_program(tree):
    printed = run([tree["bin/originca-server"], "--print-settings"]).stdout
    written = (ROOT / "doc" / "configuration.md").read_text()
    assert written[re.search("^## ", written, re.M).start():].strip() == printed.strip()


def settings_of_the_program(tree):
    """{section: {name: default, "" where there is none}}"""
    printed = run([tree["bin/originca-server"], "--print-settings"]).stdout
    parts = re.split(r"^## (\w+)$", printed, flags=re.M)[1:]
    return {section: dict(re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`|none) \|", text, re.M))
            for section, text in zip(parts[::2], parts[1::2], strict=True)}


def settings_of_the_example(text):
    """[(section, name, value, is it behind a #)]; of the issuers each."""
    found, sections = [], []
    for line in text.splitlines():
        if opened := re.match(r"\s*(\w+)(?: \"[^\"]*\")? \{$", line):
            sections.append(opened[1])
        elif line.strip() == "}":
            sections.pop()
        elif setting := re.match(r"\s*(# )?(\w+) = (.*?)(?:\s{3,}#.*)?$", line):
            found.append((sections[-1], setting[2], setting[3], setting[1] is not None))
    return found


def test_every_setting_stands_in_the_example_with_its_default(tree):
    known = settings_of_the_program(tree)
    found = settings_of_the_example(tree["share/doc/originca/originca.conf.example"].read_text())
    missing = [f"{section}.{name}" for section, settings in known.items() for name in settings
               if (section, name) not in [each[:2] for each in found]]
    assert not missing, missing
    other = [f"{section}.{name} = {value}, not {known[section][name]}" for section, name, value, is_default in found
             if is_default and known[section][name] and value.strip('{}"') != known[section][name]]
    assert not other, other


def test_the_settings_behind_a_mark_in_the_example_are_well_formed(tree, tmp_path):
    """With every mark taken away only files and users are missing, and one of two ways to Redis is too many."""
    path = tmp_path / "whole.conf"
    path.write_text(re.sub(r"^(\s*)# (\w+ = )", r"\1\2", tree["share/doc/originca/originca.conf.example"].read_text(),
                           flags=re.M))
    complaints = run([tree["bin/originca-server"], "-c", path, "--check-config"], check=False).stderr.splitlines()
    unexpected = [line for line in complaints if line.startswith(f"{path}:") and "cannot read" not in line
                  and "set either redis_socket or redis_host" not in line and "there is no user" not in line]
    assert not unexpected, unexpected


@pytest.mark.parametrize(("library", "package", "is_warned_of"), [
    ("2.1.12-stable", "2.1.12-stable-8", True),
    ("2.1.12-stable", "2.1.12-stable-8+deb12u1", False),
    ("2.1.12-stable", "2.1.12-stable-8+deb12u2", False),
    ("2.1.12-stable", "2.1.12-stable-10", True),  # another release of Debian: its corrections have other numbers
    ("2.1.12-stable", "", True),
    ("2.1.13-stable", "2.1.13-stable-1", False)])
def test_the_build_warns_of_a_libevent_without_security_corrections(tmp_path, library, package, is_warned_of):
    query = tmp_path / "dpkg-query"
    query.write_text(f"#!/bin/sh\nprintf '%s' '{package}'\n")
    query.chmod(0o755)
    (tmp_path / "libevent_core.pc").write_text(f"Name: libevent_core\nDescription: events\nVersion: {library}\n"
                                               "Libs: -levent_core\n")
    said = run(["meson", "setup", tmp_path / "build", ROOT, "-Dtests=false"],
               {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PKG_CONFIG_PATH": tmp_path}, timeout=120).stdout
    assert f"libevent_core found: YES {library}" in said
    assert ("may lack security corrections" in said) == is_warned_of, said


def test_every_route_of_the_admin_api_is_documented():
    source = (ROOT / "server" / "admin" / "service.c").read_text()
    text = (ROOT / "doc" / "admin-api.md").read_text()
    for route in re.findall(r'"(/admin/v1/[^"]*|/metrics|/healthz|/readyz)"', source):
        last = [part for part in route.split("/") if part and not part.startswith(":")][-1]
        assert last in text, route


def test_every_reason_of_the_dns_check_is_documented():
    text = (ROOT / "doc" / "dns-check.md").read_text()
    words = set()
    for path in (ROOT / "dnscheck").glob("*.c"):
        words |= set(re.findall(r'DNSCHECK_(?:REFUSED|FAILED|OK),\s*(?:[^"(]*\?\s*)?"([a-z-]+)"', path.read_text()))
    missing = [word for word in words - {"internal"} if f"`{word}`" not in text]
    assert not missing, missing

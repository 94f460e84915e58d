"""--check-config names file, line and key of each mistake, and the server never starts with one."""

import os
from pathlib import Path

import pytest

from under_test import run


def server():
    return Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"


def check(path):
    return run([server(), "-c", path, "--check-config"], check=False)


@pytest.fixture
def good(sandbox):
    return Path(sandbox["CONFIG"]).read_text()


def with_line(text, section, line):
    """The text with `line` as the section's only setting of that key, and the line's number."""
    key = line.partition(" ")[0]
    lines = [each for each in text.splitlines() if not each.strip().startswith(f"{key} =")]
    at = lines.index(f"{section} {{")
    lines.insert(at + 1, f"    {line}")
    return "\n".join(lines) + "\n", at + 2


def test_a_good_configuration_passes(good, tmp_path):
    path = tmp_path / "good.conf"
    path.write_text(good)
    assert check(path).returncode == 0


@pytest.mark.parametrize("section, line, key, hint", [
    ("server", "workers = 9999", "workers", "256"),
    ("server", 'https_listen = {"localhost"}', "https_listen", "localhost"),
    ("http", 'max_body_bytes = "many"', "max_body_bytes", ""),
    ("acme", "max_names = 0", "max_names", "1"),
    ("dns", 'edge_prefixes = {"203.0.113.0/33"}', "edge_prefixes", "203.0.113.0/33"),
    ("dns", "dns_tires = 3", "dns_tires", ""),
    ("redis", "redis_port = 70000", "redis_port", "65535"),
    ("signer", "signer_threads = -1", "signer_threads", ""),
])
def test_a_mistake_is_named_with_file_line_and_key(good, tmp_path, section, line, key, hint):
    path = tmp_path / "bad.conf"
    text, number = with_line(good, section, line)
    path.write_text(text)
    result = check(path)
    assert result.returncode == 2
    output = result.stdout + result.stderr
    named = [each for each in output.splitlines() if each.startswith(f"{path}:{number}:") and key in each]
    assert named, output
    assert hint in named[0], named


def test_root_servers_at_addresses_that_are_not_asked_are_a_mistake(good, tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text("\n".join(each for each in good.splitlines() if "allow_addresses" not in each))
    result = check(path)
    assert result.returncode == 2
    assert "dns.root_hints_file" in result.stderr and "allow_addresses" in result.stderr, result.stderr


def test_every_mistake_is_named_not_only_the_first(good, tmp_path):
    path = tmp_path / "bad.conf"
    text, _ = with_line(good, "server", "workers = 9999")
    text, _ = with_line(text, "redis", "redis_port = 70000")
    path.write_text(text.replace("edge_prefixes", "# edge_prefixes"))
    output = check(path).stderr
    assert all(key in output for key in ("workers", "redis_port", "edge_prefixes")), output


def test_a_missing_file_and_a_broken_syntax_are_said_plainly(good, tmp_path):
    missing = check(tmp_path / "absent.conf")
    assert missing.returncode == 2 and "absent.conf" in missing.stderr
    broken = tmp_path / "broken.conf"
    broken.write_text(good.rstrip().removesuffix("}"))
    result = check(broken)
    assert result.returncode == 2 and "broken.conf:" in result.stderr, result.stderr


def test_the_server_does_not_start_with_a_mistake(good, tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text(with_line(good, "server", "workers = 9999")[0])
    result = run([server(), "-c", path], check=False, timeout=20)
    assert result.returncode == 2 and "workers" in result.stderr


def test_a_second_server_on_the_same_sockets_says_so(sandbox):
    result = run([server(), "-c", sandbox["CONFIG"]], check=False, timeout=30,
                 environment={"SOFTHSM2_CONF": sandbox["SOFTHSM2_CONF"]})
    assert result.returncode != 0
    assert "another originca-server holds" in result.stdout + result.stderr
    sandbox.wait_ready()


def test_version_and_help():
    assert run([server(), "--version"]).stdout.startswith("originca-server ")
    assert "--check-config" in run([server(), "--help"]).stdout

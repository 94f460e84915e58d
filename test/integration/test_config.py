"""--check-config names file, line and key of each mistake, and the server never starts with one."""

import os
import subprocess
from pathlib import Path

import pytest

from under_test import free_port_base, run, wait_until


def server():
    return Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"


def check(path, token=None):
    return run([server(), "-c", path, "--check-config"], {"SOFTHSM2_CONF": token}, check=False)


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


@pytest.mark.parametrize("section, line, key, hint", [
    ("server", 'base_url = "https://ca.example:443"', "base_url", '"https://ca.example"'),
    ("server", 'base_url = "https://CA.Example"', "base_url", '"https://ca.example"'),
    ("server", 'base_url = "HTTPS://ca.example"', "base_url", '"https://ca.example"'),
    ("server", 'base_url = "https://bücher.example"', "base_url", '"https://xn--bcher-kva.example"'),
    ("server", 'base_url = "https://me@ca.example"', "base_url", "https://ca.example"),
    ("server", 'base_url = "https://ca.example:0"', "base_url", "https://ca.example"),
    ("server", 'https_listen = {"127.0.0.1:8443", "127.0.0.1:8443"}', "https_listen", "127.0.0.1:8443"),
    ("server", 'https_listen = {"[::1]:8443", "[0:0::1]:8443"}', "https_listen", "[0:0::1]:8443"),
    ("server", 'https_listen = {"127.0.0.1:0"}', "https_listen", "needs a port"),
    ("server", 'https_listen = {"[::ffff:127.0.0.1]:8443"}', "https_listen", "IPv4"),
    ("acme", 'caa_identities = {"https://provider.test"}', "caa_identities", "domain name"),
    ("acme", 'caa_identities = {"provider.test", "Provider.Test"}', "caa_identities", "twice"),
    ("acme", 'terms_of_service = "provider.test/terms"', "terms_of_service", "https://"),
    ("dns", 'edge_prefixes = {"0.0.0.0/0"}', "edge_prefixes", "too large"),
    ("dns", 'edge_prefixes = {"::/0"}', "edge_prefixes", "too large"),
    ("dns", 'allow_addresses = {"127.0.0.0/8", "0.0.0.0/0"}', "allow_addresses", "too large"),
    ("dns", 'name_server_pool = {"NS1.provider.test.", "ns1.provider.test"}', "name_server_pool", "twice"),
    ("dns", 'name_server_pool = {"ns1.provider.test", "192.0.2.1"}', "name_server_pool", "domain name"),
    ("dns", 'reserved_zones = {"edge.provider.test", "Edge.provider.test."}', "reserved_zones", "twice"),
    ("dns", 'reserved_zones = {"*.provider.test"}', "reserved_zones", "domain name"),
    ("dns", 'name_server_pool = {"ns1.provider.test", "ns2"}', "name_server_pool", "no full name"),
    ("dns", 'edge_prefixes = {"::ffff:0.0.0.0/96"}', "edge_prefixes", "IPv4"),
    ("dns", 'deny_addresses = {"::ffff:192.0.2.0/120"}', "deny_addresses", "IPv4"),
    ("redis", 'redis_socket = ""', "redis_socket", "expected a path"),
    ("server", 'tls_key_file = "/dev/urandom"', "tls_key_file", "no regular file"),
    ("dns", 'root_hints_file = "/dev/zero"', "root_hints_file", "no regular file"),
    ("acme", 'public_suffix_file = "/dev/zero"', "public_suffix_file", "no regular file"),
    ("limits", "failed_check_pause_seconds = 1000", "failed_check_pause_seconds", "longest"),
    ("redis", f'redis_socket = "/{"r" * 120}"', "redis_socket", "107"),
])
def test_a_value_that_cannot_be_meant_is_named_with_line_and_what_is_expected(good, tmp_path, section, line, key, hint):
    path = tmp_path / "bad.conf"
    text, number = with_line(good, section, line)
    path.write_text(text)
    result = check(path)
    assert result.returncode == 2
    named = [each for each in result.stderr.splitlines() if each.startswith(f"{path}:{number}: {section}.{key}: ")]
    assert named and hint in named[0], result.stderr


@pytest.mark.parametrize("section, key", [("server", "https_listen"), ("dns", "edge_prefixes"), ("dns", "name_server_pool"),
                                          ("dns", "perspectives")])
def test_a_list_that_is_required_may_not_be_empty(good, tmp_path, section, key):
    """Nor does it mean the default, which nobody asked for."""
    path = tmp_path / "bad.conf"
    path.write_text(with_line(good, section, f"{key} = {{}}")[0])
    result = check(path)
    assert result.returncode == 2 and f"{section}.{key}: " in result.stderr, result


def test_one_address_for_two_listeners_is_a_mistake(good, tmp_path):
    path = tmp_path / "bad.conf"
    text, _ = with_line(good, "server", 'https_listen = {"127.0.0.1:8443"}')
    text, number = with_line(text, "server", 'http_listen = {"127.0.0.1:8443"}')
    path.write_text(text)
    assert f"{path}:{number}: server.http_listen: " in check(path).stderr


@pytest.mark.parametrize("key, url", [("crl_url", "crl.provider.test/ecc.crl"), ("crl_url", "https://crl.provider.test/c"),
                                      ("ocsp_url", "ldap://ocsp.provider.test"), ("crl_url", "http://crl .test/x"),
                                      ("crl_url", "http://crl.test/{shard}/{shard}"), ("crl_url", "http://crl.test/{shards}"),
                                      ("crl_url", "http://crl.test/{"), ("crl_url", "http://{shard}-.test/"),
                                      ("crl_url", "http://crl.test/{shard}" + "a" * 500),
                                      ("key_uri", "pkcs11:token=originca;object=ecc?pin-value=12345678")])
def test_an_issuers_mistake_is_named_with_its_line(good, tmp_path, key, url):
    path = tmp_path / "bad.conf"
    lines = good.splitlines()
    at = max(number for number, line in enumerate(lines) if line.strip().startswith(f"{key} ="))  # of the last issuer
    lines[at] = f'        {key} = "{url}"'
    path.write_text("\n".join(lines) + "\n")
    result = check(path)
    assert result.returncode == 2 and f"{path}:{at + 1}: issuer.{key}: " in result.stderr, result.stderr


def test_two_issuers_have_no_list_in_common(good, tmp_path):
    path = tmp_path / "bad.conf"
    lines = good.splitlines()
    first, second = [number for number, line in enumerate(lines) if line.strip().startswith("crl_url =")]
    for one, other, is_common in (("e{shard}", "e{shard}", True), ("e{shard}", "ef", True), ("f", "{shard}", True),
                                  ("e{shard}", "e10", False), ("e{shard}", "r{shard}", False)):
        lines[first], lines[second] = (f'        crl_url = "http://crl.test/crl/{end}"' for end in (one, other))
        path.write_text("\n".join(lines) + "\n")
        named = [line for line in check(path).stderr.splitlines() if line.startswith(f"{path}:{second + 1}: issuer.crl_url: ")]
        assert ["each has its own" in line for line in named] == [True] * is_common, (one, other, named)


# Files


def own_place(good, tmp_path):
    """The sandbox's configuration for a server beside it, on sockets and a folder of its own."""
    port = free_port_base()
    for line in (f'run_directory = "{tmp_path}/run"', f'admin_listen = "unix:{tmp_path}/admin.sock"',
                 f'https_listen = {{"127.0.0.1:{port}"}}', f'http_listen = {{"127.0.0.1:{port + 1}"}}'):
        good, _ = with_line(good, "server", line)
    return good


def with_file(sandbox, good, tmp_path, section, key, content):
    """A configuration in which `key` names a file of that content, or one that is missing; and the line's number."""
    if isinstance(content, Path):
        content = content.read_bytes()
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    lines = good.splitlines()
    existing = [number for number, line in enumerate(lines) if line.strip().startswith(f"{key} =")]
    if existing:
        lines[existing[0]] = f'    {key} = "{file}"'
        number = existing[0] + 1
    else:
        lines.insert(lines.index(f"{section} {{") + 1, f'    {key} = "{file}"')
        number = lines.index(f"{section} {{") + 2
    path = tmp_path / "file.conf"
    path.write_text("\n".join(lines) + "\n")
    return path, number, file


@pytest.mark.parametrize("section, key, content, hint", [
    ("server", "tls_certificate_file", "tls/ca.pem", "cannot use the certificate"),
    ("server", "secret_file", b"0123456789abcdef\n", "64 hex digits"),
    ("server", "secret_file", None, "cannot read"),
    ("acme", "public_suffix_file", None, "cannot load"),
    ("acme", "key_blocklist_file", b"no digest\n", ""),
    ("redis", "redis_password_file", b"\n", "empty"),
    ("dns", "root_hints_file", b"; nothing\n", "no address of a root server"),
    ("dns", "trust_anchor_file", b"; nothing\n", "DNSKEY"),
    ("signer", "pkcs11_module", None, "cannot read"),
    ("signer", "pkcs11_module", b"no module" * 100, "no shared object"),
    ("signer", "pkcs11_pin_file", None, "cannot read"),
    ("signer", "pkcs11_pin_file", b"\n", "empty"),
    ("signer", "ledger_directory", None, "ca init"),
    ("issuer", "certificate_file", None, "ca init"),
    ("issuer", "certificate_file", b"no certificate\n", "no PEM certificate"),
    ("issuer", "certificate_file", "tls/server.pem", "no CA certificate"),
])
def test_a_file_that_a_start_could_not_use_is_named_with_its_setting_and_line(sandbox, good, tmp_path, section, key,
                                                                              content, hint):
    if isinstance(content, str):
        content = sandbox.directory / content
    path, number, file = with_file(sandbox, good, tmp_path, section, key, content)
    result = check(path, sandbox["SOFTHSM2_CONF"])
    assert result.returncode == 2, result
    named = [each for each in result.stderr.splitlines() if each.startswith(f"{path}:{number}: {section}.{key}: ")]
    assert named and hint in named[0] and str(file) in named[0] and "as user root" in named[0], result.stderr
    assert len(named) == 1, "the same is said once"


def test_an_issuing_certificate_of_another_key_is_a_mistake(sandbox, good, tmp_path):
    path, _, file = with_file(sandbox, good, tmp_path, "issuer", "certificate_file", Path(sandbox["ISSUER_RSA"]))
    result = check(path, sandbox["SOFTHSM2_CONF"])
    assert result.returncode == 2 and "issuer.certificate_file: " in result.stderr, result.stderr
    assert f"{file}: the ledger knows another key under the issuer name" in result.stderr, result.stderr


def test_a_new_issuers_certificate_of_another_key_is_a_mistake(sandbox, good, tmp_path):
    begin = good.index('    issuer "ecc" {')
    section = good[begin:good.index("    }\n", begin) + len("    }\n")]
    added = section.replace('issuer "ecc"', 'issuer "next"').replace("/issuer-ecc.pem", "/issuer-rsa.pem").replace("/crl/e", "/crl/n")
    path = tmp_path / "next.conf"
    path.write_text(good.replace(section, section + added))
    result = check(path, sandbox["SOFTHSM2_CONF"])
    assert result.returncode == 2 and "issuer.certificate_file: " in result.stderr, result.stderr
    assert f"does not sign for {sandbox['ISSUER_RSA']}" in result.stderr, result.stderr


def test_a_token_that_is_away_is_a_warning(sandbox, good, tmp_path):
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}\n")
    path = tmp_path / "good.conf"
    path.write_text(good)
    result = check(path, tmp_path / "softhsm2.conf")
    assert result.returncode == 0 and "warning: the signer will wait for its token" in result.stderr, result


def test_files_are_read_as_the_user_who_will_read_them(sandbox, good, tmp_path):
    text, _ = with_line(good, "server", 'user = "nobody"')
    text, _ = with_line(text, "server", 'signer_user = "root"')
    path = tmp_path / "users.conf"
    path.write_text(text)
    result = check(path, sandbox["SOFTHSM2_CONF"])
    assert result.returncode == 2
    refused = [line for line in result.stderr.splitlines() if "[as user nobody]" in line]
    assert any("server.secret_file" in line and "Permission denied" in line for line in refused), result.stderr
    assert any("server.tls_certificate_file" in line for line in refused), result.stderr
    assert not any("as user root" in line for line in result.stderr.splitlines() if "warning" not in line), result.stderr
    assert "workers as nobody" in result.stderr and "signer as root" in result.stderr
    path.write_text(with_line(good, "server", 'user = "no-such-user"')[0])
    assert "no-such-user" in check(path).stderr


def test_a_good_configuration_says_in_whose_view(sandbox, good, tmp_path):
    path = tmp_path / "good.conf"
    path.write_text(good)
    result = check(path, sandbox["SOFTHSM2_CONF"])
    assert result.returncode == 0 and not result.stderr, result
    assert "workers as root" in result.stdout and "signer as root" in result.stdout


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


@pytest.mark.parametrize("section, first, second", [
    ("server", "workers = 1", "workers = 1"),
    ("dns", 'edge_prefixes = {"203.0.113.0/24"}', 'edge_prefixes = {"203.0.113.0/24", "198.51.100.0/24"}'),
    ("dns", 'name_server_pool = {"ns1.provider.test", "ns2.provider.test"}', "name_server_pool = {}"),
    ("acme", 'caa_identities = {"provider.test"}', 'caa_identities = "provider.test"')])
def test_a_setting_that_is_set_twice_is_named_with_both_lines(good, tmp_path, section, first, second):
    path = tmp_path / "bad.conf"
    text, number = with_line(good, section, first)
    lines = text.splitlines()
    lines.insert(number, f"    {second}")
    path.write_text("\n".join(lines) + "\n")
    result = check(path)
    key = first.partition(" ")[0]
    assert result.returncode == 2
    assert f"{path}:{number + 1}: {section}.{key}: is set twice (first in line {number})" in result.stderr, result.stderr


def test_sections_of_one_kind_may_set_the_same_and_a_list_may_be_added_to(sandbox, good, tmp_path):
    path = tmp_path / "good.conf"
    text, number = with_line(good, "acme", 'caa_identities = {"a.provider.test"}')
    lines = text.splitlines()
    lines.insert(number, '    caa_identities += {"b.provider.test"}')
    lines += ["profile a {", "    template = origin", "    max_days = 90", "}", "profile b {", "    template = origin",
              "    max_days = 90", "}"]
    path.write_text("\n".join(lines) + "\n")
    result = check(path, sandbox["SOFTHSM2_CONF"])
    assert result.returncode == 0, result.stderr


def test_the_server_does_not_start_with_a_mistake(good, tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text(with_line(good, "server", "workers = 9999")[0])
    result = run([server(), "-c", path], check=False, timeout=20)
    assert result.returncode == 2 and "workers" in result.stderr


@pytest.mark.parametrize("section, key, content, hint", [
    ("server", "tls_certificate_file", "tls/ca.pem", "cannot use the certificate"),
    ("server", "secret_file", b"0123456789abcdef\n", "64 hex digits"),
    ("acme", "key_blocklist_file", b"no digest\n", ""),
    ("dns", "trust_anchor_file", b"; nothing\n", "DNSKEY"),
    ("signer", "pkcs11_module", None, "cannot read"),
    ("issuer", "certificate_file", b"no certificate\n", "no PEM certificate"),
])
def test_the_server_does_not_start_with_a_file_that_no_process_could_use(sandbox, good, tmp_path, section, key, content,
                                                                         hint):
    """What --check-config says of it, at once and before any socket is opened."""
    if isinstance(content, str):
        content = sandbox.directory / content
    path, number, _ = with_file(sandbox, own_place(good, tmp_path), tmp_path, section, key, content)
    result = run([server(), "-c", path], {"SOFTHSM2_CONF": sandbox["SOFTHSM2_CONF"]}, check=False, timeout=60)
    assert result.returncode == 2, result
    named = [each for each in result.stderr.splitlines() if each.startswith(f"{path}:{number}: {section}.{key}: ")]
    assert named and hint in named[0] and "warning" not in named[0], result.stderr
    assert not (tmp_path / "run").exists(), "it began to start"


@pytest.mark.parametrize("section, key", [("signer", "pkcs11_pin_file"), ("signer", "ledger_directory"),
                                          ("redis", "redis_password_file")])
def test_a_file_that_may_come_later_does_not_keep_the_server_from_starting(sandbox, good, tmp_path, section, key):
    path, number, file = with_file(sandbox, own_place(good, tmp_path), tmp_path, section, key, None)
    with subprocess.Popen([server(), "-c", path], stderr=subprocess.PIPE, text=True, process_group=0,
                          env={**os.environ, "SOFTHSM2_CONF": sandbox["SOFTHSM2_CONF"]}) as process:
        try:
            assert wait_until((tmp_path / "run" / "originca-server.pid").exists, 60)
        finally:
            process.terminate()
            _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f"{path}:{number}: {section}.{key}: warning: the server will wait for it" in said and str(file) in said, said


def test_a_second_server_on_the_same_sockets_says_so(sandbox):
    result = run([server(), "-c", sandbox["CONFIG"]], check=False, timeout=30,
                 environment={"SOFTHSM2_CONF": sandbox["SOFTHSM2_CONF"]})
    assert result.returncode != 0
    assert "another originca-server holds" in result.stdout + result.stderr
    sandbox.wait_ready()


def test_version_and_help():
    assert run([server(), "--version"]).stdout.startswith("originca-server ")
    assert "--check-config" in run([server(), "--help"]).stdout

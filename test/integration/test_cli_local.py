"""What `originca` does without a server: keys and requests in cfssl's formats, self-signed certificates, reading
certificates, completion, and what is installed. cfssl and cfssljson are Debian's."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from cli_tools import Shell, mode, spki
from under_test import ROOT, run

OK, REFUSED, USAGE, NO_SERVER, FILES, HOOK = range(6)
TEMPLATE = {"key": {"algo": "rsa", "size": 2048}, "hosts": ["mysite.com", "10.0.0.1", "a@mysite.com", "2001:db8::1"],
            "CN": "mysite.com", "names": [{"C": "US", "L": "San Francisco", "ST": "California",
                                           "O": "My Company, Inc.", "OU": "My Company’s IT Department"}]}


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def template(shell, **changes):
    return shell.write("csr.json", json.dumps({**TEMPLATE, **changes}))


def tool(shell, *command, stdin=""):
    return subprocess.run(command, cwd=shell.directory, input=stdin, capture_output=True, text=True, timeout=60,
                          check=True).stdout


def request_facts(text):
    request = x509.load_pem_x509_csr(text.encode() if isinstance(text, str) else text)
    assert request.is_signature_valid
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return ([(part.oid, part.value) for part in request.subject], [(type(name), name.value) for name in names],
            request.signature_hash_algorithm.name)


# genkey and json, against cfssl and cfssljson


@pytest.mark.parametrize("key", [{"algo": "rsa", "size": 2048}, {"algo": "rsa", "size": 3072},
                                 {"algo": "ecdsa", "size": 256}, {"algo": "ecdsa", "size": 384},
                                 {"algo": "ecdsa", "size": 521}, None])
def test_genkey_makes_what_cfssl_makes_of_the_same_template(shell, key):
    path = template(shell, key=key)
    ours, theirs = shell.run("genkey", path).json, json.loads(tool(shell, "cfssl", "genkey", path))
    assert list(ours) == list(theirs) == ["csr", "key"]
    assert request_facts(ours["csr"]) == request_facts(theirs["csr"])
    for member in ("csr", "key"):
        assert ours[member].splitlines()[0] == theirs[member].splitlines()[0]
        assert ours[member].splitlines()[-1] == theirs[member].splitlines()[-1] and ours[member].endswith("\n")
        assert {len(line) for line in ours[member].splitlines()[1:-2]} == {64}


def test_genkey_says_what_cfssl_says(shell):
    path = template(shell)
    ours = shell.run("genkey", path).err
    theirs = subprocess.run(["cfssl", "genkey", path], cwd=shell.directory, capture_output=True, text=True).stderr
    strip = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", re.M)
    assert strip.sub("", ours) == strip.sub("", theirs) != ours


def test_the_pipeline_of_the_seed_works_with_either_half_exchanged(shell):
    path = template(shell)
    for name, make, write in (("ours-theirs", [shell.program, "genkey"], ["cfssljson", "-bare"]),
                              ("theirs-ours", ["cfssl", "genkey"], [shell.program, "json", "-bare"]),
                              ("ours-ours", [shell.program, "genkey"], [shell.program, "json", "-bare"])):
        made = tool(shell, *map(str, make), path)
        tool(shell, *map(str, write), name, stdin=made)
        assert shell.path(f"{name}.csr").read_text() == json.loads(made)["csr"]
        assert shell.path(f"{name}-key.pem").read_text() == json.loads(made)["key"]
        assert (mode(shell.path(f"{name}-key.pem")), mode(shell.path(f"{name}.csr"))) == (0o600, 0o644)
        request = x509.load_pem_x509_csr(shell.path(f"{name}.csr").read_bytes())
        assert spki(request.public_key()) == spki(shell.key(f"{name}-key.pem"))


def test_cfssl_signs_and_selfsigns_with_our_keys(shell):
    path = template(shell)
    made = shell.run("selfsign", "ca.test", path).json
    assert list(made) == ["cert", "csr", "key"]
    shell.run("json", "-bare", "ca", stdin=json.dumps(made))
    shell.write("config", json.dumps({"signing": {"default": {"expiry": "24h", "usages": ["server auth"]}}}))
    shell.run("json", "-bare", "leaf", stdin=shell.run("genkey", path).out)
    signed = json.loads(tool(shell, "cfssl", "sign", "-ca", "ca.pem", "-ca-key", "ca-key.pem", "-config", "config",
                             "leaf.csr"))
    certificate = x509.load_pem_x509_certificate(signed["cert"].encode())
    assert spki(certificate.public_key()) == spki(shell.key("leaf-key.pem"))


def test_json_reads_an_envelope_and_says_when_it_is_none(shell):
    shell.write("good", json.dumps({"success": True, "errors": [], "result": {"certificate": "C\n", "bundle": "B\n",
                                                                            "ocspResponse": "AAEC"}}))
    assert shell.run("json", "-f", "good", "x", "--json").json == ["x.pem", "x-bundle.pem", "x-response.der"]
    assert shell.path("x-response.der").read_bytes() == b"\0\1\2"
    assert shell.run("json", "-f", "good", "-stdout").out.startswith("C\n")
    bad = json.dumps({"success": False, "errors": [{"code": 1, "message": "too weak"}]})
    assert "too weak" in shell.run("json", "y", stdin=bad, status=REFUSED).err
    assert "-bare" in shell.run("json", "y", stdin='{"csr": "x"}', status=REFUSED).err
    assert "holds no cert" in shell.run("json", "-bare", "y", stdin="{}", status=USAGE).err
    assert "y.pem" not in shell.files()


def test_json_never_replaces_a_key_unasked_and_writes_all_or_nothing(shell):
    shell.write("site-key.pem", "precious")
    made = shell.run("genkey", template(shell)).out
    assert "site-key.pem exists" in shell.run("json", "-bare", "site", stdin=made, status=FILES).err
    assert shell.files() == ["csr.json", "site-key.pem"] and shell.path("site-key.pem").read_text() == "precious"
    shell.run("json", "-bare", "-overwrite", "site", stdin=made)
    assert mode(shell.path("site-key.pem")) == 0o600 and "PRIVATE" in shell.path("site-key.pem").read_text()


# Mistakes in csr.json


SEED = """{
"key": {
"algo": "rsa",
"size": 2048
},
"hosts": [
“mysite.com"
],
"CN": "mysite.com"
}
"""
MISTAKES = [
    (SEED, "line 7, column 1", "U+201C"),
    ('{ "CN": "x”,\n  "hosts": [] }', "line 1, column 11", "typographic quote"),
    ('{\n  "CN": ‘x’ }', "line 2, column 9", "U+2018"),
    ("{\n  'CN': 'x' }", "line 2, column 3", "single quote"),
    ('{ "é": "é", “CN": "x" }', "line 1, column 13", "U+201C"),
    ('{\n  "CN": "x",\n}', "line 2, column 12", "comma"),
    ('{ "CN": "x", "hosts": ["a",] }', "line 1, column 27", "comma"),
    ('{\n  // mine\n  "CN": "x" }', "line 2, column 3", "comment"),
    ('{\n\u00a0"CN": "x" }', "line 2, column 1", "U+00A0"),
    ('\ufeff{ "CN": "x" }', "line 1, column 1", "byte order mark"),
    ('{ "CN": "x\n" }', "line 1, column 9", "not closed"),
    ('{ "hosts": ["a" "b"] }', "line 1, column", "']' expected"),
    ('{ "CN": "x" } }', "line 1, column", "end of file expected"),
    ("", "line 1, column", ""),
    ("[]", "line 1, column 1", "object"),
    ('{ "CN": 7 }', "line 1, column 9", "string"),
    ('{ "key": "rsa" }', "line 1, column 10", "algo"),
    ('{ "key": {\n  "algo": "dsa" } }', "line 2, column 11", '"rsa" or "ecdsa"'),
    ('{ "key": {\n  "algo": "rsa",\n  "size": 1024 } }', "line 3, column 11", "2048"),
    ('{ "key": { "algo": "ecdsa", "size": 255 } }', "line 1, column 37", "521"),
    ('{ "Key": { "Size": "2048" } }', "line 1, column 20", "number"),
    ('{ "hosts": "a.test" }', "line 1, column 12", "list"),
    ('{ "hosts": ["a.test",\n "b c"] }', "line 2, column 2", "blanks"),
    ('{ "hosts": ["a.test", 7] }', "line 1, column 23", "quotes"),
    ('{ "names": [{"C": "US"}, {"c": "Germany"}] }', "line 1, column 32", "two letters"),
    ('{ "names": {} }', "line 1, column 12", "list"),
    ('{ "names": [{"O": 1}] }', "line 1, column 19", "string"),
    ("[" * 50 + "]" * 50, "", "nested"),
]


@pytest.mark.parametrize("text, place, words", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_in_csr_json_is_named_with_line_and_column(shell, text, place, words):
    shell.write("csr.json", text)
    refused = shell.run("genkey", "csr.json", status=USAGE)
    assert refused.out == "" and refused.err.startswith("originca: csr.json: "), refused.err
    assert place in refused.err and words in refused.err
    assert "standard input" in shell.run("genkey", "-", stdin=text, status=USAGE).err


def test_an_unknown_member_is_warned_of_and_any_case_is_taken(shell):
    shell.write("csr.json", '{ "cn": "x.test", "HOSTS": ["x.test"],\n  "kee": 1, "names": [{"ou": "Dept", "XX": "y"}] }')
    done = shell.run("genkey", "csr.json")
    assert 'line 2, column 10: "kee"' in done.err and '"XX"' in done.err
    assert request_facts(done.json["csr"])[0] == [(NameOID.ORGANIZATIONAL_UNIT_NAME, "Dept"),
                                                  (NameOID.COMMON_NAME, "x.test")]


# selfsign and certinfo


@pytest.mark.parametrize("kind, expected", [("rsa", rsa.RSAPrivateKey), ("ecdsa", ec.EllipticCurvePrivateKey)])
def test_selfsign_writes_a_pair_that_openssl_accepts_for_the_names(shell, kind, expected):
    shell.run("selfsign", "--hostnames", "a.test,*.a.test", "--days", "30", "--key-type", kind, umask=0)
    assert shell.files() == ["a.test.key", "a.test.pem"] and mode(shell.path("a.test.key")) == 0o600
    certificate = shell.certificate("a.test.pem")
    assert isinstance(shell.key("a.test.key"), expected)
    assert spki(shell.key("a.test.key")) == spki(certificate.public_key())
    assert certificate.subject == certificate.issuer
    assert (certificate.not_valid_after - certificate.not_valid_before).days == 30
    for host in ("a.test", "www.a.test"):
        tool(shell, "openssl", "verify", "-CAfile", "a.test.pem", "-partial_chain", "-verify_hostname", host,
             "-purpose", "sslserver", "a.test.pem")
    before = shell.path("a.test.key").read_bytes()
    shell.run("selfsign", "--hostnames", "a.test", status=FILES)
    assert shell.path("a.test.key").read_bytes() == before


def test_certinfo_says_what_cfssl_says_and_more(shell):
    shell.run("selfsign", "--hostnames", "a.test,*.a.test")
    ours = shell.run("certinfo", "--json", "a.test.pem").json
    theirs = json.loads(tool(shell, "cfssl", "certinfo", "-cert", "a.test.pem"))
    same = ("subject", "issuer", "serial_number", "sans", "not_before", "not_after", "sigalg", "authority_key_id", "pem")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert (ours["key_type"], ours["key_size"]) == ("ecdsa", 256) and ours["days_left"] == 90


def test_certinfo_reads_each_form_from_a_file_and_from_standard_input(shell):
    shell.run("selfsign", "--hostnames", "a.test")
    serial = str(shell.certificate("a.test.pem").serial_number)
    tool(shell, "openssl", "x509", "-in", "a.test.pem", "-outform", "DER", "-out", "a.der")
    tool(shell, "openssl", "crl2pkcs7", "-nocrl", "-certfile", "a.test.pem", "-out", "a.p7b")
    for name in ("a.test.pem", "a.der", "a.p7b"):
        assert serial in shell.run("certinfo", name).out
        assert serial in shell.run("certinfo", "-cert", name).out
        piped = subprocess.run([shell.program, "certinfo", "-"], stdin=open(shell.path(name), "rb"), capture_output=True)
        assert serial.encode() in piped.stdout
    shell.path("two.pem").write_text(shell.path("a.test.pem").read_text() * 2)
    assert len(shell.run("certinfo", "--json", "two.pem").json["chain"]) == 1
    made = shell.run("genkey", template(shell)).json
    told = shell.run("certinfo", "--json", "-csr", "-", stdin=made["csr"]).json
    assert told["signature_is_valid"] and told["sans"] == ["mysite.com", "a@mysite.com", "10.0.0.1", "2001:db8::1"]
    assert told["subject"]["organization"] == "My Company, Inc."


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                                     "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"])
def test_what_is_no_certificate_is_refused_by_name(shell, content):
    shell.write("x", content)
    assert "originca: x: not a" in shell.run("certinfo", "x", status=USAGE).err
    assert "cannot read" in shell.run("certinfo", "nothing", status=USAGE).err


# Help, completion, installation


COMMANDS = ["getcert", "renew", "list", "show", "revoke", "genkey", "json", "selfsign", "certinfo"]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_and_a_place_in_the_manual(shell, command):
    shown = shell.run(command, "--help").out
    assert shown.startswith(f"Usage: originca {command} ") and "--json" in shown
    manual = (ROOT / "doc/man/originca.1").read_text()
    assert re.search(rf"^\.It Cm {command}\b", manual, re.M)
    assert command in shell.run("--help").out


def test_every_option_is_in_the_manual(shell):
    manual = re.sub(r"\s+", " ", (ROOT / "doc/man/originca.1").read_text())
    options = {word for command in COMMANDS
               for word in re.findall(r"^  --?([a-z-]+)", shell.run(command, "--help").out, re.M)}
    missing = [name for name in sorted(options) if not re.search(rf"[ ,]{name}[ ,]", manual)]
    assert missing == []


def completed(shell, *words):
    script = (f'set -u; source {ROOT}/cli/originca.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _originca; '
              f'printf "%s\\n" "${{COMPREPLY[@]}}"')
    done = run(["bash", "-c", script, "bash", *words], {**shell.environment}, directory=shell.directory)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_completion_script_is_clean_and_offers_what_fits(shell):
    assert run(["bash", "-n", ROOT / "cli" / "originca.bash"]).stderr == ""
    program = str(shell.program)
    assert completed(shell, program, "get") == ["getcert"]
    assert set(COMMANDS) < set(completed(shell, program, ""))
    assert completed(shell, program, "getcert", "--key-t") == ["--key-type"]
    assert completed(shell, program, "getcert", "--key-type", "e") == ["ecdsa"]
    shell.state.mkdir()
    (shell.state / "shop.test.json").write_text("{}")
    assert completed(shell, program, "renew", "") == ["shop.test"]
    link = shell.directory / "cfca"
    link.symlink_to(program)
    assert completed(shell, str(link), "")[0] == "getcert"


def test_the_installation_has_cfca_the_timer_and_the_completion(tmp_path):
    build = os.environ["ORIGINCA_BUILD"]
    run(["meson", "install", "-C", build, "--no-rebuild", "--destdir", tmp_path / "root"], timeout=120)
    found = {entry.name: entry for entry in (tmp_path / "root").rglob("*")}
    assert os.readlink(found["cfca"]) == "originca" and "originca-renew.timer" in found
    unit = found["originca-renew.service"].read_text()
    program = re.search(r"^ExecStart=(\S+) renew --all$", unit, re.M)[1]
    assert Path(f"{tmp_path}/root{program}").exists()
    assert any(path.name == "originca" and path.parent.name == "completions" for path in (tmp_path / "root").rglob("*"))

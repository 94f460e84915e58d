"""An issuer's name stands for one key and one subject for ever: exchanged under it, they would leave all certificates that the
former key signed without revocation, and vouch for serials that the new key never issued."""

import contextlib
import datetime
import hashlib
import json
import os
import signal
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from admin_api import AdminClient
from crl_kit import fetch, load, path_of, plain_url
from fence_kit import RECOVERY, redis, wait_not_ready, wait_well
from ocsp_kit import Responder, cert_id, request, responder_of
from processes import Processes
from rest_client import leaf_of, rest
from test_two_hosts import Host, write_second_configuration
from under_test import SANITIZER_MARKS, run, wait_until

SANDBOX_OPTIONS = ("--workers", "1", "--set", "signer.ledger_segment_bytes=65536")
PROGRAM = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
NEXT = "ecc-2026"  # the issuer of the next key
TEXT = 'the ledger knows another key under the issuer name "ecc"'
DAY = datetime.timedelta(days=1)


def certificate_of(box, name):
    return x509.load_pem_x509_certificate((box.directory / f"issuer-{name}.pem").read_bytes())


def section_of(text, name):
    begin = text.index(f'    issuer "{name}" {{')
    return text[begin:text.index("    }\n", begin) + len("    }\n")]


def with_next(text):
    """The configuration with one more issuer beside "ecc"."""
    section = section_of(text, "ecc")
    made = section.replace('issuer "ecc"', f'issuer "{NEXT}"').replace("object=ecc;", f"object={NEXT};")
    return text.replace(section, section + made.replace("issuer-ecc.pem", f"issuer-{NEXT}.pem").replace("/crl/e", "/crl/n"))


def exchanged(text):
    """The next key under the name of the former one."""
    return text.replace("object=ecc;", f"object={NEXT};").replace("issuer-ecc.pem", f"issuer-{NEXT}.pem")


def rotated(text):
    """As operations.md says it."""
    acme = f'acme {{\n    acme_ecc_issuer = "{NEXT}"\n'
    return with_next(text).replace("acme {\n", acme, 1) + f'rest {{\n    rest_ecc_issuer = "{NEXT}"\n}}\n'


@pytest.fixture
def box(own_sandbox):
    """Well before and after; the signer may have just been started anew."""
    wait_well(own_sandbox)
    yield own_sandbox
    wait_well(own_sandbox)
    issue(own_sandbox)


@pytest.fixture
def config(box):
    """Its path; the next key is made. What the test wrote there and in the issuers' files is put back."""
    path = Path(box["CONFIG"])
    good, files = path.read_text(), {name: Path(box[name]).read_bytes() for name in ("ISSUER_ECC", "ISSUER_RSA")}
    path.write_text(with_next(good))
    box.server_tool("ca", "init")
    path.write_text(good)
    yield path
    path.write_text(good)
    for name, pem in files.items():
        Path(box[name]).write_bytes(pem)
    if box.supervisor is None:
        start(box)
        wait_well(box)
    assert wait_until(lambda: box.server_tool("reload", check=False).returncode == 0, RECOVERY)


def start(box):
    box.processes.start("server", [PROGRAM, "-c", box["CONFIG"]], {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]})


def stop(box):
    assert not box.processes.stop("server")


def forget_names(box):
    """The ledger as a former version would have written it; Redis and the checkpoint are of that time too."""
    digest = bytes(32)
    for path in sorted((box.directory / "ledger").glob("ledger-*.jsonl")):
        lines = []
        for line in path.read_text().splitlines():
            record = json.loads(line[65:])
            if record["type"] == "issuer":
                record = {key: record[key] for key in ("seq", "time")} | {"type": "signing", "allowed": True, "by": "admin:0"}
            if record["type"] == "segment":
                del record["issuers"]
                record["previous"] = digest.hex()
            text = json.dumps(record, separators=(",", ":"))
            digest = hashlib.sha256(digest + text.encode()).digest()
            lines.append(f"{digest.hex()} {text}\n")
        path.write_text("".join(lines))
    (box.directory / "ledger" / "checkpoint").unlink()
    redis(box, "HDEL", "ledger:sandbox", "hash")
    redis(box, "DEL", "ledger-issuers")


def status_of(box, issuer, serial):
    return responder_of(box).post(request(cert_id(issuer, serial))).status


def issue(box):
    answers = []

    def is_issued():  # a signer may have just been started anew
        answers.append(rest(box).create([box.name()]))
        return answers[-1].status == 200

    assert wait_until(is_issued, RECOVERY), answers[-1].body
    return leaf_of(answers[-1].result)


def assert_revocable(box, leaf, issuer):
    """The list and the answers that its issuer signed say that it is revoked."""
    assert wait_until(lambda: rest(box).revoke(str(leaf.serial_number)).status == 200, RECOVERY)
    assert status_of(box, issuer, leaf.serial_number) == "revoked"
    path = path_of(leaf)

    def is_listed():
        if fetch(box["HTTP_URL"], path)[0] == 404:  # not made yet
            return False
        crl = load(box["HTTP_URL"], path)
        assert crl.is_signature_valid(issuer.public_key())
        return crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None

    assert wait_until(is_listed, RECOVERY)


def renewed(certificate, subject):
    """For the same key, certified by somebody else."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)
    root = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "some root")])
    builder = x509.CertificateBuilder(root, subject, certificate.public_key(), x509.random_serial_number(), now - DAY,
                                      now + 4000 * DAY)
    for each in certificate.extensions:
        builder = builder.add_extension(each.value, each.critical)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)


def test_the_ledger_says_whose_key_a_name_is(box):
    records = {record["issuer"]: record for record in box.ledger("issuer")}
    assert {"ecc", "rsa"} <= set(records) and len(records) == len(box.ledger("issuer"))
    for name in ("ecc", "rsa"):
        issuer = certificate_of(box, name)
        spki = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert records[name]["spki_sha256"] == hashlib.sha256(spki).hexdigest()
        assert records[name]["subject_sha256"] == hashlib.sha256(issuer.subject.public_bytes()).hexdigest()
    assert "the chain holds" in box.server_tool("ledger", "verify").stdout
    shown = box.server_tool("ledger", "show", "--type", "issuer").stdout
    assert f"ecc  key {records['ecc']['spki_sha256']}  subject {records['ecc']['subject_sha256']}" in shown


def test_a_reload_to_another_key_is_refused(box, config):
    leaf, former = issue(box), certificate_of(box, "ecc")
    config.write_text(exchanged(config.read_text()))
    told = box.server_tool("--check-config", check=False)
    assert told.returncode == 2 and TEXT in told.stderr and "an issuer name of its own" in told.stderr, told.stderr
    assert "issuer.certificate_file" in told.stderr
    told = box.server_tool("reload", check=False)
    assert told.returncode != 0 and TEXT in told.stdout + told.stderr, told
    assert box.admin.readiness()[0]
    assert status_of(box, former, leaf.serial_number) == "good"
    assert status_of(box, certificate_of(box, NEXT), leaf.serial_number) == "unauthorized"
    assert_revocable(box, leaf, former)


def test_a_start_with_another_key_is_none(box, config):
    config.write_text(exchanged(config.read_text()))
    assert not box.processes.stop("server")
    result = run([PROGRAM, "-c", box["CONFIG"]], {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]}, check=False)
    assert result.returncode != 0 and TEXT in result.stderr, result


def test_a_signer_that_starts_by_itself_signs_nothing_with_another_key(box, config):
    """The file was exchanged, nobody reloaded, and the signer died: revocations are recorded, nothing is signed, and with the
    file back all goes on by itself."""
    leaf, path = issue(box), Path(box["ISSUER_ECC"])
    former = path.read_bytes()
    path.write_bytes((box.directory / f"issuer-{NEXT}.pem").read_bytes())
    box.kill(box.signer())
    wait_not_ready(box, "signer", TEXT)
    assert rest(box).create([box.name()]).status == 503
    assert wait_until(lambda: rest(box).revoke(str(leaf.serial_number)).status == 200, RECOVERY)
    assert status_of(box, certificate_of(box, NEXT), leaf.serial_number) == "unauthorized"  # the worker knows the former one
    path.write_bytes(former)
    wait_well(box)
    assert_revocable(box, issue(box), certificate_of(box, "ecc"))


def test_a_renewed_certificate_is_the_same_issuer(box, config):
    former, path = certificate_of(box, "ecc"), Path(box["ISSUER_ECC"])
    leaf, records = issue(box), box.ledger("issuer")
    path.write_bytes(renewed(former, former.subject))
    assert box.server_tool("--check-config").returncode == 0
    box.server_tool("reload")
    wait_well(box)
    assert_revocable(box, leaf, certificate_of(box, "ecc"))
    assert_revocable(box, issue(box), certificate_of(box, "ecc"))
    assert box.ledger("issuer") == records
    path.write_bytes(renewed(former, x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "originca other")])))
    for tool in ("--check-config", "reload"):
        told = box.server_tool(tool, check=False)
        assert told.returncode != 0 and 'another subject under the issuer name "ecc"' in told.stdout + told.stderr, told


def test_ca_init_takes_and_makes_no_other_key_for_a_name_of_the_ledger(box, config):
    text = config.read_text()
    config.write_text(exchanged(text))
    told = box.server_tool("ca", "init", check=False)
    assert told.returncode == 1 and TEXT in told.stderr, told
    config.write_text(text.replace("object=ecc;", "object=lost;"))
    told = box.server_tool("ca", "init", check=False)
    assert told.returncode == 1 and "an issuer name of its own" in told.stderr, told
    assert "object=lost" not in run(["p11tool", "--provider", box["PKCS11_MODULE"], "--list-all"],
                                    {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]}).stdout


def test_the_next_key_gets_an_issuer_of_its_own(box, config):
    leaf, former, following = issue(box), certificate_of(box, "ecc"), certificate_of(box, NEXT)
    config.write_text(rotated(config.read_text()))
    assert box.server_tool("--check-config").returncode == 0
    box.server_tool("reload")
    wait_well(box)
    newer = issue(box)
    assert newer.issuer == following.subject
    assert NEXT in [record["issuer"] for record in box.ledger("issuer")]
    for issuer, own in ((former, leaf), (following, newer)):
        assert status_of(box, issuer, own.serial_number) == "good"
    for issuer, others in ((former, newer), (following, leaf)):
        assert status_of(box, issuer, others.serial_number) == "unauthorized"
    assert_revocable(box, leaf, former)
    assert_revocable(box, newer, following)
    assert status_of(box, following, leaf.serial_number) == "unauthorized"


def test_a_name_stays_its_keys_after_a_file_of_the_ledger_is_full(box, config):
    folder = box.directory / "ledger"
    before = len(list(folder.glob("ledger-*.jsonl")))

    def is_next_begun():
        issue(box)
        return len(list(folder.glob("ledger-*.jsonl"))) > before

    assert wait_until(is_next_begun, 2 * RECOVERY)
    bound = {record["issuer"]: record["spki_sha256"] for record in box.ledger("issuer")}
    assert {each["issuer"]: each["spki_sha256"] for each in box.ledger("segment")[-1]["issuers"]} == bound
    assert box.server_tool("ledger", "verify").returncode == 0
    config.write_text(exchanged(config.read_text()))
    told = box.server_tool("reload", check=False)
    assert told.returncode != 0 and TEXT in told.stdout + told.stderr, told


def test_a_ledger_of_before_takes_the_names_over(box, config):
    """Where the last certificate under a name was signed by another key, nothing is signed with that one."""
    issue(box)
    text = config.read_text()
    stop(box)
    forget_names(box)
    config.write_text(exchanged(text))
    start(box)
    wait_not_ready(box, "signer", "another subject under the issuer name")
    assert not box.ledger("issuer") and not redis(box, "HKEYS", "ledger-issuers")
    stop(box)
    config.write_text(text)
    start(box)
    wait_well(box)
    assert {"ecc", "rsa"} <= {record["issuer"] for record in box.ledger("issuer")}
    assert "the ledger records whose key the issuer's name stands for" in box.log_text()
    assert_revocable(box, issue(box), certificate_of(box, "ecc"))


@contextlib.contextmanager
def second_host(box, folder, change):
    """On the same Redis with a ledger of its own, configured as `change` makes it: (configuration, host)."""
    base_url = write_second_configuration(box, folder)
    path, token = folder / "originca.conf", {"SOFTHSM2_CONF": box["SOFTHSM2_CONF"]}
    path.write_text(change(path.read_text()))
    run([PROGRAM, "-c", path, "ca", "init"], token)
    processes = Processes(folder, folder)
    processes.start("server", [PROGRAM, "-c", path], token)
    try:
        yield path, Host(box, base_url, AdminClient(folder / "admin.sock"), processes)
    finally:
        was_killed = processes.stop("server")
        log = processes.log("server").read_text()
    assert not was_killed and not any(mark in log for mark in SANITIZER_MARKS), log[-6000:]


def recorded_issuers(folder):
    records = [json.loads(line[65:]) for file in (folder / "ledger").glob("ledger-*.jsonl") for line in file.read_text().splitlines()]
    return [record["issuer"] for record in records if record["type"] == "issuer"]


def is_answering(admin, text):
    try:
        return text in json.loads(admin.readiness()[1])["ledger"].get("reason", "")
    except OSError:  # it is just being started
        return False


def test_a_host_with_another_key_under_the_name_serves_nobody(box, config):
    leaf, former, following = issue(box), certificate_of(box, "ecc"), certificate_of(box, NEXT)
    with tempfile.TemporaryDirectory(prefix="originca-") as folder, \
            second_host(box, Path(folder), exchanged) as (path, host):
        admin = host.admin
        assert wait_until(lambda: "has another key or subject than on the host" in admin.readiness()[1], RECOVERY), admin.readiness()
        assert not admin.readiness()[0]
        responder = Responder(plain_url(host.base_url) + "/ocsp")
        for issuer in (former, following):
            assert responder.post(request(cert_id(issuer, leaf.serial_number))).status in ("tryLater", "unauthorized")
        assert not recorded_issuers(path.parent), "its signer wrote nothing"
        assert box.admin.readiness()[0]
        # A process that has the right one already, and a signer that was started with the other one.
        former_file = box.directory / f"issuer-{NEXT}.pem"
        own = former_file.read_bytes()
        former_file.write_bytes((box.directory / "issuer-ecc.pem").read_bytes())
        admin_process, = host.parts("admin")
        os.kill(admin_process, signal.SIGKILL)
        assert wait_until(lambda: is_answering(admin, 'it has an issuer "ecc" of another configuration: reload'), RECOVERY), admin.readiness()
        assert not recorded_issuers(path.parent), "nor for a process of another configuration"
        former_file.write_bytes(own)
        path.write_text(path.read_text().replace(f"object={NEXT};", "object=ecc;").replace(f"issuer-{NEXT}.pem", "issuer-ecc.pem"))
        assert run([PROGRAM, "-c", path, "reload"], check=False).returncode == 0
        assert wait_until(lambda: admin.readiness()[0], RECOVERY), admin.readiness()
        assert wait_until(lambda: responder.post(request(cert_id(former, leaf.serial_number))).status == "good", RECOVERY)
        assert responder.post(request(cert_id(following, leaf.serial_number))).status == "unauthorized"
    box.admin_command("ledger", "excuse", "second", "--for-good", check=False)

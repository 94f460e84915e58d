"""OCSP (RFC 6960, RFC 5019, RFC 9654): what is said of which certificate, in which form, and what the tools of others make
of it."""

import base64
import datetime
import email.utils
import secrets
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.hazmat.primitives import serialization

from acme_kit import issue_leaf
from acme_raw import AccountKey
from ocsp_kit import (HASHES, NONCE, cert_id, der, extension, integer, issuer_of, nonce_extension, request,
                      responder_of, verify)
from signer_link import INVALID, OK, REFUSED, SIGN_OCSP, SignerLink, ocsp_request
from under_test import run, wait_until
from verify import der_of, load_chain

LIMIT = 12
VALIDITY, MAX_AGE = 600, 120
SANDBOX_OPTIONS = ("--workers", "2", "--set", "acme.acme_rsa_issuer=rsa",
                   "--set", f"signer.ocsp_validity_seconds={VALIDITY}", "--set", f"ocsp.ocsp_max_age_seconds={MAX_AGE}",
                   "--set", "ocsp.ocsp_max_requests=4", "--set", f"limits.ocsp_signed_per_address={LIMIT}",
                   "--set", "limits.ocsp_signed_window_seconds=86400")
PROFILES = ("origin", "compact", "classic")
# Limits count by address: whoever needs signatures of its own comes from another one.
ADDRESSES = (f"127.0.0.{at}" for at in range(2, 250))


@pytest.fixture(scope="module")
def box(own_sandbox):
    return own_sandbox


@pytest.fixture(scope="module")
def owner(box):
    client = box.client()
    yield client
    client.close()


@pytest.fixture
def responder(box):
    responder = responder_of(box)
    yield responder
    responder.close()


@pytest.fixture
def elsewhere(box):
    responder = responder_of(box, source=next(ADDRESSES))
    yield responder
    responder.close()


@pytest.fixture(scope="module")
def ecc(box):
    return issuer_of(box)


@pytest.fixture(scope="module")
def leaf(box, owner):
    """One that stays good."""
    return issue_leaf(box, owner)[1]


def issue(box, owner, profile="origin", kind="p256"):
    _, chain, _ = owner.issue([box.name()], kind, profile=profile)
    return load_chain(chain)


def signatures(box):
    return box.admin.metrics().get("originca_signer_ocsp_signatures_total", 0)


# What is said


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_good_and_revoked_of_every_profile_and_issuer_in_every_form(box, owner, responder, profile, kind):
    leaf, issuer = issue(box, owner, profile, kind)
    assert issuer == issuer_of(box, "rsa" if kind.startswith("rsa") else "ecc")
    forms = [(name, has_null) for name in HASHES for has_null in (True, False)]
    for name, has_null in forms:
        asked = cert_id(issuer, leaf.serial_number, name, has_null)
        for answer in (responder.post(request(asked)), responder.get(request(asked))):
            assert answer.http_status == 200 and answer.status == "good"
            verify(answer.response, issuer)
            assert der(0x30, asked) not in answer.body and asked in answer.body, "the CertID differs"
    owner.revoke(der_of(leaf), 4).expect(200)
    for name, has_null in forms:
        answer = responder.get(request(cert_id(issuer, leaf.serial_number, name, has_null)))
        assert answer.status == "revoked"
        verify(answer.response, issuer)
        assert answer.response.revocation_reason == x509.ReasonFlags.superseded
    shown = box.admin.get(f"certificates/{leaf.serial_number}")
    assert shown["revoked_at"] == answer.response.revocation_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = box.admin_command("cert", "show", str(leaf.serial_number)).stdout.splitlines()
    assert any(line.startswith("OCSP") and "http" in line for line in lines) == ("authorityInfoAccess" in str(leaf.extensions))


def test_a_revocation_without_a_reason_has_none_and_a_worse_one_replaces_it(box, owner, responder, ecc):
    key, leaf = issue_leaf(box, owner)
    asked = request(cert_id(ecc, leaf.serial_number))
    owner.revoke(der_of(leaf)).expect(200)
    first = responder.get(asked)
    assert first.status == "revoked" and first.response.revocation_reason is None
    box.client(is_registered=False).revoke(der_of(leaf), 1, AccountKey("ES256", key)).expect(200, 400)
    second = responder.get(asked)
    assert second.status == "revoked" and second.response.revocation_reason == x509.ReasonFlags.key_compromise
    assert second.response.revocation_time == first.response.revocation_time


def test_what_was_never_issued_here_costs_no_signature(box, responder, ecc, leaf):
    rsa, before = issuer_of(box, "rsa"), signatures(box)
    other_key = cert_id(ecc, leaf.serial_number)
    other_key = other_key[:40] + bytes([other_key[40] ^ 1]) + other_key[41:]
    strange_hash = cert_id(ecc, leaf.serial_number, "sha256").replace(bytes.fromhex("608648016503040201"),
                                                                       bytes.fromhex("608648016503040203"))
    cases = [cert_id(ecc, 1 << 120 | secrets.randbits(119)) for _ in range(50)]
    cases += [cert_id(ecc, serial) for serial in (0, 1, 1 << 127, (1 << 159) - 1, leaf.serial_number >> 8)]
    cases += [cert_id(rsa, leaf.serial_number), other_key, strange_hash]
    for case in cases:
        for answer in (responder.post(request(case)), responder.get(request(case))):
            assert (answer.http_status, answer.status, answer.body.hex()) == (200, "unauthorized", "30030a0106")
            assert answer.headers["Cache-Control"] == "no-store" and answer.headers["ETag"] is None
    assert signatures(box) == before


def test_an_attempt_that_became_void_is_never_good(box, responder, ecc):
    redis = ["redis-cli", "-s", box["REDIS_SOCKET"]]
    serial = 1 << 125 | secrets.randbits(120)
    run([*redis, "HSET", f"certificate:{serial:032x}", "status", "void", "issuer", "ecc", "issued", int(time.time())])
    answer = responder.get(request(cert_id(ecc, serial)))
    assert answer.status == "revoked" and answer.response.revocation_reason is None
    run([*redis, "DEL", f"certificate:{serial:032x}"])
    assert responder.get(request(cert_id(ecc, serial))).status == "unauthorized"


def test_several_certificates_in_one_request(box, owner, elsewhere, ecc):
    leaves = [issue_leaf(box, owner)[1] for _ in range(3)]
    owner.revoke(der_of(leaves[1])).expect(200)
    forms = ["sha1", "sha256", "sha1"]
    ids = [cert_id(ecc, each.serial_number, form) for each, form in zip(leaves, forms)]
    for answer in (elsewhere.post(request(*ids)), elsewhere.get(request(*ids))):
        said = [(each.serial_number, each.certificate_status.name) for each in answer.response.responses]
        assert said == [(leaves[0].serial_number, "GOOD"), (leaves[1].serial_number, "REVOKED"),
                        (leaves[2].serial_number, "GOOD")]
        assert len(answer.response.signature) > 60
    unknown = cert_id(ecc, 1 << 126 | 77)
    for mixed in ([ids[0], unknown], [unknown, ids[0]], [ids[0], cert_id(issuer_of(box, "rsa"), 5 << 120)]):
        assert elsewhere.post(request(*mixed)).status == "unauthorized"
    assert elsewhere.post(request(*[ids[0]] * 5)).status == "malformedRequest"


# Requests that are none


def malformed(ecc, serial):
    good = cert_id(ecc, serial)
    return {
        "empty": b"", "not-der": b"GET / HTTP/1.1", "behind": request(good) + b"\0", "cut": request(good)[:-1],
        "no-request": request(), "inner-rest": request(good, behind=b"\x05\x00"),
        "version-2": der(0x30, der(0x30, der(0xA0, integer(1)), der(0x30, der(0x30, good)))),
        "indefinite": b"\x30\x80" + request(good)[2:] + b"\0\0",
        "long-form": b"\x30\x81" + request(good)[1:],
        "serial-padded": request(good.replace(integer(serial), b"\x02\x11\x00" + serial.to_bytes(16, "big"))),
        "critical": request(good, extensions=[extension(b"\x06\x03\x2a\x03\x04", b"\x05\x00", True)]),
        "critical-single": request((good, der(0xA0, der(0x30, extension(b"\x06\x03\x2a\x03\x04", b"\x05\x00", True))))),
        "nonce-empty": request(good, extensions=[nonce_extension(b"")]),
        "nonce-129": request(good, extensions=[nonce_extension(bytes(129))]),
        "nonce-raw": request(good, extensions=[extension(NONCE, bytes(16))]),
        "nonce-twice": request(good, extensions=[nonce_extension(b"1" * 16), nonce_extension(b"2" * 16)]),
    }


def test_what_is_no_request_is_told_so(box, responder, ecc, leaf):
    before = signatures(box)
    for name, body in malformed(ecc, leaf.serial_number).items():
        answer = responder.post(body)
        assert (answer.http_status, answer.status) == (200, "malformedRequest"), name
        assert answer.headers["Cache-Control"] == "no-store"
        if body:
            assert responder.get(body).status == "malformedRequest", name
    for path in ("", "/", "%", "%2", "%zz", "A", "MEM=wQ==", "MEM wQ", "M\0"):
        answer = responder.get(b"", encode=lambda _, path=path: quote(path, safe="%/="))
        assert answer.status == "malformedRequest", path
    assert signatures(box) == before


def test_what_others_send_along_is_passed_over(box, elsewhere, ecc, leaf):
    good = cert_id(ecc, leaf.serial_number)
    requestor = der(0xA1, der(0xA4, ecc.subject.public_bytes()))
    signature = der(0xA0, der(0x30, der(0x30, bytes.fromhex("06082a8648ce3d040302")), der(3, b"\0" + bytes(70))))
    ignored = extension(b"\x06\x03\x2a\x03\x04", b"\x05\x00")
    acceptable = extension(bytes.fromhex("06092b0601050507300104"), der(0x30, bytes.fromhex("06092b0601050507300101")))
    cases = [request(good, signature=signature), request(good, extensions=[ignored, acceptable]),
             request((good, der(0xA0, der(0x30, ignored)))),
             der(0x30, der(0x30, der(0xA0, integer(0)), requestor, der(0x30, der(0x30, good))), signature)]
    for case in cases:
        assert elsewhere.post(case).status == "good"


def test_http_of_requests(box, responder, ecc, leaf):
    body = request(cert_id(ecc, leaf.serial_number))
    assert responder.post(body, path="/ocsp/").status == "good"
    assert responder.post(body, "application/ocsp-request; charset=binary").status == "good"
    assert responder.post(body, "text/plain").http_status == 415 and responder.post(body, None).http_status == 415
    assert responder.post(body + bytes(9000)).http_status == 413
    assert responder._exchange("GET", "/ocspx").http_status == 404
    assert responder._exchange("PUT", "/ocsp", b"").http_status == 405
    assert responder._exchange("GET", "/ocsp").http_status == 405
    assert responder._exchange("GET", "/issuer//ecc.pem").http_status == 400, "other paths are held to the rules"
    assert responder._exchange("GET", "/ocsp?x=//").http_status == 405


def find_text(ecc, leaf, wanted):
    """A request whose base64 holds that text: the requestor's name makes it another one each time."""
    asked = der(0x30, der(0x30, cert_id(ecc, leaf.serial_number)))
    for at in range(5000):
        name = der(0xA1, der(0x82, secrets.token_bytes(9 + at % 3)))
        body = der(0x30, der(0x30, name, asked))
        text = base64.b64encode(body).decode()
        if text.endswith(wanted) if wanted.startswith("=") else wanted in text:
            return body
    raise AssertionError(wanted)


ENCODINGS = {"raw": str, "all": lambda text: quote(text, safe=""), "slash": lambda text: quote(text, safe="/"),
             "plus": lambda text: quote(text, safe="+"), "unpadded": lambda text: text.rstrip("="),
             "lower-case": lambda text: text.replace("=", "%3d").replace("/", "%2f").replace("+", "%2b"),
             "every-byte": lambda text: "".join(f"%{ord(each):02X}" for each in text)}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_base64_in_a_path(responder, ecc, leaf, encoding):
    for wanted in ("//", "+", "/+", "=", "=="):
        assert responder.get(find_text(ecc, leaf, wanted), ENCODINGS[encoding]).status == "good", wanted


# Caching


def parsed(date):
    return email.utils.parsedate_to_datetime(date).replace(tzinfo=None)


def test_answers_to_get_may_be_kept_for_minutes_and_to_post_not_at_all(box, owner, responder, ecc):
    leaf = issue_leaf(box, owner)[1]
    body = request(cert_id(ecc, leaf.serial_number))
    before = signatures(box)
    first = responder.get(body)
    headers, response = first.headers, first.response
    assert headers["Cache-Control"] == f"max-age={MAX_AGE}, public, no-transform, must-revalidate"
    assert parsed(headers["Last-Modified"]) == response.this_update and parsed(headers["Expires"]) == response.next_update
    assert response.next_update > datetime.datetime.utcnow() + datetime.timedelta(seconds=VALIDITY - 60)
    again, posted, head = responder.get(body), responder.post(body), responder.get(body, method="HEAD")
    assert first.body == again.body == posted.body and signatures(box) == before + 1, "signed once, kept"
    assert posted.headers["Cache-Control"] == "no-cache, no-store" and posted.headers["ETag"] is None
    assert head.http_status == 200 and head.body == b"" and head.headers["ETag"] == headers["ETag"]
    assert int(head.headers["Content-Length"]) == len(first.body)
    for condition in ({"If_None_Match": headers["ETag"]}, {"If_None_Match": "*"},
                      {"If_None_Match": f'"x", W/{headers["ETag"]}'}, {"If_Modified_Since": headers["Last-Modified"]}):
        same = responder.get(body, **condition)
        assert same.http_status == 304 and same.body == b"" and same.headers["ETag"] == headers["ETag"], condition
        assert same.headers["Cache-Control"] == headers["Cache-Control"]
    for condition in ({"If_None_Match": '"x"'}, {"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
                      {"If_None_Match": '"x"', "If_Modified_Since": headers["Last-Modified"]},
                      {"If_Modified_Since": "yesterday"}):
        assert responder.get(body, **condition).http_status == 200, condition
    owner.revoke(der_of(leaf)).expect(200)
    assert responder.get(body, If_None_Match=headers["ETag"]).status == "revoked"
    assert signatures(box) == before + 2


# Nonces


@pytest.mark.parametrize("size", [1, 16, 32, 33, 128])
def test_a_nonce_comes_back(elsewhere, ecc, leaf, size):
    nonce = secrets.token_bytes(size)
    for is_critical in (False, True):
        body = request(cert_id(ecc, leaf.serial_number), extensions=[extension(NONCE, der(4, nonce), is_critical)])
        answer = elsewhere.post(body)
        assert answer.status == "good" and nonce_extension(nonce) in answer.body
        answer = elsewhere.get(body)
        assert nonce_extension(nonce) in answer.body and answer.headers["Cache-Control"] == "no-cache, no-store"


def test_signatures_of_ones_own_are_limited_by_address(box, elsewhere, ecc, leaf):
    asked = cert_id(ecc, leaf.serial_number)
    def with_nonce(responder):
        nonce = secrets.token_bytes(32)
        answer = responder.post(request(asked, extensions=[nonce_extension(nonce)]))
        assert answer.status == "good"
        return nonce in answer.body
    assert elsewhere.get(request(asked)).status == "good"
    assert [with_nonce(elsewhere) for _ in range(LIMIT)] == [True] * LIMIT
    before = signatures(box)
    assert not any(with_nonce(elsewhere) for _ in range(20)), "answered without the nonce"
    assert elsewhere.post(request(asked, asked)).status == "tryLater"
    assert signatures(box) == before and elsewhere.post(request(asked)).status == "good"
    other = responder_of(box, source=next(ADDRESSES))
    assert with_nonce(other)
    other.close()


def test_what_was_never_issued_here_uses_up_nobodys_limit(box, elsewhere, ecc, leaf):
    """With a nonce, several in one, and mixed with what was issued: known beforehand, so neither limit nor signature."""
    known, before = cert_id(ecc, leaf.serial_number), signatures(box)
    def strange():
        return cert_id(ecc, 1 << 125 | secrets.randbits(120))
    cases = [lambda: request(strange(), strange()), lambda: request(known, strange()), lambda: request(strange(), known),
             lambda: request(strange(), extensions=[nonce_extension(secrets.token_bytes(32))])]
    for case in cases:
        for _ in range(LIMIT + 1):
            answer = elsewhere.post(case())
            assert (answer.status, answer.body.hex()) == ("unauthorized", "30030a0106")
    assert signatures(box) == before
    assert elsewhere.post(request(known, known)).response is not None, "the limit is still there"
    assert signatures(box) == before + 1
    for _ in range(LIMIT - 1):
        elsewhere.post(request(known, known))
    assert elsewhere.post(request(known, known)).status == "tryLater"
    assert elsewhere.post(request(known, strange())).status == "unauthorized", "also above the limit"


# Others' programs


@pytest.fixture
def files(box, owner, tmp_path):
    """Certificates of an issuer, one of them revoked, as files."""
    def make(kind="p256", profile="classic"):
        good, issuer = issue(box, owner, profile, kind)
        bad, _ = issue(box, owner, profile, kind)
        owner.revoke(der_of(bad), 1 if profile == "compact" else 4).expect(200)
        for name, each in (("good", good), ("bad", bad), ("issuer", issuer)):
            (tmp_path / f"{name}.pem").write_bytes(each.public_bytes(serialization.Encoding.PEM))
        return tmp_path
    return make


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("options", [[], ["-no_nonce"], ["-sha256"], ["-sha256", "-no_nonce"]], ids=" ".join)
def test_openssl_ocsp_agrees(box, files, kind, options):
    folder = files(kind)
    where = folder / "good.pem"
    url = run(["openssl", "x509", "-in", where, "-noout", "-ocsp_uri"]).stdout.strip()
    assert url == f"http://localhost:{box.port_base + 1}/ocsp"
    digest = [each for each in options if each == "-sha256"]
    rest = [each for each in options if each != "-sha256"]
    told = run(["openssl", "ocsp", "-issuer", folder / "issuer.pem", *digest, "-cert", where, *digest, "-cert",
                folder / "bad.pem", "-url", url.replace("localhost", "127.0.0.1"), "-CAfile", folder / "issuer.pem",
                *rest])
    assert "Response verify OK" in told.stderr and "WARNING" not in told.stderr, told.stderr
    assert f"{where}: good" in told.stdout and f"{folder / 'bad.pem'}: revoked" in told.stdout
    assert "Reason: superseded" in told.stdout


def test_openssl_with_a_nonce_of_its_own_over_curl_and_get(box, files):
    folder = files("p256", "origin")
    run(["openssl", "ocsp", "-issuer", folder / "issuer.pem", "-cert", folder / "good.pem", "-no_nonce", "-reqout",
         folder / "request.der"])
    text = base64.b64encode((folder / "request.der").read_bytes()).decode()
    run(["curl", "-sf", "--path-as-is", "-o", folder / "get.der", f"http://127.0.0.1:{box.port_base + 1}/ocsp/{quote(text, safe='')}"])
    run(["curl", "-sf", "-o", folder / "post.der", "-H", "Content-Type: application/ocsp-request", "--data-binary",
         f"@{folder / 'request.der'}", f"http://127.0.0.1:{box.port_base + 1}/ocsp"])
    answers = [ocsp.load_der_ocsp_response((folder / name).read_bytes()) for name in ("get.der", "post.der")]
    assert len({(each.serial_number, each.certificate_status) for each in answers}) == 1  # each worker keeps its own
    told = run(["openssl", "ocsp", "-respin", folder / "get.der", "-issuer", folder / "issuer.pem", "-cert",
                folder / "good.pem", "-CAfile", folder / "issuer.pem", "-no_nonce"])
    assert "good" in told.stdout and "Response verify OK" in told.stderr


def test_openssl_is_told_unauthorized_where_one_of_several_is_unknown(box, files):
    folder = files("p256")
    told = subprocess.run(["openssl", "ocsp", "-issuer", folder / "issuer.pem", "-cert", folder / "good.pem", "-serial",
                           str(1 << 126 | 78), "-url", f"http://127.0.0.1:{box.port_base + 1}/ocsp", "-CAfile",
                           folder / "issuer.pem"], capture_output=True, text=True, timeout=60)
    assert "unauthorized (6)" in told.stdout + told.stderr and "good" not in told.stdout.replace("good.pem", "")


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_ocsptool_agrees(box, files, kind):
    folder = files(kind, "origin")
    for name, word in (("good", "good"), ("bad", "revoked")):
        told = subprocess.run(["ocsptool", f"--ask=http://127.0.0.1:{box.port_base + 1}/ocsp", "--load-cert",
                               folder / f"{name}.pem", "--load-issuer", folder / "issuer.pem"], capture_output=True,
                              text=True, timeout=60)
        assert f"Certificate Status: {word}" in told.stdout, told.stdout + told.stderr
        assert "Verifying OCSP Response: Success" in told.stdout, told.stdout + told.stderr


# The signer


@pytest.fixture
def worker_link(box):
    with SignerLink(Path(box["ADMIN_SOCKET"]).parent) as link:
        yield link


def test_a_worker_in_foreign_hands_gets_no_good_for_what_is_revoked_here(box, owner, worker_link):
    leaf = issue_leaf(box, owner)[1]
    serial = leaf.serial_number.to_bytes(16, "big")
    assert worker_link.ask(SIGN_OCSP, ocsp_request([(serial, 0, False, 0, 0)])).code == OK
    owner.revoke(der_of(leaf)).expect(200)
    reply = worker_link.ask(SIGN_OCSP, ocsp_request([(serial, 0, False, 0, 0)]))
    assert reply.code == REFUSED and "revoked" in reply.message
    assert worker_link.ask(SIGN_OCSP, ocsp_request([(serial, 1, True, int(time.time()), 1)])).code == OK


def test_a_worker_in_foreign_hands_gets_nothing_signed_but_statuses(box, leaf, worker_link):
    serial, now = leaf.serial_number.to_bytes(16, "big"), int(time.time())
    good = (serial, 0, False, 0, 0)
    wrong = {
        "no-status": ocsp_request([]), "too-many": ocsp_request([good] * 65), "form": ocsp_request([(serial, 4, False, 0, 0)]),
        "serial-negative": ocsp_request([(b"\x80" + serial[1:], 0, False, 0, 0)]),
        "serial-short": ocsp_request([(serial[:15], 0, False, 0, 0)]),
        "reason-hold": ocsp_request([(serial, 0, True, now, 6)]), "reason-11": ocsp_request([(serial, 0, True, now, 11)]),
        "revoked-never": ocsp_request([(serial, 0, True, 0, 0)]), "revoked-to-come": ocsp_request([(serial, 0, True, now + 600, 0)]),
        "nonce-long": ocsp_request([good], nonce=bytes(129)), "rest": ocsp_request([good]) + b"\0", "cut": ocsp_request([good])[:-1],
    }
    for name, fields in wrong.items():
        assert worker_link.ask(SIGN_OCSP, fields).code == INVALID, name
    assert worker_link.ask(SIGN_OCSP, ocsp_request([good], issuer="other")).code == REFUSED
    for known_at in (0, now - 60, now + 60, 1 << 62, (1 << 64) - 1):
        assert worker_link.ask(SIGN_OCSP, ocsp_request([good], known_at=known_at)).code not in (OK, INVALID), known_at


def test_answers_go_on_while_issuance_is_stopped(box, owner, responder, ecc):
    leaf = issue_leaf(box, owner)[1]
    box.admin_command("signing", "stop")
    stopped = wait_until(lambda: owner.new_order([box.name()]).status, 1)
    try:
        assert responder.get(request(cert_id(ecc, leaf.serial_number))).status == "good" and stopped
    finally:
        box.admin_command("signing", "allow")

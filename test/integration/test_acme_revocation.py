"""RFC 8555 7.6: who may revoke what, with which reason."""

import datetime
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from acme_kit import shared, stranger, issued  # noqa: F401: fixtures
from acme_kit import MALFORMED, issue_leaf, last_byte_flipped, refused
from acme_raw import AccountKey, make_csr, make_key
from verify import der_of


def status_of(sandbox, leaf):
    return sandbox.admin.get(f"certificates/{leaf.serial_number}")


@pytest.mark.parametrize("reason", [None, 0, 1, 3, 4, 5, 9])
def test_the_account_revokes_with_each_allowed_reason_once(sandbox, shared, reason):
    _, leaf = issue_leaf(sandbox, shared)
    reply = shared.revoke(der_of(leaf), reason).expect(200)
    assert reply.body == b"" and reply.headers["Replay-Nonce"]
    before = status_of(sandbox, leaf)
    assert before["status"] == "revoked"
    refused(shared.revoke(der_of(leaf), reason), 400, "alreadyRevoked")
    assert status_of(sandbox, leaf) == before


@pytest.mark.parametrize("reason", [2, 6, 7, 8, 10, 11, -1, 255, 2 ** 31, 2 ** 40, "1", 1.0, True, [1], {}])
def test_other_reasons_are_refused_and_nothing_is_revoked(sandbox, shared, issued, reason):
    refused(shared.revoke(der_of(issued["leaf"]), reason), 400, "badRevocationReason")
    assert status_of(sandbox, issued["leaf"])["status"] == "valid"


@pytest.mark.parametrize("kind, algorithm", [("p256", "ES256"), ("p384", "ES384"), ("p521", "ES512"),
                                             ("rsa2048", "RS256")])
def test_the_certificates_own_key_revokes(sandbox, shared, kind, algorithm):
    key, leaf = issue_leaf(sandbox, shared, kind=kind)
    nobody = sandbox.client(is_registered=False)
    nobody.revoke(der_of(leaf), 4, AccountKey(algorithm, key)).expect(200)
    assert status_of(sandbox, leaf)["status"] == "revoked"
    refused(nobody.revoke(der_of(leaf), 4, AccountKey(algorithm, key)), 400, "alreadyRevoked")
    nobody.close()


def test_another_account_revokes_where_it_holds_every_name(sandbox, shared):
    other = sandbox.client()
    names = [sandbox.name(), f"*.{sandbox.name()}"]
    _, leaf = issue_leaf(sandbox, shared, names)
    refused(other.revoke(der_of(leaf)), 403, "unauthorized")
    other.new_order(names[:1]).expect(201)
    refused(other.revoke(der_of(leaf)), 403, "unauthorized")
    other.new_order([names[1].removeprefix("*.")]).expect(201)
    refused(other.revoke(der_of(leaf)), 403, "unauthorized")
    wildcard = other.new_order(names[1:]).expect(201).json
    other.post(wildcard["authorizations"][0], {"status": "deactivated"}).expect(200)
    refused(other.revoke(der_of(leaf)), 403, "unauthorized")
    assert status_of(sandbox, leaf)["status"] == "valid"
    other.new_order(names[1:]).expect(201)
    other.revoke(der_of(leaf)).expect(200)
    assert status_of(sandbox, leaf)["status"] == "revoked"
    other.close()


def test_strangers_cannot_revoke_and_learn_nothing(sandbox, shared, stranger, issued):
    leaf = issued["leaf"]
    refused(stranger.revoke(der_of(leaf)), 403, "unauthorized")
    refused(stranger.revoke(der_of(leaf), key=AccountKey()), 403, "unauthorized")
    refused(stranger.revoke(der_of(leaf), key=stranger.key), 403, "unauthorized")
    refused(shared.revoke(der_of(leaf), key=shared.key), 403, "unauthorized")
    _, revoked = issue_leaf(sandbox, shared)
    shared.revoke(der_of(revoked)).expect(200)
    refused(stranger.revoke(der_of(revoked)), 403, "unauthorized")
    assert status_of(sandbox, leaf)["status"] == "valid"


def self_signed_with(serial, issuer):
    key = make_key("p256")
    now = datetime.datetime.utcnow()
    return der_of(x509.CertificateBuilder(issuer, issuer, key.public_key(), serial, now,
                                          now + datetime.timedelta(days=9)).sign(key, hashes.SHA256()))


FOREIGN_CERTIFICATES = {
    "same-serial-and-issuer-name": lambda leaf: self_signed_with(leaf.serial_number, leaf.issuer),
    "unknown-serial": lambda leaf: self_signed_with(leaf.serial_number ^ 1, leaf.issuer),
    "short-serial": lambda leaf: self_signed_with(7, leaf.issuer),
    "20-byte-serial": lambda leaf: self_signed_with(2 ** 158 + 1, leaf.issuer),
    "signature-changed": lambda leaf: last_byte_flipped(der_of(leaf)),
    "bytes-behind": lambda leaf: der_of(leaf) + b"\0",
    "cut": lambda leaf: der_of(leaf)[:-1],
    "csr": lambda leaf: make_csr(make_key("p256"), ["a.test"]),
    "empty": lambda leaf: b"",
    "random": lambda leaf: secrets.token_bytes(400),
    "pem": lambda leaf: leaf.public_bytes(serialization.Encoding.PEM),
}


@pytest.mark.parametrize("case", FOREIGN_CERTIFICATES)
def test_a_certificate_that_is_not_ours_is_not_revoked(sandbox, shared, issued, case):
    refused(shared.revoke(FOREIGN_CERTIFICATES[case](issued["leaf"])), 404, "malformed")
    assert status_of(sandbox, issued["leaf"])["status"] == "valid"


@pytest.mark.parametrize("payload", [{}, {"certificate": None}, {"certificate": 7}, {"certificate": ["AAAA"]}])
def test_a_revocation_without_a_certificate_is_refused(shared, payload):
    refused(shared.post(shared.directory["revokeCert"], payload), *MALFORMED)


def test_the_issuing_certificate_cannot_be_revoked_here(sandbox, shared):
    issuer = x509.load_pem_x509_certificate(Path(sandbox["ISSUER_ECC"]).read_bytes())
    refused(shared.revoke(der_of(issuer)), 404, "malformed")


def test_of_parallel_revocations_each_says_done(sandbox, shared):
    _, leaf = issue_leaf(sandbox, shared)
    racers = [shared.twin() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda racer: racer.revoke(der_of(leaf), 4), racers))
    assert any(reply.status == 200 for reply in replies)
    for reply in replies:
        assert reply.status == 200 or reply.problem == "alreadyRevoked", reply.text
    assert status_of(sandbox, leaf)["status"] == "revoked"
    for racer in racers:
        racer.close()

"""Having revocation lists signed: what the signer checks of them by itself, and that others read and verify what it signs."""

import contextlib
import datetime
import os
import secrets
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from signer_link import (CONFLICT, CRL_BEGIN, CRL_ENTRIES, CRL_SIGN, INVALID, NOT_FOUND, OK, REFUSED, REVOKE, SET_SIGNING, SignerLink,
                         append_record, revocation, text, u8, u32, u64)
from under_test import wait_until

SANDBOX_OPTIONS = ("--set", "signer.crl_settle_seconds=0", "--set", "signer.crl_max_entries=100000")
URL = "http://crl.provider.test/crl/e7"
LATE = 4102444800  # 2100-01-01


@pytest.fixture
def box(own_sandbox):
    own_sandbox.wait_ready()
    return own_sandbox


def link(box, is_operator=True):
    return SignerLink(Path(box["ADMIN_SOCKET"]).parent, is_operator)


@pytest.fixture
def operator(box):
    with link(box) as connection:
        yield connection


def now_ms():
    return time.time_ns() // 1000000


def serial():
    return b"\x42" + secrets.token_bytes(15)


def entry_bytes(entries):
    return sum(49 if reason else 35 for _, _, reason in entries)


def header(length):
    if length < 0x80:
        return bytes([length])
    octets = (length.bit_length() + 7) // 8
    return bytes([0x80 | octets]) + length.to_bytes(octets)


def element(tag, *parts):
    content = b"".join(parts)
    return bytes([tag]) + header(len(content)) + content


def encode(entries):
    """The entries in DER, by other code than the product's."""
    def one(serial, when, reason):
        moment = datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%y%m%d%H%M%SZ").encode()
        code = element(0x30, element(0x30, bytes.fromhex("0603551d15"), element(0x04, bytes([0x0a, 1, reason])))) if reason else b""
        return element(0x30, element(0x02, serial), element(0x17, moment), code)

    return b"".join(one(*entry) for entry in entries)


class Listing:
    """A list on its way; what a test makes wrong is given by name."""

    def __init__(self, connection, entries=(), **wish):
        self.connection, self.entries = connection, sorted(entries)
        now = int(time.time())
        self.wish = {"issuer": "ecc", "url": URL, "number": now_ms(), "this_update": now - 300, "next_update": now + 7 * 86400,
                     "count": len(self.entries), "bytes": entry_bytes(self.entries)} | wish

    def begin(self):
        wish = self.wish
        return self.connection.ask(CRL_BEGIN, text(wish["issuer"]) + text(wish["url"]) + b"".join(
            u64(wish[name]) for name in ("number", "this_update", "next_update", "count", "bytes")))

    def give(self, entries=None):
        entries = self.entries if entries is None else entries
        return self.connection.ask(CRL_ENTRIES, u32(len(entries)) + b"".join(
            serial + u32(when) + u8(reason) for serial, when, reason in entries))

    def sign(self):
        """The reply, and the list in DER where there is one."""
        for reply in (self.begin(), self.give() if self.entries else None):
            if reply is not None and reply.code != OK:
                return reply, None
        reply = self.connection.ask(CRL_SIGN)
        if reply.code != OK:
            return reply, None
        head, tail, identifier, signature, digest = (reply.take() for _ in range(5))
        self.sequence = reply.number()
        return reply, element(0x30, head + encode(self.entries) + tail, identifier, element(0x03, b"\0" + signature))


def verified(box, der, issuer="ecc"):
    """The list as cryptography reads it, after cryptography and OpenSSL have verified it."""
    pem = Path(box[f"ISSUER_{issuer.upper()}"])
    key = x509.load_pem_x509_certificate(pem.read_bytes()).public_key()
    parsed = x509.load_der_x509_crl(der)
    assert parsed.is_signature_valid(key)
    path = box.directory / "list.crl"
    path.write_bytes(der)
    result = subprocess.run(["openssl", "crl", "-in", path, "-inform", "DER", "-noout", "-verify", "-CAfile", pem],
                            capture_output=True, text=True)
    assert "verify OK" in result.stdout + result.stderr, result
    return parsed


def last_crl(connection, sequence):
    return next(record for record in connection.records(sequence) if record["type"] == "crl")


@pytest.mark.parametrize("issuer", ["ecc", "rsa"])
@pytest.mark.parametrize("url", ["", URL])
@pytest.mark.parametrize("count", [0, 1, 3000])
def test_others_read_and_verify_a_list(box, operator, issuer, url, count):
    entries = [(serial(), int(time.time()) - i, (0, 1, 3, 4, 5, 9)[i % 6]) for i in range(count)]
    listing = Listing(operator, entries, issuer=issuer, url=url)
    reply, der = listing.sign()
    assert reply.code == OK, reply.message
    parsed = verified(box, der, issuer)
    assert [(entry.serial_number, int(entry.revocation_date_utc.timestamp()) if hasattr(entry, "revocation_date_utc") else
             int(entry.revocation_date.replace(tzinfo=datetime.timezone.utc).timestamp())) for entry in parsed] == [
        (int.from_bytes(serial), when) for serial, when, _ in listing.entries]
    extensions = {each.oid.dotted_string: each for each in parsed.extensions}
    assert set(extensions) == {"2.5.29.35", "2.5.29.20", "2.5.29.28"}
    assert extensions["2.5.29.20"].value.crl_number == listing.wish["number"] and not extensions["2.5.29.20"].critical
    point = extensions["2.5.29.28"]
    assert point.critical and point.value.only_contains_user_certs
    assert [name.value for name in point.value.full_name or ()] == ([url] if url else [])
    record = last_crl(operator, listing.sequence)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(parsed.tbs_certlist_bytes)
    assert record["tbs_sha256"] == digest.finalize().hex()
    assert (record["issuer"], record["url"], record["number"], record["entries"]) == (issuer, url, listing.wish["number"], count)


def test_a_worker_has_no_list_signed(box):
    with link(box, is_operator=False) as worker:
        for kind, fields in ((CRL_BEGIN, b""), (CRL_ENTRIES, u32(0)), (CRL_SIGN, b"")):
            assert worker.ask(kind, fields).code == REFUSED
        assert Listing(worker).begin().code == REFUSED


def test_the_number_never_falls_also_after_a_restart(box, operator):
    url = URL + "/number"
    first = Listing(operator, url=url)
    reply, _ = first.sign()
    assert reply.code == OK, reply.message
    for number in (first.wish["number"], first.wish["number"] - 1, 1):
        assert Listing(operator, url=url, number=number).begin().code == CONFLICT
    assert Listing(operator, url=url, number=now_ms() + 2 * 3600 * 1000).begin().code == REFUSED
    signer = box.signer()
    box.kill(signer)
    assert wait_until(lambda: box.signer() not in (None, signer), 20)
    box.wait_ready()
    with link(box) as again:
        assert Listing(again, url=url, number=first.wish["number"]).begin().code == CONFLICT
        assert Listing(again, url=url, number=first.wish["number"] + 1).sign()[0].code == OK


def revoke(connection, **known):
    one = serial()
    reply = connection.ask(REVOKE, revocation(one, 4, "admin:test", **known))
    assert reply.code == OK, reply.message
    return one, reply.number(), 4


def test_no_list_lacks_what_the_ledger_has_revoked(box, operator):
    url = URL + "/whole"
    due = revoke(operator, not_after=LATE, crl_url=url)
    ended = revoke(operator, not_after=int(time.time()) - 10, crl_url=url)
    other = revoke(operator, not_after=LATE, crl_url=URL + "/other")
    unlisted = revoke(operator, not_after=LATE)

    def refusal(connection, entries, **wish):
        before, reply = box.admin.metrics().get("originca_signer_crl_missing_total", 0), None
        while reply is None or reply.code == CONFLICT:  # the server makes its lists too, at the same moment
            reply, _ = Listing(connection, entries, **wish).sign()
        assert reply.code in (OK, NOT_FOUND), reply.message
        refused = reply.code == NOT_FOUND
        assert box.admin.metrics()["originca_signer_crl_missing_total"] >= before + refused
        return reply.message if refused else None

    def check(connection):
        time.sleep(0.01)  # the number is a moment, and is to rise
        assert due[0].hex() in refusal(connection, [], url=url)
        assert due[0].hex() in refusal(connection, [other, unlisted], url=url)
        assert refusal(connection, [due], url=url) is None
        assert refusal(connection, [due, ended, other], url=url) is None  # more is no harm
        missing = refusal(connection, [due, other], url="")
        assert unlisted[0].hex() in missing, missing
        assert refusal(connection, [due, other, unlisted], url="") is None
        assert refusal(connection, [], url="", issuer="rsa") is None

    check(operator)
    signer = box.signer()
    box.kill(signer)
    assert wait_until(lambda: box.signer() not in (None, signer), 20)
    box.wait_ready()
    with link(box) as again:
        check(again)


def test_no_list_lacks_a_serial_that_became_void(box):
    """What a crash left between intent and outcome: nobody has the certificate, and nobody ever will."""
    with contextlib.closing(box.client()) as client:
        client.issue([box.name()])
    with link(box) as connection:
        intent = next(record for record in connection.records() if record["type"] == "intent")
    del intent["hash"], intent["seq"], intent["time"]
    lost = serial()
    box.script("down", "--keep")
    append_record(box.directory / "ledger", **intent | {"serial": lost.hex(), "attempt": "lost-attempt"})
    box.script("up", "--port-base", box.port_base, *box.options, timeout=600)
    box.wait_ready()

    def check():
        with link(box) as connection:
            reply, _ = Listing(connection, url=intent["crl"]).sign()
            assert reply.code == NOT_FOUND and f"{lost.hex()} is void" in reply.message, reply.message
            reply, _ = Listing(connection, [(lost, int(time.time()), 0)], url=intent["crl"]).sign()
            assert reply.code == OK, reply.message

    check()
    signer = box.signer()
    box.kill(signer)
    assert wait_until(lambda: box.signer() not in (None, signer), 20)
    box.wait_ready()
    check()


WRONG = {
    "issuer": ({"issuer": "nobody"}, REFUSED),
    "no URL": ({"url": "ldap://crl.test/"}, REFUSED),
    "https": ({"url": "https://crl.test/"}, REFUSED),
    "thisUpdate ahead": ({"this_update": int(time.time()) + 3600}, REFUSED),
    "thisUpdate long ago": ({"this_update": int(time.time()) - 3 * 86400}, REFUSED),
    "number far ahead": ({"number": (int(time.time()) + 7200) * 1000}, REFUSED),
    "nextUpdate passed": ({"next_update": int(time.time()) - 1}, REFUSED),
    "nextUpdate far ahead": ({"next_update": int(time.time()) + 40 * 86400}, REFUSED),
    "nextUpdate out of bounds": ({"next_update": 2**64 - 1}, REFUSED),
    "too many entries": ({"count": 100001, "bytes": 35 * 100001}, REFUSED),
    "entries of no bytes": ({"count": 1, "bytes": 0}, INVALID),
    "bytes of no entries": ({"count": 0, "bytes": 35}, INVALID),
    "huge entries": ({"count": 1, "bytes": 2**63}, INVALID),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_list_of_wrong_bounds_is_refused(operator, kind):
    wish, code = WRONG[kind]
    assert Listing(operator, **wish).begin().code == code
    assert operator.ask(CRL_SIGN).code == CONFLICT


def test_entries_that_are_wrong_end_the_list(operator):
    now = int(time.time())
    one, two = sorted(((serial(), now, 0), (serial(), now, 4)))
    wrong = {"twice": [one, one], "falling": [two, one], "reason": [(one[0], now, 6), two], "unknown reason": [(one[0], now, 200), two],
             "serial": [(b"\x80" + one[0][1:], now, 0), two], "future": [(one[0], now + 7200, 0), two],
             "more": [one, two, (b"\x7f" * 16, now, 0)]}
    for what, entries in wrong.items():
        listing = Listing(operator, [one, two])
        assert listing.begin().code == OK
        assert listing.give(entries).code == INVALID, what
        assert operator.ask(CRL_SIGN).code == CONFLICT, what
    for wish in ({}, {"bytes": entry_bytes([one, two]) + 1}):
        listing = Listing(operator, [one, two], **wish)
        assert listing.begin().code == OK
        assert listing.give([one] if not wish else None).code == OK
        assert operator.ask(CRL_SIGN).code == INVALID
    assert operator.ask(CRL_ENTRIES, u32(1000) + b"x" * 21).code == CONFLICT
    listing = Listing(operator, [one, two])
    assert listing.begin().code == OK
    assert operator.ask(CRL_ENTRIES, u32(1000) + b"x" * 21).code == INVALID
    assert Listing(operator, [one, two]).sign()[0].code == OK


def test_a_list_ends_with_its_connection(box, operator):
    with link(box) as broken:
        listing = Listing(broken, [(serial(), int(time.time()), 0)], url=URL + "/broken")
        assert listing.begin().code == OK and listing.give().code == OK
    with link(box) as other:
        assert other.ask(CRL_SIGN).code == CONFLICT
    assert Listing(operator, url=URL + "/broken").sign()[0].code == OK


def test_a_stop_of_issuance_stops_no_list(operator):
    assert operator.ask(SET_SIGNING, u8(0) + text("admin:test")).code == OK
    try:
        assert Listing(operator, url=URL + "/stopped").sign()[0].code == OK
    finally:
        assert operator.ask(SET_SIGNING, u8(1) + text("admin:test")).code == OK


def test_the_client_puts_together_what_was_signed(box):
    path = box.directory / "client.crl"
    program = Path(os.environ["ORIGINCA_BUILD"]) / "bench" / "make-crl"
    result = subprocess.run([program, box["CONFIG"], "rsa", URL + "/client", "25001", path], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert len(verified(box, path.read_bytes(), "rsa")) == 25001

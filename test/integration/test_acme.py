"""RFC 8555 and RFC 9773 resource by resource: what each accepts, and the exact problem with which it refuses the rest.

The client (acme_raw.py) is bent on purpose. Every refusal is judged by `refused`: type, status, form of the problem
document and a nonce that works; where it matters also whether the nonce of the refused request was spent."""

import contextlib
import datetime
import hashlib
import hmac as hmac_module
import ipaddress
import json
import os
import re
import secrets
import signal
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from acme_raw import (AccountKey, b64, certificate_id, compact, make_csr, make_eab, make_header, make_jws, make_key,
                      make_key_change, sign_jws, unb64)
from verify import der_of, load_chain, spki, verify_certificate

TERMS = "https://provider.test/terms"
PAGE = 5
SANDBOX_OPTIONS = ("--workers", "4", "--set", f"acme.orders_page_size={PAGE}",
                   "--set", f"acme.terms_of_service={TERMS}", "--set", "dns.dns_deadline_ms=3000")
ALGORITHMS = ["RS256", "ES256", "ES384", "ES512", "EdDSA"]
JOSE = "application/jose+json"


def refused(reply, status, problem):
    """The reply is that problem, in the form that clients rely on; its document."""
    assert (reply.status, reply.problem) == (status, problem), f"{reply.status} {reply.text[:1500]}"
    body = reply.json
    assert body["type"] == f"urn:ietf:params:acme:error:{problem}" and body["status"] == status
    assert isinstance(body["detail"], str) and body["detail"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{22,}", reply.headers["Replay-Nonce"]), "no nonce to go on with"
    assert reply.headers["Cache-Control"] == "no-store"
    assert any('rel="index"' in link for link in reply.headers.get_all("Link", []))
    return body


def same_words(first, second, *variable):
    """Two refusals must not differ in anything but the values in `variable`."""
    def text(reply):
        detail = reply.text
        for value in variable:
            detail = detail.replace(value, "VALUE")
        return reply.status, detail
    return text(first) == text(second)


def read_account(client, nonce):
    """A good POST-as-GET of the account with that nonce."""
    return client.post_raw(client.kid, compact(make_jws(client.key, client.kid, None, nonce, client.kid)))


def is_spent(client, nonce):
    reply = read_account(client, nonce)
    if reply.status == 200:
        return False
    refused(reply, 400, "badNonce")
    return True


@pytest.fixture(scope="module")
def shared(sandbox):
    """One account for the tests that change nothing of it."""
    client = sandbox.client()
    yield client
    client.close()


@pytest.fixture(scope="module")
def stranger(sandbox):
    """An account of the other customer."""
    client = sandbox.client(2)
    yield client
    client.close()


@pytest.fixture(scope="module")
def other_account(sandbox):
    """Another account of the first customer."""
    client = sandbox.client()
    yield client
    client.close()


# --- directory and nonces (7.1.1, 7.2) ---

def test_the_directory_lists_each_resource_and_the_profiles(sandbox, shared):
    reply = shared.request("GET", sandbox["DIRECTORY_URL"]).expect(200)
    directory = reply.json
    assert reply.headers.get_content_type() == "application/json"
    base = sandbox["DIRECTORY_URL"].removesuffix("/acme/directory")
    for name in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo"):
        assert directory[name].startswith(f"{base}/acme/") and not directory[name].endswith("/")
    assert directory["meta"]["externalAccountRequired"] is True
    assert set(directory["meta"]["profiles"]) >= {"origin", "compact", "classic"}
    assert all(isinstance(text, str) and text for text in directory["meta"]["profiles"].values())
    assert "newAuthz" not in directory


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204)])
def test_newnonce_gives_a_nonce_that_no_cache_keeps(shared, method, status):
    first = shared.request(method, shared.directory["newNonce"]).expect(status)
    second = shared.request(method, shared.directory["newNonce"]).expect(status)
    assert first.headers["Cache-Control"] == "no-store" and first.body == b""
    assert 'rel="index"' in first.headers["Link"]
    nonces = {first.headers["Replay-Nonce"], second.headers["Replay-Nonce"]}
    assert len(nonces) == 2
    for nonce in nonces:
        assert b64(unb64(nonce)) == nonce, "certbot decodes and encodes it again"
        assert not is_spent(shared, nonce)


@pytest.mark.parametrize("resource", ["newNonce", "directory"])
def test_directory_and_newnonce_can_be_read_by_post_as_get_too(sandbox, shared, resource):
    """RFC 8555 6.3: "in addition to POST-as-GET requests for these resources"."""
    url = sandbox["DIRECTORY_URL"] if resource == "directory" else shared.directory[resource]
    reply = shared.post(url)
    assert reply.status in (200, 204), reply.text
    assert reply.headers["Replay-Nonce"]
    if resource == "directory":
        assert reply.json == shared.directory
    refused(shared.post(url, {}), 400, "malformed")


def forged_nonce(sandbox, issued_at, index=7):
    """A nonce as include/originca/nonce.h describes it, of a block of its own."""
    master = bytes.fromhex((sandbox.directory / "secret").read_text().strip())
    key = hmac_module.new(master, b"nonce\0", hashlib.sha256).digest()
    body = secrets.token_bytes(12) + struct.pack(">II", index, issued_at)
    return b64(body + hmac_module.new(key, body, hashlib.sha256).digest()[:16])


def test_a_nonce_of_nearly_a_day_ago_is_accepted_and_one_of_more_is_not(sandbox, shared):
    now = int(time.time())
    read_account(shared, forged_nonce(sandbox, now - 86400 + 300)).expect(200)
    refused(read_account(shared, forged_nonce(sandbox, now - 86400 - 300)), 400, "badNonce")


@pytest.mark.parametrize("nonce", [
    pytest.param(lambda sandbox: b64(secrets.token_bytes(36)), id="of-another-server"),
    pytest.param(lambda sandbox: b64(secrets.token_bytes(16)), id="of-another-length"),
    pytest.param(lambda sandbox: b64(secrets.token_bytes(3000)), id="very-long"),
    pytest.param(lambda sandbox: forged_nonce(sandbox, int(time.time()), 65536), id="index-outside-its-block"),
    pytest.param(lambda sandbox: "A" + forged_nonce(sandbox, int(time.time()))[1:], id="changed"),
])
def test_a_nonce_that_was_not_given_out_is_bad_and_the_reply_brings_one_that_works(sandbox, shared, nonce):
    reply = read_account(shared, nonce(sandbox))
    body = refused(reply, 400, "badNonce")
    assert "JWS has an invalid anti-replay nonce" in body["detail"], "acme.sh looks for these words"
    assert not is_spent(shared, reply.headers["Replay-Nonce"])


def test_a_spent_nonce_is_bad_and_the_reply_brings_one_that_works(shared):
    nonce = shared.take_nonce()
    read_account(shared, nonce).expect(200)
    reply = read_account(shared, nonce)
    refused(reply, 400, "badNonce")
    assert not is_spent(shared, reply.headers["Replay-Nonce"])


@pytest.mark.parametrize("nonce", ["not base64url!", "AAAA=", "AB", "A", "++++", 7, ["AAAA"], {}])
def test_a_nonce_that_is_no_base64url_makes_the_jws_malformed(shared, nonce):
    """RFC 8555 6.5.2."""
    body = compact(make_jws(shared.key, shared.kid, None, None, shared.kid, {"nonce": nonce}))
    refused(shared.post_raw(shared.kid, body), 400, "malformed")


def test_a_nonce_is_spent_once_by_20_posts_across_the_workers(own_sandbox):
    """The first 12 bytes of a nonce name the worker's block, so several of them show that several workers answered."""
    client = own_sandbox.client()
    racers = [client.twin() for _ in range(20)]
    blocks = set()
    for _ in range(3):
        nonce = client.take_nonce()
        with ThreadPoolExecutor(len(racers)) as pool:
            replies = list(pool.map(lambda racer: read_account(racer, nonce), racers))
        assert sorted(reply.status for reply in replies) == [200] + [400] * 19
        assert {reply.problem for reply in replies if reply.status == 400} == {"badNonce"}
        fresh = [reply.headers["Replay-Nonce"] for reply in replies]
        assert len(set(fresh)) == 20
        blocks |= {each[:16] for each in fresh}
        assert not any(is_spent(client, each) for each in fresh), "a worker must take each other worker's nonces"
    assert len(blocks) > 1
    for racer in racers:
        racer.close()


# --- JSON Web Signatures (6.2) ---

def account_jws(client, nonce, payload=None, key=None, **header):
    return make_jws(key or client.key, client.kid, payload, nonce, client.kid, header)


def hmac_with_public_key(client, nonce):
    """The classic confusion: the public key, known to all, as the secret of an HMAC."""
    header = make_header(client.key, client.kid, nonce, client.kid, {"alg": "HS256"})
    jws = sign_jws(client.key, compact(header), b"")
    public = client.key.private.public_key().public_bytes(serialization.Encoding.PEM,
                                                          serialization.PublicFormat.SubjectPublicKeyInfo)
    mac = hmac_module.new(public, f"{jws['protected']}.{jws['payload']}".encode(), hashlib.sha256).digest()
    return jws | {"signature": b64(mac)}


def raw_header(client, nonce, change):
    """A good header's text changed by `change`, then signed."""
    header = compact(make_header(client.key, client.kid, nonce, client.kid)).decode()
    changed = change(header)
    assert changed != header
    return sign_jws(client.key, changed.encode() if isinstance(changed, str) else changed, b"")


def raw_body(client, nonce, change):
    body = compact(account_jws(client, nonce))
    changed = change(body)
    assert changed != body
    return changed


def with_signature(client, nonce, change):
    jws = account_jws(client, nonce)
    return jws | {"signature": b64(change(unb64(jws["signature"])))}


def flipped(at):
    def flip(signature):
        return signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1:]
    return flip


def as_der(signature):
    half = len(signature) // 2
    return utils.encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def beyond_the_order(signature):
    """s + n, a second spelling of s where it still fits; it never does on P-256, so n itself: out of range."""
    return signature[:32] + bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")


def non_canonical(text):
    """The same bytes with another last character: its unused bits set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4 in (2, 3)
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def non_canonical_part(client, nonce, part):
    """Signed over the odd spelling itself, so that nothing else is wrong with it."""
    for filler in ("", " ", "  "):
        header = compact(make_header(client.key, client.kid, nonce, client.kid)) + filler.encode()
        texts = {"protected": b64(header), "payload": b64(b"{}" + filler.encode())}
        if len(texts[part]) % 4 in (2, 3):
            break
    texts[part] = non_canonical(texts[part])
    signature = client.key.sign(f"{texts['protected']}.{texts['payload']}".encode())
    return texts | {"signature": b64(signature)}


def padded_part(client, nonce, part):
    header = compact(make_header(client.key, client.kid, nonce, client.kid))
    for filler in (b"", b" ", b"  "):
        texts = {"protected": b64(header + filler), "payload": b64(b"{}" + filler)}
        if len(texts[part]) % 4 != 0:
            break
    texts[part] += "=" * (-len(texts[part]) % 4)
    signature = client.key.sign(f"{texts['protected']}.{texts['payload']}".encode())
    return texts | {"signature": b64(signature)}


def deep(levels):
    return b'{"a":' * levels + b"1" + b"}" * levels


def compact_serialization(client, nonce):
    jws = account_jws(client, nonce)
    return ".".join((jws["protected"], jws["payload"], jws["signature"])).encode()


def general_serialization(client, nonce):
    jws = account_jws(client, nonce)
    return {"payload": jws["payload"],
            "signatures": [{"protected": jws["protected"], "signature": jws["signature"]}]}


def with_text(jws, part, text):
    return jws | {part: jws[part] + text}


def with_last(jws, part):
    return jws | {part: non_canonical(jws[part])}


ALGORITHM = (400, "badSignatureAlgorithm")
MALFORMED = (400, "malformed")
NO_ACCOUNT = (400, "accountDoesNotExist")
WRONG_URL = (401, "unauthorized")
UNSPENT, SPENT = False, True

# name: (what to send, (status, problem), is the nonce spent)
BAD_JWS = {
    "alg-none": (lambda c, n: account_jws(c, n, alg="none") | {"signature": ""}, ALGORITHM, UNSPENT),
    "alg-none-with-signature": (lambda c, n: account_jws(c, n, alg="none"), ALGORITHM, UNSPENT),
    "alg-None": (lambda c, n: account_jws(c, n, alg="None"), ALGORITHM, UNSPENT),
    "alg-HS256-with-the-public-key": (hmac_with_public_key, ALGORITHM, UNSPENT),
    "alg-PS256": (lambda c, n: account_jws(c, n, alg="PS256"), ALGORITHM, UNSPENT),
    "alg-RS1": (lambda c, n: account_jws(c, n, alg="RS1"), ALGORITHM, UNSPENT),
    "alg-ES256K": (lambda c, n: account_jws(c, n, alg="ES256K"), ALGORITHM, UNSPENT),
    "alg-lower-case": (lambda c, n: account_jws(c, n, alg="es256"), ALGORITHM, UNSPENT),
    "alg-empty": (lambda c, n: account_jws(c, n, alg=""), ALGORITHM, UNSPENT),
    "alg-long-and-not-ascii": (lambda c, n: account_jws(c, n, alg="a" + "é" * 300), ALGORITHM, UNSPENT),
    "alg-missing": (lambda c, n: account_jws(c, n, alg=None), MALFORMED, UNSPENT),
    "alg-number": (lambda c, n: account_jws(c, n, alg=256), MALFORMED, UNSPENT),
    "alg-of-another-curve": (lambda c, n: account_jws(c, n, alg="ES384"), ALGORITHM, SPENT),
    "alg-of-another-kind-of-key": (lambda c, n: account_jws(c, n, alg="RS256"), ALGORITHM, SPENT),
    "alg-EdDSA-with-a-P-256-key": (lambda c, n: account_jws(c, n, alg="EdDSA"), ALGORITHM, SPENT),
    "jwk-and-kid": (lambda c, n: account_jws(c, n, jwk=c.key.jwk), MALFORMED, UNSPENT),
    "neither-jwk-nor-kid": (lambda c, n: account_jws(c, n, kid=None), MALFORMED, UNSPENT),
    "jwk-where-kid-is-due": (lambda c, n: account_jws(c, n, kid=None, jwk=c.key.jwk), MALFORMED, UNSPENT),
    "jwk-no-object": (lambda c, n: account_jws(c, n, kid=None, jwk="key"), MALFORMED, UNSPENT),
    "kid-number": (lambda c, n: account_jws(c, n, kid=1), MALFORMED, UNSPENT),
    "url-missing": (lambda c, n: account_jws(c, n, url=None), MALFORMED, UNSPENT),
    "url-array": (lambda c, n: account_jws(c, n, url=[c.kid]), MALFORMED, UNSPENT),
    "url-of-another-resource": (lambda c, n: account_jws(c, n, url=c.directory["newOrder"]), WRONG_URL, UNSPENT),
    "url-of-another-host": (lambda c, n: account_jws(c, n, url=c.kid.replace("localhost", "example.test")), WRONG_URL,
                            UNSPENT),
    "url-without-tls": (lambda c, n: account_jws(c, n, url=c.kid.replace("https", "http")), WRONG_URL, UNSPENT),
    "url-with-a-query": (lambda c, n: account_jws(c, n, url=c.kid + "?a=b"), WRONG_URL, UNSPENT),
    "url-with-a-slash-more": (lambda c, n: account_jws(c, n, url=c.kid + "/"), WRONG_URL, UNSPENT),
    "url-relative": (lambda c, n: account_jws(c, n, url="/" + c.kid.split("/", 3)[3]), WRONG_URL, UNSPENT),
    "url-upper-case": (lambda c, n: account_jws(c, n, url=c.kid.replace("https", "HTTPS")), WRONG_URL, UNSPENT),
    "nonce-missing": (lambda c, n: account_jws(c, None), MALFORMED, UNSPENT),
    "crit": (lambda c, n: account_jws(c, n, crit=["url"]), MALFORMED, UNSPENT),
    "crit-empty": (lambda c, n: account_jws(c, n, crit=[]), MALFORMED, UNSPENT),
    "b64-false": (lambda c, n: account_jws(c, n, b64=False), MALFORMED, UNSPENT),
    "kid-of-another-host": (lambda c, n: account_jws(c, n, kid=c.kid.replace("localhost", "example.test")),
                            NO_ACCOUNT, UNSPENT),
    "kid-without-host": (lambda c, n: account_jws(c, n, kid=c.kid.rpartition("/")[2]), NO_ACCOUNT, UNSPENT),
    "kid-without-id": (lambda c, n: account_jws(c, n, kid=c.kid.rpartition("/")[0] + "/"), NO_ACCOUNT, UNSPENT),
    "kid-of-a-deeper-path": (lambda c, n: account_jws(c, n, kid=c.kid + "/orders"), NO_ACCOUNT, UNSPENT),
    "kid-empty": (lambda c, n: account_jws(c, n, kid=""), NO_ACCOUNT, UNSPENT),
    "kid-unknown": (lambda c, n: account_jws(c, n, kid=c.kid[:-4] + "0000"), NO_ACCOUNT, SPENT),
    "kid-with-a-query": (lambda c, n: account_jws(c, n, kid=c.kid + "?x"), NO_ACCOUNT, SPENT),
    "kid-very-long": (lambda c, n: account_jws(c, n, kid=c.kid + "a" * 9000), NO_ACCOUNT, SPENT),
    "header-no-object": (lambda c, n: sign_jws(c.key, b'["alg"]', b""), MALFORMED, UNSPENT),
    "header-empty": (lambda c, n: sign_jws(c.key, b"", b""), MALFORMED, UNSPENT),
    "header-with-two-algs": (lambda c, n: raw_header(c, n, lambda h: '{"alg":"none",' + h[1:]), MALFORMED, UNSPENT),
    "header-with-two-nonces": (lambda c, n: raw_header(c, n, lambda h: h[:-1] + f',"nonce":"{n}"}}'), MALFORMED,
                               UNSPENT),
    "header-with-an-escaped-duplicate": (lambda c, n: raw_header(c, n, lambda h: '{"\\u0061lg":"none",' + h[1:]),
                                         MALFORMED, UNSPENT),
    "header-with-text-behind": (lambda c, n: raw_header(c, n, lambda h: h + "{}"), MALFORMED, UNSPENT),
    "header-deep": (lambda c, n: raw_header(c, n, lambda h: h[:-1] + ',"a":' + "[" * 40 + "]" * 40 + "}"), MALFORMED,
                    UNSPENT),
    "header-no-utf8": (lambda c, n: raw_header(c, n, lambda h: h.encode()[:-1] + b',"a":"\xff"}'), MALFORMED, UNSPENT),
    "header-with-nul": (lambda c, n: raw_header(c, n, lambda h: h[:-1] + ',"a":"\\u0000"}'), MALFORMED, UNSPENT),
    "unprotected-header": (lambda c, n: account_jws(c, n) | {"header": {"alg": "ES256"}}, MALFORMED, UNSPENT),
    "unprotected-header-empty": (lambda c, n: account_jws(c, n) | {"header": {}}, MALFORMED, UNSPENT),
    "unknown-member": (lambda c, n: account_jws(c, n) | {"extra": "x"}, MALFORMED, UNSPENT),
    "signatures-beside": (lambda c, n: account_jws(c, n) | {"signatures": []}, MALFORMED, UNSPENT),
    "general-serialization": (general_serialization, MALFORMED, UNSPENT),
    "compact-serialization": (compact_serialization, MALFORMED, UNSPENT),
    "no-signature": (lambda c, n: {k: v for k, v in account_jws(c, n).items() if k != "signature"}, MALFORMED,
                     UNSPENT),
    "no-payload": (lambda c, n: {k: v for k, v in account_jws(c, n).items() if k != "payload"}, MALFORMED, UNSPENT),
    "payload-null": (lambda c, n: account_jws(c, n) | {"payload": None}, MALFORMED, UNSPENT),
    "payload-object": (lambda c, n: account_jws(c, n) | {"payload": {}}, MALFORMED, UNSPENT),
    "protected-padded": (lambda c, n: padded_part(c, n, "protected"), MALFORMED, UNSPENT),
    "payload-padded": (lambda c, n: padded_part(c, n, "payload"), MALFORMED, UNSPENT),
    "signature-padded": (lambda c, n: with_text(account_jws(c, n), "signature", "=="), MALFORMED, UNSPENT),
    "protected-not-canonical": (lambda c, n: non_canonical_part(c, n, "protected"), MALFORMED, UNSPENT),
    "payload-not-canonical": (lambda c, n: non_canonical_part(c, n, "payload"), MALFORMED, UNSPENT),
    "signature-not-canonical": (lambda c, n: with_last(account_jws(c, n), "signature"), MALFORMED, UNSPENT),
    "signature-with-a-line-break": (lambda c, n: with_text(account_jws(c, n), "signature", "\n"), MALFORMED, UNSPENT),
    "signature-with-base64-letters": (lambda c, n: account_jws(c, n) | {"signature": "+/" * 43}, MALFORMED, UNSPENT),
    "two-payloads": (lambda c, n: raw_body(c, n, lambda b: b[:-1] + b',"payload":""}'), MALFORMED, UNSPENT),
    "text-behind": (lambda c, n: raw_body(c, n, lambda b: b + b"x"), MALFORMED, UNSPENT),
    "second-document-behind": (lambda c, n: raw_body(c, n, lambda b: b + b), MALFORMED, UNSPENT),
    "nul-behind": (lambda c, n: raw_body(c, n, lambda b: b + b"\0"), MALFORMED, UNSPENT),
    "byte-order-mark": (lambda c, n: raw_body(c, n, lambda b: b"\xef\xbb\xbf" + b), MALFORMED, UNSPENT),
    "utf-16": (lambda c, n: raw_body(c, n, lambda b: b.decode().encode("utf-16")), MALFORMED, UNSPENT),
    "array": (lambda c, n: raw_body(c, n, lambda b: b"[" + b + b"]"), MALFORMED, UNSPENT),
    "cut": (lambda c, n: raw_body(c, n, lambda b: b[:-1]), MALFORMED, UNSPENT),
    "empty-body": (lambda c, n: b"", MALFORMED, UNSPENT),
    "blank-body": (lambda c, n: b" \r\n ", MALFORMED, UNSPENT),
    "number": (lambda c, n: b"7", MALFORMED, UNSPENT),
    "deep": (lambda c, n: deep(33), MALFORMED, UNSPENT),
    "very-deep": (lambda c, n: b"[" * 60000, MALFORMED, UNSPENT),
    "many-members": (lambda c, n: compact({str(i): 0 for i in range(5000)}), MALFORMED, UNSPENT),
    "huge-number": (lambda c, n: b'{"protected":' + b"9" * 5000 + b"}", MALFORMED, UNSPENT),
    "signature-empty": (lambda c, n: account_jws(c, n) | {"signature": ""}, MALFORMED, SPENT),
    "signature-zeros": (lambda c, n: with_signature(c, n, lambda s: bytes(64)), MALFORMED, SPENT),
    "signature-r-zero": (lambda c, n: with_signature(c, n, lambda s: bytes(32) + s[32:]), MALFORMED, SPENT),
    "signature-s-zero": (lambda c, n: with_signature(c, n, lambda s: s[:32] + bytes(32)), MALFORMED, SPENT),
    "signature-s-is-the-order": (lambda c, n: with_signature(c, n, beyond_the_order), MALFORMED, SPENT),
    "signature-all-ones": (lambda c, n: with_signature(c, n, lambda s: b"\xff" * 64), MALFORMED, SPENT),
    "signature-first-bit-flipped": (lambda c, n: with_signature(c, n, flipped(0)), MALFORMED, SPENT),
    "signature-middle-bit-flipped": (lambda c, n: with_signature(c, n, flipped(32)), MALFORMED, SPENT),
    "signature-last-bit-flipped": (lambda c, n: with_signature(c, n, flipped(63)), MALFORMED, SPENT),
    "signature-a-byte-short": (lambda c, n: with_signature(c, n, lambda s: s[:63]), MALFORMED, SPENT),
    "signature-a-byte-long": (lambda c, n: with_signature(c, n, lambda s: s + b"\0"), MALFORMED, SPENT),
    "signature-halves-with-leading-zeros": (lambda c, n: with_signature(
        c, n, lambda s: bytes(1) + s[:32] + bytes(1) + s[32:]), MALFORMED, SPENT),
    "signature-of-4000-bytes": (lambda c, n: with_signature(c, n, lambda s: s * 62), MALFORMED, SPENT),
    "signature-as-der": (lambda c, n: with_signature(c, n, as_der), MALFORMED, SPENT),
    "signed-by-another-key": (lambda c, n: account_jws(c, n, key=AccountKey()), MALFORMED, SPENT),
    "payload-changed-after-signing": (lambda c, n: account_jws(c, n) | {"payload": b64(b'{"status":"deactivated"}')},
                                      MALFORMED, SPENT),
    "payload-array": (lambda c, n: account_jws(c, n, payload=b"[]"), MALFORMED, SPENT),
    "payload-string": (lambda c, n: account_jws(c, n, payload=b'""'), MALFORMED, SPENT),
    "payload-blank": (lambda c, n: account_jws(c, n, payload=b" "), MALFORMED, SPENT),
    "payload-json-null": (lambda c, n: account_jws(c, n, payload=b"null"), MALFORMED, SPENT),
    "payload-broken": (lambda c, n: account_jws(c, n, payload=b'{"contact":'), MALFORMED, SPENT),
    "payload-with-duplicates": (lambda c, n: account_jws(c, n, payload=b'{"status":"valid","status":"deactivated"}'),
                                MALFORMED, SPENT),
    "payload-deep": (lambda c, n: account_jws(c, n, payload=deep(33)), MALFORMED, SPENT),
    "payload-no-utf8": (lambda c, n: account_jws(c, n, payload=b'{"a":"\xc3\x28"}'), MALFORMED, SPENT),
}


@pytest.mark.parametrize("case", BAD_JWS)
def test_a_bad_jws_is_refused_and_spends_its_nonce_only_where_it_says_who_it_is(shared, case):
    build, (status, problem), spends = BAD_JWS[case]
    nonce = shared.take_nonce()
    body = build(shared, nonce)
    reply = shared.post_raw(shared.kid, body if isinstance(body, bytes) else compact(body))
    document = refused(reply, status, problem)
    if problem == "badSignatureAlgorithm":
        assert document["algorithms"] == ALGORITHMS
    assert is_spent(shared, nonce) == spends
    assert shared.post(shared.kid).expect(200).json["status"] == "valid"


@pytest.mark.parametrize("content_type", ["application/json", "application/jose", "application/jose+jsonx",
                                          "text/plain", "application/x-www-form-urlencoded", "", None])
def test_another_content_type_is_refused(shared, content_type):
    nonce = shared.take_nonce()
    headers = {} if content_type is None else {"Content-Type": content_type}
    reply = shared.request("POST", shared.kid, compact(account_jws(shared, nonce)), headers)
    refused(reply, 415, "malformed")
    assert not is_spent(shared, nonce)


@pytest.mark.parametrize("content_type", [JOSE, "Application/JOSE+JSON", f"{JOSE}; charset=utf-8"])
def test_the_content_type_may_have_parameters_and_any_case(shared, content_type):
    shared.post_raw(shared.kid, compact(account_jws(shared, shared.take_nonce())), content_type).expect(200)


def test_a_request_with_a_replay_nonce_field_is_refused(shared):
    nonce = shared.take_nonce()
    reply = shared.request("POST", shared.kid, compact(account_jws(shared, nonce)),
                           {"Content-Type": JOSE, "Replay-Nonce": nonce})
    refused(reply, 400, "malformed")


def test_white_space_and_the_order_of_members_do_not_matter(shared):
    """certbot sends the JWS with line breaks, acme.sh writes the header with blanks."""
    header = json.dumps(make_header(shared.key, shared.kid, shared.take_nonce(), shared.kid), indent=4).encode()
    jws = sign_jws(shared.key, b"\r\n" + header + b"\n", b"")
    shared.post_raw(shared.kid, json.dumps(dict(reversed(jws.items())), indent=2).encode()).expect(200)


def test_unknown_members_of_the_protected_header_are_ignored(shared):
    jws = account_jws(shared, shared.take_nonce(), typ="JOSE+JSON", cty="x", x={"deep": [1, 2]})
    shared.post_raw(shared.kid, compact(jws)).expect(200)


@pytest.mark.parametrize("algorithm, size", [("ES256", 32), ("ES384", 48), ("ES512", 66)])
@pytest.mark.parametrize("half", [0, 1])
def test_a_signature_whose_number_begins_with_zero_octets_is_good(sandbox, algorithm, size, half):
    """RFC 7518 3.4: fixed lengths, so one number in 256 begins with a zero octet; DER would drop it."""
    client = sandbox.client(key=AccountKey(algorithm))
    zeros = 2 if algorithm == "ES512" else 1
    nonce = client.take_nonce()
    for _ in range(20000):
        jws = account_jws(client, nonce)
        if not any(unb64(jws["signature"])[half * size:half * size + zeros]):
            break
    else:
        raise AssertionError("no such signature came up")
    client.post_raw(client.kid, compact(jws)).expect(200)
    client.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_account_of_each_algorithm_registers_issues_and_revokes(sandbox, algorithm):
    client = sandbox.client(key=AccountKey(algorithm))
    names = [sandbox.name(), f"*.{sandbox.name()}"]
    key, chain, _ = client.issue(names)
    leaf = verify_certificate(chain, key, names, sandbox["ISSUER_ECC"])
    client.revoke(der_of(leaf)).expect(200)
    refused(client.post(client.kid, header={"alg": "RS256" if algorithm != "RS256" else "ES256"}), *ALGORITHM)
    client.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_flipped_bit_anywhere_in_a_signature_of_each_algorithm_is_refused(sandbox, algorithm):
    client = sandbox.client(key=AccountKey(algorithm))
    length = len(unb64(account_jws(client, "AAAA")["signature"]))
    for at in (0, length // 3, length // 2, length - 1):
        jws = with_signature(client, client.take_nonce(), flipped(at))
        refused(client.post_raw(client.kid, compact(jws)), *MALFORMED)
    for change in (lambda s: s[:-1], lambda s: s + b"\0", lambda s: bytes(len(s)), lambda s: b"\xff" * len(s)):
        jws = with_signature(client, client.take_nonce(), change)
        refused(client.post_raw(client.kid, compact(jws)), *MALFORMED)
    client.post(client.kid).expect(200)
    client.close()


def test_a_kid_of_another_account_does_not_help(shared, other_account):
    """Signed by one's own key, in the name of another."""
    nonce = shared.take_nonce()
    jws = make_jws(shared.key, other_account.kid, {"status": "deactivated"}, nonce, other_account.kid)
    refused(shared.post_raw(other_account.kid, compact(jws)), *MALFORMED)
    assert is_spent(shared, nonce)
    other_account.post(other_account.kid).expect(200)


# --- methods (6.3) ---

@pytest.fixture(scope="module")
def issued(sandbox, shared):
    """URLs of everything that an issuance leaves, and the certificate."""
    names = [sandbox.name(), f"*.{sandbox.name()}"]
    created = shared.new_order(names).expect(201)
    key, order = make_key("p256"), created.json
    done = shared.finalize(order, make_csr(key, names)).expect(200).json
    authorization = shared.post(order["authorizations"][0]).expect(200).json
    chain = shared.post(done["certificate"]).expect(200).text
    return {"account": shared.kid, "orders": shared.post(shared.kid).json["orders"],
            "order": created.headers["Location"], "finalize": order["finalize"],
            "authorization": order["authorizations"][0], "challenge": authorization["challenges"][0]["url"],
            "certificate": done["certificate"], "names": names, "key": key, "chain": chain,
            "leaf": load_chain(chain)[0]}


POST_ONLY = ["account", "orders", "order", "finalize", "authorization", "challenge", "certificate", "newAccount",
             "newOrder", "revokeCert", "keyChange"]


@pytest.mark.parametrize("resource", POST_ONLY)
def test_get_on_a_resource_that_wants_post_is_refused(shared, issued, resource):
    url = issued.get(resource) or shared.directory[resource]
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        reply = shared.request(method, url)
        assert reply.status == 405 and reply.headers["Allow"] == "POST", reply.text
        assert reply.problem == "malformed" and reply.json["status"] == 405
    assert shared.request("HEAD", url).status == 405


@pytest.mark.parametrize("resource", ["orders", "order", "authorization", "certificate"])
@pytest.mark.parametrize("payload", [{}, {"x": 1}])
def test_a_payload_in_a_post_as_get_is_refused(shared, issued, resource, payload):
    nonce = shared.take_nonce()
    jws = make_jws(shared.key, issued[resource], payload, nonce, shared.kid)
    refused(shared.post_raw(issued[resource], compact(jws)), *MALFORMED)
    assert is_spent(shared, nonce)


@pytest.mark.parametrize("resource", ["newAccount", "newOrder", "revokeCert", "keyChange", "finalize"])
def test_an_empty_payload_where_one_is_needed_is_refused(sandbox, shared, issued, resource):
    client = sandbox.client(is_registered=False) if resource == "newAccount" else shared
    url = issued.get(resource) or client.directory[resource]
    refused(client.post(url, with_jwk=resource == "newAccount"), *MALFORMED)


@pytest.mark.parametrize("path", ["nothing", "order", "order/", "order/x/y", "authz/x", "account/", "cert", ""])
def test_a_path_that_does_not_exist_is_a_problem_document(sandbox, shared, path):
    url = sandbox["DIRECTORY_URL"].removesuffix("directory") + path
    refused(shared.post(url), 404, "malformed")


@pytest.mark.parametrize("with_jwk, resource", [(False, "newAccount"), (True, "newOrder"), (True, "keyChange")])
def test_each_resource_wants_its_own_one_of_jwk_and_kid(shared, with_jwk, resource):
    refused(shared.post(shared.directory[resource], {}, with_jwk=with_jwk), *MALFORMED)


# --- account keys (threats 5) ---

def primes_below(limit):
    return [n for n in range(3, limit, 2) if all(n % d for d in range(3, int(n ** 0.5) + 1, 2))]


def next_prime(n):
    n |= 1
    while not all(n % p for p in primes_below(752)) or pow(2, n - 1, n) != 1:
        n += 2
    return n


def random_prime(bits):
    return next_prime(secrets.randbits(bits) | 3 << (bits - 2))


def modulus_of_close_primes(bits=2048):
    p = random_prime(bits // 2)
    return p * next_prime(p + 2)


def modulus_with_a_small_factor(factor=751, bits=2048):
    while True:
        n = factor * (secrets.randbits(bits - factor.bit_length()) | 1)
        if n.bit_length() == bits:
            return n


def modulus_with_roca_fingerprint(bits=2048):
    """A power of 65537 modulo the product of the first primes (CVE-2017-15361), with no factor below 752."""
    product = 1
    for prime in primes_below(168):
        product *= prime
    while True:
        residue = pow(65537, secrets.randbelow(2 ** 40), product)
        n = residue + product * (secrets.randbits(bits) // product)
        if n % 2 and n.bit_length() == bits and all(n % prime for prime in primes_below(752)):
            return n


def good_modulus(bits=2048):
    return rsa.generate_private_key(65537, bits).public_key().public_numbers().n


def rsa_jwk(n, e=65537, zeros=0):
    def number(value):
        return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    return {"kty": "RSA", "n": b64(bytes(zeros) + number(n)), "e": b64(number(e))}


def ec_jwk(**changes):
    return AccountKey().jwk | changes


def point_off_the_curve():
    jwk = AccountKey().jwk
    y = bytearray(unb64(jwk["y"]))
    y[-1] ^= 1
    return jwk | {"y": b64(bytes(y))}


def point_beyond_the_field():
    """x + p, which means the same point to a lax reader; only small x have one of 32 bytes, so p itself for x = 0."""
    prime = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff
    root = 0x66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4  # sqrt(b): x = 0 is on P-256
    assert root * root % prime == 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b
    return {"kty": "EC", "crv": "P-256", "x": b64(prime.to_bytes(32, "big")), "y": b64(root.to_bytes(32, "big"))}


BAD_KEY = (400, "badPublicKey")
BAD_KEYS = {
    "rsa-1024": (lambda: rsa_jwk(good_modulus(1024)), BAD_KEY),
    "rsa-2047": (lambda: rsa_jwk(modulus_with_a_small_factor(757, 2047)), BAD_KEY),
    "rsa-2049": (lambda: rsa_jwk(modulus_with_a_small_factor(757, 2049)), BAD_KEY),
    "rsa-8200": (lambda: rsa_jwk(modulus_with_a_small_factor(757, 8200)), BAD_KEY),
    "rsa-16384": (lambda: rsa_jwk(modulus_with_a_small_factor(757, 16384)), BAD_KEY),
    "rsa-200000": (lambda: rsa_jwk(modulus_with_a_small_factor(757, 200000)), BAD_KEY),
    "rsa-e-1": (lambda: rsa_jwk(good_modulus(), 1), BAD_KEY),
    "rsa-e-3": (lambda: rsa_jwk(good_modulus(), 3), BAD_KEY),
    "rsa-e-even": (lambda: rsa_jwk(good_modulus(), 65536), BAD_KEY),
    "rsa-e-huge": (lambda: rsa_jwk(good_modulus(), 2 ** 2000 + 1), BAD_KEY),
    "rsa-e-zero": (lambda: rsa_jwk(good_modulus(), 0), MALFORMED),
    "rsa-even": (lambda: rsa_jwk(good_modulus() + 1), BAD_KEY),
    "rsa-small-factor": (lambda: rsa_jwk(modulus_with_a_small_factor()), BAD_KEY),
    "rsa-square": (lambda: rsa_jwk(random_prime(1024) ** 2), BAD_KEY),
    "rsa-cube": (lambda: rsa_jwk(next_prime(int(2 ** (2047.5 / 3 - 600)) << 600) ** 3), BAD_KEY),
    "rsa-close-primes": (lambda: rsa_jwk(modulus_of_close_primes()), BAD_KEY),
    "rsa-roca": (lambda: rsa_jwk(modulus_with_roca_fingerprint()), BAD_KEY),
    "rsa-leading-zero": (lambda: rsa_jwk(good_modulus(), zeros=1), MALFORMED),
    "rsa-n-zero": (lambda: {"kty": "RSA", "n": "AA", "e": "AQAB"}, MALFORMED),
    "rsa-n-missing": (lambda: {"kty": "RSA", "e": "AQAB"}, MALFORMED),
    "rsa-n-number": (lambda: {"kty": "RSA", "n": 7, "e": "AQAB"}, MALFORMED),
    "rsa-n-padded": (lambda: {"kty": "RSA", "n": "AQAB====", "e": "AQAB"}, MALFORMED),
    "p256-off-the-curve": (point_off_the_curve, BAD_KEY),
    "p256-zero-point": (lambda: ec_jwk(x=b64(bytes(32)), y=b64(bytes(32))), MALFORMED),
    "p256-beyond-the-field": (point_beyond_the_field, BAD_KEY),
    "p256-point-of-p384": (lambda: AccountKey("ES384").jwk | {"crv": "P-256"}, MALFORMED),
    "p384-point-of-p256": (lambda: ec_jwk(crv="P-384"), MALFORMED),
    "p256-short-coordinate": (lambda: ec_jwk(x=b64(secrets.token_bytes(31))), MALFORMED),
    "p256-long-coordinate": (lambda: ec_jwk(x=b64(b"\0" + secrets.token_bytes(32))), MALFORMED),
    "p256-without-y": (lambda: {k: v for k, v in AccountKey().jwk.items() if k != "y"}, MALFORMED),
    "secp256k1": (lambda: ec_jwk(crv="secp256k1"), BAD_KEY),
    "P-224": (lambda: ec_jwk(crv="P-224"), BAD_KEY),
    "curve-not-ascii": (lambda: ec_jwk(crv="é" * 400), BAD_KEY),
    "curve-missing": (lambda: {k: v for k, v in AccountKey().jwk.items() if k != "crv"}, MALFORMED),
    "ed448": (lambda: AccountKey("EdDSA").jwk | {"crv": "Ed448"}, BAD_KEY),
    "x25519": (lambda: AccountKey("EdDSA").jwk | {"crv": "X25519"}, BAD_KEY),
    "ed25519-short": (lambda: AccountKey("EdDSA").jwk | {"x": b64(bytes(31))}, MALFORMED),
    "symmetric": (lambda: {"kty": "oct", "k": b64(secrets.token_bytes(32))}, MALFORMED),
    "private": (lambda: ec_jwk(d=b64(secrets.token_bytes(32))), MALFORMED),
    "kty-unknown": (lambda: ec_jwk(kty="ML-DSA"), BAD_KEY),
    "kty-not-ascii": (lambda: ec_jwk(kty="a" + "é" * 30), BAD_KEY),
    "kty-missing": (lambda: {k: v for k, v in AccountKey().jwk.items() if k != "kty"}, MALFORMED),
    "empty": (lambda: {}, MALFORMED),
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_a_bad_account_key_is_refused_before_anything_is_done_with_it(sandbox, shared, case):
    build, (status, problem) = BAD_KEYS[case]
    client = sandbox.client(is_registered=False)
    jwk = build()
    client.key.algorithm = {"RSA": "RS256", "OKP": "EdDSA"}.get(jwk.get("kty"), "ES256")
    nonce, url = client.take_nonce(), client.directory["newAccount"]
    header = compact({"alg": client.key.algorithm, "jwk": jwk, "nonce": nonce, "url": url})
    payload = compact({"termsOfServiceAgreed": True})
    jws = {"protected": b64(header), "payload": b64(payload), "signature": b64(bytes(64))}
    refused(client.post_raw(url, compact(jws)), status, problem)
    assert not is_spent(shared, nonce)
    client.close()


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_accounts_of_usual_sizes_register(sandbox, bits):
    client = sandbox.client(key=AccountKey("RS256", bits=bits))
    client.post(client.kid).expect(200)
    client.close()


def test_the_key_of_a_certificate_cannot_become_an_account_key(sandbox, shared):
    key, _, _ = shared.issue([sandbox.name()])
    client = sandbox.client(key=AccountKey("ES256", key), is_registered=False)
    refused(client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"]), *BAD_KEY)
    client.close()


# --- accounts (7.3) ---

def test_a_new_account_is_created_and_the_same_key_finds_it_again(sandbox):
    client = sandbox.client(is_registered=False)
    created = client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], contact=["mailto:a@shop.test"]).expect(201)
    account = created.json
    assert account["status"] == "valid" and account["contact"] == ["mailto:a@shop.test"]
    assert account["orders"].startswith(client.kid) and "externalAccountBinding" not in account
    assert created.headers.get_content_type() == "application/json"
    again = client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], contact=["mailto:b@shop.test"]).expect(200)
    assert again.headers["Location"] == created.headers["Location"]
    assert again.json["contact"] == ["mailto:a@shop.test"], "newAccount changes no account that exists"
    without = client.register().expect(200)
    assert without.headers["Location"] == client.kid
    assert client.post(client.kid).expect(200).json == account
    client.close()


def test_only_return_existing_creates_nothing(sandbox):
    client = sandbox.client(is_registered=False)
    url = client.directory["newAccount"]
    refused(client.post(url, {"onlyReturnExisting": True}, with_jwk=True), *NO_ACCOUNT)
    reply = client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], onlyReturnExisting=True)
    refused(reply, *NO_ACCOUNT)
    client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"]).expect(201)
    found = client.post(url, {"onlyReturnExisting": True}, with_jwk=True).expect(200)
    assert found.headers["Location"] == client.kid
    client.close()


GOOD_CONTACTS = [[], None, ["mailto:a@shop.test"], ["MAILTO:Big.Name+tag@Shop.Test"],
                 ["mailto:a@shop.test", "mailto:b@shop.test"], ["mailto:a%25b@shop.test"]]
BAD_CONTACTS = [
    (["tel:+123456789"], "unsupportedContact"), (["https://shop.test"], "unsupportedContact"),
    (["a@shop.test"], "unsupportedContact"), ([""], "unsupportedContact"), (["mailto"], "unsupportedContact"),
    (["mailto:a@shop.test", "tel:1"], "unsupportedContact"), (["mailto:"], "invalidContact"),
    (["mailto:nobody"], "invalidContact"), (["mailto:@shop.test"], "invalidContact"),
    (["mailto:a@"], "invalidContact"), (["mailto:a@b@shop.test"], "invalidContact"),
    (["mailto:a@shop.test,b@shop.test"], "invalidContact"), (["mailto:a@shop.test?subject=x"], "invalidContact"),
    (["mailto:a@shop.test\r\nBcc: b@shop.test"], "invalidContact"), (["mailto:a b@shop.test"], "invalidContact"),
    (["mailto:ä@shop.test"], "invalidContact"), (["mailto:a@.test"], "invalidContact"),
    (["mailto:" + "a" * 400 + "@shop.test"], "invalidContact"), ([7], "invalidContact"),
    ([["mailto:a@shop.test"]], "invalidContact"), ([None], "invalidContact"),
    (["mailto:a@shop.test"] * 11, "invalidContact"), ("mailto:a@shop.test", "malformed"),
    ({"mailto": "a@shop.test"}, "malformed"), (7, "malformed"), (True, "malformed"),
]


@pytest.mark.parametrize("contact", GOOD_CONTACTS)
def test_good_contacts_are_kept_as_they_were_sent(sandbox, contact):
    client = sandbox.client(contact=contact)
    assert client.post(client.kid).json.get("contact", []) == (contact or [])
    client.close()


@pytest.mark.parametrize("contact, problem", BAD_CONTACTS)
def test_bad_contacts_are_refused_at_creation_and_update(sandbox, shared, contact, problem):
    client = sandbox.client(is_registered=False)
    refused(client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"], contact=contact), 400, problem)
    reply = client.post(client.directory["newAccount"], {"onlyReturnExisting": True}, with_jwk=True)
    refused(reply, *NO_ACCOUNT)
    before = shared.post(shared.kid).json
    refused(shared.post(shared.kid, {"contact": contact}), 400, problem)
    assert shared.post(shared.kid).json == before
    client.close()


def test_terms_must_be_agreed_to_where_there_are_any(own_sandbox):
    client = own_sandbox.client(is_registered=False)
    assert client.directory["meta"]["termsOfService"] == TERMS
    for agreed in (False, None, "true", 1):
        reply = client.register(own_sandbox["EAB_KID"], own_sandbox["EAB_HMAC"], termsOfServiceAgreed=agreed)
        body = refused(reply, 403, "userActionRequired")
        assert TERMS in body["detail"]
        assert f'<{TERMS}>;rel="terms-of-service"' in reply.headers.get_all("Link"), "RFC 8555 7.3.3"
    created = client.register(own_sandbox["EAB_KID"], own_sandbox["EAB_HMAC"]).expect(201)
    assert created.json["termsOfServiceAgreed"] is True
    assert client.post(client.directory["newAccount"], {}, with_jwk=True).status == 200
    client.close()


def test_an_update_changes_contacts_alone_and_ignores_the_rest(sandbox):
    client = sandbox.client(contact=["mailto:a@shop.test"])
    before = client.post(client.kid).json
    changed = client.post(client.kid, {"contact": ["mailto:b@shop.test"], "orders": "https://x.test", "status": "valid",
                                       "externalAccountBinding": {}, "initialIp": "192.0.2.1"}).expect(200)
    assert changed.json == before | {"contact": ["mailto:b@shop.test"]}
    assert changed.headers["Location"] == client.kid
    assert client.post(client.kid, {}).expect(200).json == changed.json
    assert "contact" not in client.post(client.kid, {"contact": []}).expect(200).json
    client.close()


@pytest.mark.parametrize("status", ["revoked", "Deactivated", "", 7, None, ["deactivated"]])
def test_no_other_status_can_be_set(shared, status):
    reply = shared.post(shared.kid, {"status": status})
    if status is None:
        reply.expect(200, 400)
    else:
        refused(reply, *MALFORMED)
    assert shared.post(shared.kid).json["status"] == "valid"


def test_another_accounts_resources_cannot_be_read_or_changed(shared, other_account):
    missing = shared.kid[:-4] + "0000"
    for suffix in ("", "/orders"):
        reply = shared.post(other_account.kid + suffix)
        refused(reply, 403, "unauthorized")
        assert same_words(reply, shared.post(missing + suffix))
    refused(shared.post(other_account.kid, {"status": "deactivated"}), 403, "unauthorized")
    other_account.post(other_account.kid).expect(200)


def test_a_deactivated_account_can_do_nothing(sandbox):
    client = sandbox.client()
    names = [sandbox.name()]
    key, chain, order_url = client.issue(names)
    leaf = load_chain(chain)[0]
    ready = client.new_order([sandbox.name()]).expect(201)
    done = client.post(order_url).json
    account = client.post(client.kid).json
    answer = client.post(client.kid, {"status": "deactivated"}).expect(200)
    assert answer.json["status"] == "deactivated"
    inner = make_key_change(client.key, AccountKey(), client.directory["keyChange"], client.kid)
    csr = b64(make_csr(make_key("p256"), [ready.json["identifiers"][0]["value"]]))
    for url, payload in [(client.kid, None), (client.kid, {"contact": []}), (client.kid, {"status": "deactivated"}),
                         (client.kid, {"status": "valid"}), (account["orders"], None),
                         (client.directory["newOrder"], {"identifiers": [{"type": "dns", "value": names[0]}]}),
                         (ready.headers["Location"], None), (ready.json["finalize"], {"csr": csr}),
                         (ready.json["authorizations"][0], None), (done["certificate"], None),
                         (client.directory["keyChange"], inner),
                         (client.directory["revokeCert"], {"certificate": b64(der_of(leaf))})]:
        refused(client.post(url, payload), 401, "unauthorized")
    for payload in ({}, {"onlyReturnExisting": True}):
        refused(client.post(client.directory["newAccount"], payload, with_jwk=True), 401, "unauthorized")
    refused(client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"]), 401, "unauthorized")
    assert sandbox.admin.get(f"certificates/{leaf.serial_number}")["status"] == "valid"
    client.revoke(der_of(leaf), key=AccountKey("ES256", key)).expect(200)
    client.close()


# --- external account binding (7.3.4) ---

def bound(client, sandbox, **changes):
    """A newAccount whose binding is `changes` away from a good one."""
    url = client.directory["newAccount"]
    options = {"key": client.key, "url": url, "kid": sandbox["EAB_KID"], "hmac": sandbox["EAB_HMAC"]} | changes
    return client.post(url, {"termsOfServiceAgreed": True, "externalAccountBinding": make_eab(**options)},
                       with_jwk=True)


BAD_BINDINGS = {
    "wrong-hmac-key": (lambda c, s: bound(c, s, hmac=b64(secrets.token_bytes(32))), (403, "unauthorized")),
    "hmac-key-of-another-kid": (lambda c, s: bound(c, s, hmac=s["EAB_HMAC_2"]), (403, "unauthorized")),
    "unknown-kid": (lambda c, s: bound(c, s, kid="unknown"), (403, "unauthorized")),
    "very-long-kid": (lambda c, s: bound(c, s, kid="k" * 5000), (403, "unauthorized")),
    "odd-kid": (lambda c, s: bound(c, s, kid="é\n\x01 *"), (403, "unauthorized")),
    "empty-kid": (lambda c, s: bound(c, s, kid=""), (403, "unauthorized")),
    "kid-missing": (lambda c, s: bound(c, s, header={"kid": None}), MALFORMED),
    "another-accounts-key": (lambda c, s: bound(c, s, key=AccountKey()), MALFORMED),
    "url-of-another-resource": (lambda c, s: bound(c, s, url=c.directory["newOrder"]), MALFORMED),
    "url-missing": (lambda c, s: bound(c, s, header={"url": None}), MALFORMED),
    "nonce": (lambda c, s: bound(c, s, header={"nonce": "AAAA"}), MALFORMED),
    "jwk-in-the-header": (lambda c, s: bound(c, s, header={"jwk": c.key.jwk}), MALFORMED),
    "alg-none": (lambda c, s: bound(c, s, header={"alg": "none"}), MALFORMED),
    "alg-of-a-signature": (lambda c, s: bound(c, s, header={"alg": "ES256"}), MALFORMED),
    "alg-HS512": (lambda c, s: bound(c, s, header={"alg": "HS512"}, digest=hashlib.sha512), MALFORMED),
    "mac-of-another-digest": (lambda c, s: bound(c, s, digest=hashlib.sha512), (403, "unauthorized")),
}


@pytest.mark.parametrize("case", BAD_BINDINGS)
def test_a_bad_binding_is_refused_and_creates_nothing(sandbox, case):
    build, (status, problem) = BAD_BINDINGS[case]
    client = sandbox.client(is_registered=False)
    body = refused(build(client, sandbox), status, problem)
    assert "externalAccountBinding" in body["detail"] or "binding" in body["detail"]
    refused(client.post(client.directory["newAccount"], {"onlyReturnExisting": True}, with_jwk=True), *NO_ACCOUNT)
    client.close()


@pytest.mark.parametrize("binding, problem", [(None, (403, "externalAccountRequired")), ({}, MALFORMED),
                                              ("x", MALFORMED), ([], MALFORMED), (7, MALFORMED),
                                              ({"protected": "", "payload": "", "signature": ""}, MALFORMED)])
def test_a_binding_that_is_missing_or_none_is_refused(sandbox, binding, problem):
    client = sandbox.client(is_registered=False)
    payload = {"termsOfServiceAgreed": True} | ({} if binding is None else {"externalAccountBinding": binding})
    refused(client.post(client.directory["newAccount"], payload, with_jwk=True), *problem)
    client.close()


@pytest.mark.parametrize("part", ["protected", "payload", "signature"])
def test_a_binding_changed_after_it_was_made_is_refused(sandbox, part):
    client = sandbox.client(is_registered=False)
    url = client.directory["newAccount"]
    binding = make_eab(client.key, url, sandbox["EAB_KID"], sandbox["EAB_HMAC"])
    changed = unb64(binding[part])
    changed = (changed + b" ") if part != "signature" else bytes([changed[0] ^ 0x80]) + changed[1:]
    payload = {"termsOfServiceAgreed": True, "externalAccountBinding": binding | {part: b64(changed)}}
    refused(client.post(url, payload, with_jwk=True), 403, "unauthorized")
    client.close()


def test_a_binding_key_serves_many_accounts_until_it_is_revoked(sandbox):
    customer = sandbox.admin.post("customers", {"name": f"c{secrets.token_hex(4)}"})["id"]
    eab = sandbox.admin.post(f"customers/{customer}/eab-keys")
    clients = [sandbox.client(is_registered=False) for _ in range(3)]
    for client in clients[:2]:
        client.register(eab["kid"], eab["hmac"]).expect(201)
    sandbox.admin.delete(f"customers/{customer}/eab-keys/{eab['kid']}")
    refused(clients[2].register(eab["kid"], eab["hmac"]), 403, "unauthorized")
    clients[0].post(clients[0].kid).expect(200)
    for client in clients:
        client.close()


def test_an_account_gets_the_names_of_the_customer_it_is_bound_to(sandbox, shared, stranger):
    theirs, ours = sandbox.name(sandbox["ZONE_2"]), sandbox.name()
    stranger.new_order([theirs]).expect(201)
    refused(stranger.new_order([ours]), 403, "rejectedIdentifier")
    shared.new_order([ours]).expect(201)
    refused(shared.new_order([theirs]), 403, "rejectedIdentifier")


# --- key change (7.3.5) ---

def change_key(client, new_key, **changes):
    url = client.directory["keyChange"]
    options = {"old_key": client.key, "new_key": new_key, "url": url, "account": client.kid} | changes
    return client.post(url, make_key_change(**options))


@pytest.mark.parametrize("old, new", [("ES256", "RS256"), ("RS256", "EdDSA"), ("EdDSA", "ES512"), ("ES384", "ES256")])
def test_a_changed_key_takes_over_and_the_old_one_is_dead(sandbox, old, new):
    client = sandbox.client(key=AccountKey(old), contact=["mailto:a@shop.test"])
    old_key, new_key = client.key, AccountKey(new)
    order = client.new_order([sandbox.name()]).expect(201)
    change_key(client, new_key).expect(200)
    reply = client.post(client.kid)
    assert reply.status == 400 and reply.problem in ("malformed", "badSignatureAlgorithm"), reply.text
    refused(client.post(client.directory["newAccount"], {"onlyReturnExisting": True}, with_jwk=True), *NO_ACCOUNT)
    client.key = new_key
    assert client.post(client.kid).expect(200).json["contact"] == ["mailto:a@shop.test"]
    name = order.json["identifiers"][0]["value"]
    done = client.finalize(order.json, make_csr(make_key("p256"), [name])).expect(200)
    assert done.json["status"] == "valid"
    found = client.post(client.directory["newAccount"], {"onlyReturnExisting": True}, with_jwk=True).expect(200)
    assert found.headers["Location"] == client.kid
    newcomer = sandbox.client(key=old_key)
    assert newcomer.kid != client.kid, "the old key is free and finds nothing of the account"
    client.close()
    newcomer.close()


def test_a_key_that_another_account_has_is_a_conflict(sandbox, shared, other_account):
    reply = change_key(shared, other_account.key)
    assert reply.status == 409 and reply.problem is not None, reply.text
    assert reply.headers["Location"] == other_account.kid
    shared.post(shared.kid).expect(200)
    other_account.post(other_account.kid).expect(200)


def test_changing_to_the_same_key_is_a_conflict_with_the_account_itself(shared):
    reply = change_key(shared, shared.key)
    assert reply.status == 409, reply.text
    assert reply.headers["Location"] == shared.kid
    shared.post(shared.kid).expect(200)


def change_key_with_jwk(client):
    url = client.directory["keyChange"]
    return client.post(url, make_key_change(client.key, AccountKey(), url, client.kid), with_jwk=True)


def change_key_raw(client, payload):
    return client.post(client.directory["keyChange"], payload)


def inner_jws(client, new_key, payload, **header):
    return sign_jws(new_key, compact(make_header(new_key, client.directory["keyChange"], header=header)), payload)


BAD_KEY_CHANGES = {
    "inner-url-differs": (lambda c, k: change_key(c, k, inner_header={"url": c.kid}), MALFORMED),
    "inner-url-missing": (lambda c, k: change_key(c, k, inner_header={"url": None}), MALFORMED),
    "inner-nonce": (lambda c, k: change_key(c, k, inner_header={"nonce": c.take_nonce()}), MALFORMED),
    "inner-kid": (lambda c, k: change_key(c, k, inner_header={"jwk": None, "kid": c.kid}), MALFORMED),
    "inner-jwk-and-kid": (lambda c, k: change_key(c, k, inner_header={"kid": c.kid}), MALFORMED),
    "inner-jwk-missing": (lambda c, k: change_key(c, k, inner_header={"jwk": None}), MALFORMED),
    "inner-signed-by-the-old-key": (lambda c, k: change_key(c, k, signer=c.key), MALFORMED),
    "inner-jwk-of-somebody": (lambda c, k: change_key(c, k, inner_header={"jwk": AccountKey().jwk}), MALFORMED),
    "inner-alg-none": (lambda c, k: change_key(c, k, inner_header={"alg": "none"}), ALGORITHM),
    "inner-alg-HS256": (lambda c, k: change_key(c, k, inner_header={"alg": "HS256"}), ALGORITHM),
    "inner-alg-of-another-key": (lambda c, k: change_key(c, k, inner_header={"alg": "ES384"}), ALGORITHM),
    "inner-crit": (lambda c, k: change_key(c, k, inner_header={"crit": ["url"]}), MALFORMED),
    "account-of-somebody": (lambda c, k: change_key(c, k, account=c.kid[:-4] + "0000"), MALFORMED),
    "account-missing": (lambda c, k: change_key(c, k, account=None), MALFORMED),
    "old-key-of-somebody": (lambda c, k: change_key(c, k, old_key=AccountKey()), MALFORMED),
    "old-key-is-the-new-key": (lambda c, k: change_key(c, k, old_key=k), MALFORMED),
    "old-key-missing": (lambda c, k: change_key(c, k, request={"oldKey": None}), MALFORMED),
    "old-key-text": (lambda c, k: change_key(c, k, request={"oldKey": "key"}), MALFORMED),
    "inner-payload-empty": (lambda c, k: change_key_raw(c, inner_jws(c, k, b"")), MALFORMED),
    "inner-payload-array": (lambda c, k: change_key_raw(c, inner_jws(c, k, b"[]")), MALFORMED),
    "inner-extra-member": (lambda c, k: change_key_raw(
        c, make_key_change(c.key, k, c.directory["keyChange"], c.kid) | {"header": {}}), MALFORMED),
    "no-jws": (lambda c, k: change_key_raw(c, {"account": c.kid, "oldKey": c.key.jwk}), MALFORMED),
    "outer-with-jwk": (lambda c, k: change_key_with_jwk(c), MALFORMED),
    "weak-new-key": (lambda c, k: change_key(c, AccountKey("RS256", bits=1024)), BAD_KEY),
}


@pytest.mark.parametrize("case", BAD_KEY_CHANGES)
def test_a_bad_key_change_changes_nothing(shared, case):
    build, (status, problem) = BAD_KEY_CHANGES[case]
    refused(build(shared, AccountKey()), status, problem)
    shared.post(shared.kid).expect(200)


def test_a_certificates_key_cannot_become_the_account_key_by_a_change(sandbox, shared):
    key, _, _ = shared.issue([sandbox.name()])
    refused(change_key(shared, AccountKey("ES256", key)), *BAD_KEY)
    shared.post(shared.kid).expect(200)


def test_of_parallel_key_changes_one_wins(sandbox):
    client = sandbox.client()
    racers, keys = [client.twin() for _ in range(8)], [AccountKey() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda pair: change_key(*pair), zip(racers, keys)))
    winners = [key for key, reply in zip(keys, replies) if reply.status == 200]
    assert len(winners) == 1
    assert all(400 <= reply.status < 500 for reply in replies if reply.status != 200)
    client.key = winners[0]
    client.post(client.kid).expect(200)
    for racer in racers:
        racer.close()


# --- newOrder (7.4) ---

def test_a_new_order_is_ready_and_says_what_was_asked(sandbox, shared):
    base = sandbox.name()
    names = [base, f"*.{base}", sandbox.name(sandbox["ZONE_B"]), sandbox["ZONE"]]
    reply = shared.new_order(names).expect(201)
    order = reply.json
    assert order["status"] == "ready" and "certificate" not in order and "error" not in order
    assert order["identifiers"] == [{"type": "dns", "value": name} for name in names]
    assert len(set(order["authorizations"])) == len(names)
    assert not {"notBefore", "notAfter", "replaces"} & set(order), "what is not set is left out"
    assert datetime.datetime.fromisoformat(order["expires"]) > datetime.datetime.now(datetime.timezone.utc)
    read = shared.post(reply.headers["Location"]).expect(200)
    assert read.json == order and read.headers["Location"] == reply.headers["Location"]


def test_an_authorization_is_valid_with_one_valid_dns_challenge(sandbox, shared):
    base = sandbox.name()
    order = shared.new_order([base, f"*.{base}"]).expect(201).json
    for url, is_wildcard in zip(order["authorizations"], (False, True)):
        authorization = shared.post(url).expect(200).json
        assert authorization["identifier"] == {"type": "dns", "value": base}
        assert authorization["status"] == "valid" and authorization["expires"]
        assert authorization.get("wildcard") is (True if is_wildcard else None)
        challenge, = authorization["challenges"]
        assert challenge["type"] == "dns-01" and challenge["status"] == "valid" and challenge["validated"]
        assert len(unb64(challenge["token"])) >= 16
        for payload in (None, {}, {"keyAuthorization": "x"}):
            answer = shared.post(challenge["url"], payload).expect(200)
            assert answer.json == challenge
            assert f'<{url}>;rel="up"' in answer.headers.get_all("Link")


def test_a_deactivated_authorization_ends_its_order(sandbox, shared):
    name = sandbox.name()
    created = shared.new_order([name, sandbox.name()]).expect(201)
    url = created.json["authorizations"][0]
    for status in ("valid", "revoked", 7, None):
        refused(shared.post(url, {"status": status}), *MALFORMED)
    assert shared.post(url, {"status": "deactivated"}).expect(200).json["status"] == "deactivated"
    assert shared.post(url, {"status": "deactivated"}).expect(200).json["status"] == "deactivated"
    assert shared.post(url).expect(200).json["status"] == "deactivated"
    assert shared.post(created.headers["Location"]).expect(200).json["status"] == "invalid"
    refused(shared.finalize(created.json, make_csr(make_key("p256"), [name])), 403, "orderNotReady")


@pytest.mark.parametrize("index", ["2", "-1", "+0", "0x0", "99999999999999999999", "a", "1e0", "%30"])
def test_an_authorization_that_does_not_exist_is_not_found(shared, issued, index):
    for resource in ("authorization", "challenge"):
        refused(shared.post(issued[resource].rpartition("/")[0] + "/" + index), 404, "malformed")


GOOD_NAMES = {
    "upper-case": lambda zone: f"WWW.{secrets.token_hex(3)}.{zone}".upper(),
    "a-label": lambda zone: f"xn--bcher-kva.{zone}",
    "digits": lambda zone: f"123.{zone}",
    "label-of-63": lambda zone: f"{'a' * 63}.{zone}",
    "deep": lambda zone: ".".join("abcdefghijkl") + f".{zone}",
    "longest": lambda zone: ("a" * 49 + ".") * 4 + "b" * (253 - 200 - len(zone) - 1) + f".{zone}",
    "wildcard": lambda zone: f"*.{zone}",
    "wildcard-upper-case": lambda zone: f"*.Sub.{zone}",
    "hyphens-inside": lambda zone: f"a-b--c.{zone}",
}


@pytest.mark.parametrize("case", GOOD_NAMES)
def test_good_names_are_echoed_as_sent_and_certified_in_lower_case(sandbox, shared, case):
    name = GOOD_NAMES[case](sandbox["ZONE"])
    order = shared.new_order([name]).expect(201).json
    assert order["identifiers"] == [{"type": "dns", "value": name}]
    key = make_key("p256")
    done = shared.finalize(order, make_csr(key, [name])).expect(200).json
    assert done["identifiers"] == order["identifiers"]
    chain = shared.post(done["certificate"]).expect(200).text
    verify_certificate(chain, key, [name.lower()], sandbox["ISSUER_ECC"])


REJECTED, UNSUPPORTED = "rejectedIdentifier", "unsupportedIdentifier"
BAD_NAMES = [
    ("", "malformed"), (".", "malformed"), ("ZONE.", "malformed"), (".ZONE", "malformed"), ("a..ZONE", "malformed"),
    ("*", "malformed"), ("*.", "malformed"), ("*.*.ZONE", "malformed"), ("a.*.ZONE", "malformed"),
    ("*a.ZONE", "malformed"), ("a*.ZONE", "malformed"), ("**.ZONE", "malformed"), ("*ZONE", "malformed"),
    ("under_score.ZONE", "malformed"), ("-a.ZONE", "malformed"), ("a-.ZONE", "malformed"),
    ("a" * 64 + ".ZONE", "malformed"), ("a." * 122 + "ZONE", "malformed"), ("a." * 20 + "ZONE", "malformed"),
    ("bücher.ZONE", "malformed"), ("bu\u0308cher.ZONE", "malformed"), ("ａ.ZONE", "malformed"),
    ("a。ZONE", "malformed"), ("é" * 500, "malformed"), ("a" + "é" * 500, "malformed"), ("xn--.ZONE", "malformed"),
    ("xn--a.ZONE", "malformed"), ("xn--99999999.ZONE", "malformed"), ("xn--abc-.ZONE", "malformed"),
    ("xn--zca.xn--bcher-kva1.ZONE", "malformed"), ("ab--cd.ZONE", "malformed"), ("a b.ZONE", "malformed"),
    (" a.ZONE", "malformed"), ("a.ZONE\n", "malformed"), ("a\t.ZONE", "malformed"), ("a/b.ZONE", "malformed"),
    ("%61.ZONE", "malformed"), ("a\\046b.ZONE", "malformed"), ("a,b.ZONE", "malformed"), ("a;.ZONE", "malformed"),
    ("https://a.ZONE", "malformed"), ("a.ZONE:443", "malformed"), ("u@a.ZONE", "malformed"), ("a\"b.ZONE", "malformed"),
    ("192.0.2.1", "malformed"), ("*.192.0.2.1", "malformed"), ("192.0.2.1.", "malformed"), ("3221225985", "malformed"),
    ("0xc0000201", "malformed"), ("192.0.513", "malformed"), ("a.0x1", "malformed"), ("2001:db8::1", "malformed"),
    ("[2001:db8::1]", "malformed"), ("::ffff:192.0.2.1", "malformed"), ("localhost", "malformed"),
    ("shop", "malformed"), ("com", "malformed"), ("*.com", REJECTED), ("co.uk", REJECTED), ("*.co.uk", REJECTED),
    ("*.test", REJECTED), ("CO.UK", REJECTED), ("printer.local", REJECTED), ("a.localhost", REJECTED),
    ("abcdefghijklmnop.onion", REJECTED), ("1.2.0.192.in-addr.arpa", REJECTED), ("a.example", REJECTED),
    ("a.invalid", REJECTED), ("a.internal", REJECTED),
]


@pytest.mark.parametrize("name, problem", BAD_NAMES)
def test_a_bad_name_is_refused_and_the_reason_names_it(sandbox, shared, name, problem):
    value = name.replace("ZONE", sandbox["ZONE"])
    body = refused(shared.new_order([value]), 400, problem)
    sub, = body["subproblems"]
    assert sub["identifier"] == {"type": "dns", "value": value}
    assert sub["type"] == body["type"] and sub["detail"]


def test_several_bad_names_are_each_named_in_subproblems(sandbox, shared):
    good = sandbox.name()
    bad = {f"a_b.{sandbox['ZONE']}": "malformed", "*.co.uk": REJECTED, "": "malformed", "192.0.2.7": "malformed"}
    body = refused(shared.new_order([good, *bad]), 400, "malformed")
    found = {sub["identifier"]["value"]: sub["type"].rpartition(":")[2] for sub in body["subproblems"]}
    assert found == bad
    assert all(sub["detail"] for sub in body["subproblems"])


def test_names_on_no_zone_of_the_customer_are_each_named_in_subproblems(sandbox, shared):
    good, foreign = sandbox.name(), [f"www.{sandbox['ZONE_2']}", "www.nobody-has-this.test"]
    body = refused(shared.new_order([good, *foreign]), 403, REJECTED)
    assert [sub["identifier"]["value"] for sub in body["subproblems"]] == foreign


IDENTIFIERS = [
    ("missing", None, "malformed"), ("empty", [], "malformed"),
    ("object", {"type": "dns", "value": "a.ZONE"}, "malformed"),
    ("text", "a.ZONE", "malformed"), ("list-of-texts", ["a.ZONE"], "malformed"), ("list-of-numbers", [1], "malformed"),
    ("null-inside", [None], "malformed"), ("empty-object", [{}], "malformed"),
    ("value-missing", [{"type": "dns"}], "malformed"), ("type-missing", [{"value": "a.ZONE"}], "malformed"),
    ("value-number", [{"type": "dns", "value": 7}], "malformed"),
    ("value-list", [{"type": "dns", "value": ["a.ZONE"]}], "malformed"),
    ("type-number", [{"type": 1, "value": "a.ZONE"}], "malformed"),
    ("ip", [{"type": "ip", "value": "192.0.2.1"}], UNSUPPORTED),
    ("ipv6", [{"type": "ip", "value": "2001:db8::1"}], UNSUPPORTED),
    ("email", [{"type": "email", "value": "a@shop.test"}], UNSUPPORTED),
    ("type-upper-case", [{"type": "DNS", "value": "a.ZONE"}], UNSUPPORTED),
    ("type-empty", [{"type": "", "value": "a.ZONE"}], UNSUPPORTED),
    ("type-not-ascii", [{"type": "a" + "é" * 60, "value": "a.ZONE"}], UNSUPPORTED),
    ("type-with-control-characters", [{"type": "a\n\x1b[31m", "value": "a.ZONE"}], UNSUPPORTED),
    ("twice", [{"type": "dns", "value": "a.ZONE"}, {"type": "dns", "value": "a.ZONE"}], "malformed"),
    ("twice-in-another-case", [{"type": "dns", "value": "a.ZONE"}, {"type": "dns", "value": "A.ZONE"}], "malformed"),
]


@pytest.mark.parametrize("identifiers, problem", [pytest.param(*case[1:], id=case[0]) for case in IDENTIFIERS])
def test_bad_identifiers_are_refused(sandbox, shared, identifiers, problem):
    payload = {} if identifiers is None else json.loads(json.dumps({"identifiers": identifiers}).replace(
        "ZONE", sandbox["ZONE"]))
    body = refused(shared.post(shared.directory["newOrder"], payload), 400, problem)
    if problem == UNSUPPORTED:
        assert [sub["identifier"] for sub in body["subproblems"]] == payload["identifiers"]


def test_a_hundred_names_are_one_order_and_one_more_are_too_many(sandbox, shared):
    names = [f"h{number}.{sandbox.name()}" for number in range(101)]
    refused(shared.new_order(names), *MALFORMED)
    key, chain, _ = shared.issue(names[:100])
    verify_certificate(chain, key, names[:100], sandbox["ISSUER_ECC"])


def test_refused_orders_leave_nothing_for_the_account(sandbox):
    client = sandbox.client()
    for name in (f"a_b.{sandbox['ZONE']}", "www.nobody-has-this.test", "co.uk"):
        assert client.new_order([name]).status in (400, 403)
    assert client.post(client.post(client.kid).json["orders"]).expect(200).json == {"orders": []}
    client.close()


# --- times and profiles ---

def utc(seconds_from_now=0, days=0):
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return now + datetime.timedelta(days=days, seconds=seconds_from_now)


def rfc3339(when):
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def naive(when):
    return when.astimezone(datetime.timezone.utc).replace(tzinfo=None)


DAY = 86400
GOOD_TIMES = [(None, 3 * DAY), (None, 3700), (3600, 3 * DAY), (5 * DAY, None), (-3600, None), (-3600, 2 * DAY),
              (0, 400 * DAY), (None, 5475 * DAY - 30)]


@pytest.mark.parametrize("start, end", GOOD_TIMES)
def test_the_asked_validity_is_what_the_certificate_has(sandbox, shared, start, end):
    name, fields = sandbox.name(), {}
    if start is not None:
        fields["notBefore"] = rfc3339(utc(start))
    if end is not None:
        fields["notAfter"] = rfc3339(utc(end))
    reply = shared.new_order([name], **fields)
    assert reply.status == 201, reply.text
    assert {key: reply.json.get(key) for key in fields} == fields
    done = shared.finalize(reply.json, make_csr(make_key("p256"), [name])).expect(200).json
    leaf = load_chain(shared.post(done["certificate"]).expect(200).text)[0]
    if start is not None:
        assert rfc3339(leaf.not_valid_before) == fields["notBefore"]
    if end is not None:
        assert rfc3339(leaf.not_valid_after) == fields["notAfter"]
    else:
        assert leaf.not_valid_after - leaf.not_valid_before == datetime.timedelta(days=90)
    assert leaf.not_valid_after - leaf.not_valid_before <= datetime.timedelta(days=5475)


def test_times_with_an_offset_and_fractions_are_understood(sandbox, shared):
    name, end = sandbox.name(), utc(days=10)
    text = (end + datetime.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.250+02:00")
    order = shared.new_order([name], notAfter=text).expect(201).json
    done = shared.finalize(order, make_csr(make_key("p256"), [name])).expect(200).json
    leaf = load_chain(shared.post(done["certificate"]).expect(200).text)[0]
    assert leaf.not_valid_after == naive(end)


BAD_TIMES = {
    "end-in-the-past": lambda: {"notAfter": rfc3339(utc(-DAY))},
    "end-too-soon": lambda: {"notAfter": rfc3339(utc(60))},
    "end-too-late": lambda: {"notAfter": rfc3339(utc(5476 * DAY))},
    "end-in-the-year-9999": lambda: {"notAfter": "9999-12-31T23:59:59Z"},
    "end-before-start": lambda: {"notBefore": rfc3339(utc(DAY)), "notAfter": rfc3339(utc(3600))},
    "end-is-start": lambda: {"notBefore": rfc3339(utc(DAY)), "notAfter": rfc3339(utc(DAY))},
    "start-too-early": lambda: {"notBefore": rfc3339(utc(-2 * DAY))},
    "start-in-1970": lambda: {"notBefore": "1970-01-01T00:00:00Z"},
    "end-in-1970": lambda: {"notAfter": "1970-01-01T00:00:00Z"},
    "start-before-1970": lambda: {"notBefore": "1960-01-01T00:00:00Z"},
    "start-too-late": lambda: {"notBefore": rfc3339(utc(6000 * DAY))},
    "start-empty": lambda: {"notBefore": ""},
    "start-number": lambda: {"notBefore": int(time.time())},
    "start-date-alone": lambda: {"notBefore": utc(DAY).strftime("%Y-%m-%d")},
    "start-without-zone": lambda: {"notBefore": utc(DAY).strftime("%Y-%m-%dT%H:%M:%S")},
    "start-with-a-blank": lambda: {"notBefore": rfc3339(utc(DAY)).replace("T", " ")},
    "start-with-text-behind": lambda: {"notBefore": rfc3339(utc(DAY)) + "Z"},
    "no-such-day": lambda: {"notAfter": f"{utc(days=400).year}-02-31T00:00:00Z"},
    "no-such-month": lambda: {"notAfter": f"{utc(days=400).year}-13-01T00:00:00Z"},
    "no-such-hour": lambda: {"notAfter": f"{utc(days=400).year}-01-01T25:00:00Z"},
    "http-date": lambda: {"notAfter": "Sun, 06 Nov 2044 08:49:37 GMT"},
}


@pytest.mark.parametrize("case", BAD_TIMES)
def test_bad_times_are_refused(sandbox, shared, case):
    refused(shared.new_order([sandbox.name()], **BAD_TIMES[case]()), *MALFORMED)


def test_an_order_that_would_outlive_the_issuer_is_refused_before_its_finalize(sandbox, shared):
    issuer = x509.load_pem_x509_certificate(Path(sandbox["ISSUER_ECC"]).read_bytes())
    start, end = utc(days=5400), utc(days=10800)
    assert naive(end) > issuer.not_valid_after, "the sandbox's issuer lives longer than this test knows"
    refused(shared.new_order([sandbox.name()], notBefore=rfc3339(start), notAfter=rfc3339(end)), *MALFORMED)


EXTENSIONS = {
    "origin": {"subjectAltName", "extendedKeyUsage", "authorityKeyIdentifier", "cRLDistributionPoints"},
    "compact": {"subjectAltName", "extendedKeyUsage", "authorityKeyIdentifier"},
    "classic": {"subjectAltName", "extendedKeyUsage", "authorityKeyIdentifier", "cRLDistributionPoints", "keyUsage",
                "basicConstraints", "subjectKeyIdentifier", "authorityInfoAccess"},
}


@pytest.mark.parametrize("profile", [None, *EXTENSIONS])
def test_the_chosen_profile_is_what_the_certificate_has(sandbox, shared, profile):
    names = [sandbox.name()]
    fields = {} if profile is None else {"profile": profile}
    order = shared.new_order(names, **fields).expect(201).json
    assert order["profile"] == (profile or "origin")
    key = make_key("p256")
    done = shared.finalize(order, make_csr(key, names)).expect(200).json
    leaf = verify_certificate(shared.post(done["certificate"]).text, key, names, sandbox["ISSUER_ECC"])
    assert {extension.oid._name for extension in leaf.extensions} == EXTENSIONS[profile or "origin"]
    assert bool(leaf.subject.rdns) == (profile == "classic")
    usage = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usage == ({ExtendedKeyUsageOID.SERVER_AUTH} if profile == "compact" else both)


@pytest.mark.parametrize("profile, problem", [("nothing", "invalidProfile"), ("", "invalidProfile"),
                                              ("Origin", "invalidProfile"), (7, "malformed"),
                                              pytest.param("a" + "é" * 90, "invalidProfile", id="not-ascii"),
                                              pytest.param("o" * 5000, "invalidProfile", id="long"),
                                              (["origin"], "malformed"), ({}, "malformed")])
def test_an_unknown_profile_is_refused(sandbox, shared, profile, problem):
    refused(shared.new_order([sandbox.name()], profile=profile), 400, problem)


# --- the list of orders (7.1.2.1) ---

def next_of(reply):
    links = [link for link in reply.headers.get_all("Link", []) if 'rel="next"' in link]
    assert len(links) <= 1
    return re.match(r"<([^>]+)>;", links[0]).group(1) if links else None


def pages_of(client, url):
    while url:
        reply = client.post(url).expect(200)
        yield reply.json["orders"]
        url = next_of(reply)


@pytest.mark.parametrize("count", [0, PAGE, 3 * PAGE + 2])
def test_the_orders_of_an_account_come_in_pages_newest_first(own_sandbox, count):
    client = own_sandbox.client()
    made = [client.new_order([own_sandbox.name()]).expect(201).headers["Location"] for _ in range(count)]
    pages = list(pages_of(client, client.post(client.kid).json["orders"]))
    assert [url for page in pages for url in page] == made[::-1]
    assert all(len(page) <= PAGE for page in pages)
    assert len(pages) == max(1, -(-count // PAGE))
    client.close()


def test_a_list_of_orders_stays_whole_while_new_ones_come(own_sandbox):
    client = own_sandbox.client()
    made = [client.new_order([own_sandbox.name()]).expect(201).headers["Location"] for _ in range(2 * PAGE)]
    seen = []
    for page in pages_of(client, client.post(client.kid).json["orders"]):
        seen += page
        client.new_order([own_sandbox.name()]).expect(201)
    assert seen == made[::-1]
    client.close()


def test_invalid_orders_are_not_listed(own_sandbox):
    client = own_sandbox.client()
    created = [client.new_order([own_sandbox.name()]).expect(201) for _ in range(3)]
    client.post(created[1].json["authorizations"][0], {"status": "deactivated"}).expect(200)
    listed = client.post(client.post(client.kid).json["orders"]).expect(200).json["orders"]
    assert listed == [created[2].headers["Location"], created[0].headers["Location"]]
    client.close()


@pytest.mark.parametrize("query", ["cursor=", "cursor=x", "cursor=0,x", "cursor=-1,x", "cursor=1e9,x", "x=y",
                                   "cursor=" + "9" * 400 + ",x", "cursor=9999999999999999,%00", "cursor=%ff", "cursor"])
def test_a_cursor_that_was_not_given_out_breaks_nothing(shared, issued, query):
    reply = shared.post(f"{issued['orders']}?{query}")
    assert reply.status in (200, 400), reply.text
    if reply.status == 400:
        refused(reply, *MALFORMED)


# --- other accounts ---

@pytest.mark.parametrize("resource", ["order", "finalize", "authorization", "challenge", "certificate"])
@pytest.mark.parametrize("who", ["stranger", "other_account"])
def test_what_is_another_accounts_looks_as_if_it_did_not_exist(request, issued, resource, who):
    client = request.getfixturevalue(who)
    url = issued[resource]
    identifier = re.search(r"/(?:order|finalize|authz|chall|cert)/([^/]+)", url).group(1)
    absent = url.replace(identifier, secrets.token_hex(len(identifier) // 2)[:len(identifier)])
    payload = {"csr": b64(make_csr(make_key("p256"), issued["names"]))} if resource == "finalize" else None
    reply = client.post(url, payload)
    refused(reply, 404, "malformed")
    assert same_words(reply, client.post(absent, payload))
    if resource in ("authorization", "challenge"):
        reply = client.post(url, {"status": "deactivated"} if resource == "authorization" else {})
        refused(reply, 404, "malformed")


@pytest.mark.parametrize("resource", ["order", "finalize", "authorization", "certificate"])
@pytest.mark.parametrize("identifier", ["x", "..%20", "*", "a" * 3000, "%C3%A9", "'"])
def test_odd_ids_are_not_found(shared, issued, resource, identifier):
    was = re.search(r"/(?:order|finalize|authz|cert)/([^/]+)", issued[resource]).group(1)
    payload = {"csr": "AAAA"} if resource == "finalize" else None
    refused(shared.post(issued[resource].replace(was, identifier), payload), 404, "malformed")


# --- finalize and certification requests (7.4) ---

@pytest.fixture(scope="module")
def ready(sandbox, shared):
    """A ready order of two names that nobody finalizes, and its URL."""
    names = [sandbox.name(), sandbox.name()]
    created = shared.new_order(names).expect(201)
    return {"order": created.json, "url": created.headers["Location"], "names": names}


def der(tag, *parts):
    content = b"".join(parts)
    length = len(content)
    if length < 128:
        head = bytes([length])
    else:
        octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
        head = bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + head + content


OID_EXTENSION_REQUEST = bytes.fromhex("06092a864886f70d01090e")
OID_SUBJECT_ALT_NAME = bytes.fromhex("0603551d11")
OID_COMMON_NAME = bytes.fromhex("0603550403")
ECDSA_SHA256 = der(0x30, bytes.fromhex("06082a8648ce3d040302"))
RSA_SHA256 = der(0x30, bytes.fromhex("06092a864886f70d01010b0500"))


def general_dns(name):
    return der(0x82, name if isinstance(name, bytes) else name.encode())


def extension(oid, content, is_critical=False):
    return der(0x30, oid, b"\x01\x01\xff" if is_critical else b"", der(0x04, content))


def names_extension(names):
    return extension(OID_SUBJECT_ALT_NAME, der(0x30, *map(general_dns, names)))


def attribute(*extensions):
    return der(0x30, OID_EXTENSION_REQUEST, der(0x31, der(0x30, *extensions)))


def common_names(*names, tag=0x0C):
    return der(0x30, *(der(0x31, der(0x30, OID_COMMON_NAME, der(tag, name))) for name in names))


def rsa_spki(n, e=65537):
    def integer(value):
        return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))
    algorithm = der(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    return der(0x30, algorithm, der(0x03, b"\0", der(0x30, integer(n), integer(e))))


def raw_csr(attributes, subject=der(0x30), key=None, public=None, algorithm=None, version=b"\0", behind=b""):
    """A request built by hand, correctly signed where `key` is given, with a signature of zeros where `public` is."""
    key = key or (None if public else make_key("p256"))
    info = der(0x30, der(0x02, version), subject, public or spki(key.public_key()), der(0xA0, *attributes), behind)
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    signature = bytes(256) if key is None else (
        AccountKey("RS256", key).sign(info) if is_rsa else key.sign(info, ec.ECDSA(hashes.SHA256())))
    algorithm = algorithm or (RSA_SHA256 if is_rsa or key is None else ECDSA_SHA256)
    return der(0x30, info, algorithm, der(0x03, b"\0", signature))


def csr_of_public_key(names, public, algorithm=RSA_SHA256):
    return raw_csr([attribute(names_extension(names))], public=public, algorithm=algorithm)


def patched(names, change):
    """A good P-256 request whose key's 65-byte point is changed, signed as it is then."""
    key = make_key("p256")
    public = spki(key.public_key())
    return raw_csr([attribute(names_extension(names))], key=key, public=public[:-65] + change(public[-65:]))


def off_curve(point):
    return point[:-1] + bytes([point[-1] ^ 1])


def compressed(names):
    key = make_key("p256")
    algorithm = der(0x30, bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107"))
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    return raw_csr([attribute(names_extension(names))], key=key, public=der(0x30, algorithm, der(0x03, b"\0", point)))


def last_byte_flipped(request):
    return request[:-1] + bytes([request[-1] ^ 1])


def signed_by_somebody_else(names):
    """The key of the request is another one than that which signed it."""
    key, other = make_key("p256"), make_key("p256")
    return make_csr(key, names).replace(spki(key.public_key()), spki(other.public_key()))


def other_name():
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a")


# name: (the request's DER from the order's names, a word of the reason)
BAD_CSRS = {
    "a-name-missing": (lambda n: make_csr(make_key("p256"), n[:1]), "missing"),
    "a-name-more": (lambda n: make_csr(make_key("p256"), [*n, "more." + n[0]]), "not in the order"),
    "another-name": (lambda n: make_csr(make_key("p256"), [n[0], "x" + n[1]]), "missing|not in the order"),
    "no-names": (lambda n: make_csr(make_key("p256"), []), "missing"),
    "a-wildcard-more": (lambda n: make_csr(make_key("p256"), [*n, "*." + n[0]]), "not in the order"),
    "a-wildcard-instead": (lambda n: make_csr(make_key("p256"), [n[0], "*." + n[1].partition(".")[2]]), "missing"),
    "common-name-alone": (lambda n: make_csr(make_key("p256"), [], n[0]), "missing"),
    "common-name-not-among-the-names": (lambda n: make_csr(make_key("p256"), n, "cn." + n[0]), "common name"),
    "two-common-names": (lambda n: raw_csr([attribute(names_extension(n))],
                                           common_names(n[0].encode(), n[1].encode())), "several common names"),
    "common-name-with-nul": (lambda n: raw_csr([attribute(names_extension(n))],
                                               common_names(n[0].encode() + b"\0.evil.test")), "NUL"),
    "common-name-in-utf-16": (lambda n: raw_csr([attribute(names_extension(n))], common_names(
        n[0].encode("utf-16-be"), tag=0x1E)), "NUL"),
    "ip-address": (lambda n: make_csr(make_key("p256"), n, others=[x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]),
                   "IP address"),
    "e-mail": (lambda n: make_csr(make_key("p256"), n, others=[x509.RFC822Name("a@shop.test")]), "e-mail"),
    "uri": (lambda n: make_csr(make_key("p256"), n, others=[x509.UniformResourceIdentifier("https://a.test")]), "URI"),
    "other-name": (lambda n: make_csr(make_key("p256"), n, others=[other_name()]), "otherName"),
    "directory-name": (lambda n: make_csr(make_key("p256"), n, others=[x509.DirectoryName(x509.Name([]))]),
                       "directory"),
    "registered-id": (lambda n: make_csr(make_key("p256"), n, others=[
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4"))]), "registered"),
    "name-with-nul": (lambda n: raw_csr([attribute(names_extension([*n, n[0].encode() + b"\0.evil.test"]))]), "NUL"),
    "name-with-a-final-dot": (lambda n: raw_csr([attribute(names_extension([n[0], n[1] + "."]))]), "empty label"),
    "name-not-ascii": (lambda n: raw_csr([attribute(names_extension([*n, "bücher." + n[0]]))]), "ASCII"),
    "name-no-utf8": (lambda n: raw_csr([attribute(names_extension([*n, b"\xff\xfe" * 30]))]), "ASCII"),
    "name-empty": (lambda n: raw_csr([attribute(names_extension([*n, ""]))]), "empty"),
    "name-of-300-bytes": (lambda n: raw_csr([attribute(names_extension([*n, "a" * 300]))]), "253"),
    "address-as-a-name": (lambda n: raw_csr([attribute(names_extension([*n, "192.0.2.1"]))]), "IP address"),
    "no-names-in-the-extension": (lambda n: raw_csr([attribute(names_extension([]))]), "DER"),
    "names-twice": (lambda n: raw_csr([attribute(names_extension(n[:1]), names_extension(n[1:]))]), "twice"),
    "names-in-two-attributes": (lambda n: raw_csr([attribute(names_extension(n)), attribute(names_extension(n))]),
                                "twice"),
    "ca": (lambda n: make_csr(make_key("p256"), n, extensions=[(x509.BasicConstraints(True, None), True)]), "CA"),
    "ca-not-critical": (lambda n: make_csr(make_key("p256"), n, extensions=[(x509.BasicConstraints(True, 0), False)]),
                        "CA"),
    "critical-extension-unknown": (lambda n: make_csr(make_key("p256"), n, extensions=[
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\5\0"), True)]), "critical"),
    "rsa-1024": (lambda n: make_csr(make_key("rsa1024"), n), "1024 bits"),
    "rsa-2047": (lambda n: csr_of_public_key(n, rsa_spki(modulus_with_a_small_factor(757, 2047))), "2047 bits"),
    "rsa-16384": (lambda n: csr_of_public_key(n, rsa_spki(modulus_with_a_small_factor(757, 16384))), "8192 bits"),
    "rsa-e-3": (lambda n: make_csr(rsa.generate_private_key(3, 2048), n), "exponent"),
    "rsa-e-1": (lambda n: csr_of_public_key(n, rsa_spki(good_modulus(), 1)), "exponent"),
    "rsa-even": (lambda n: csr_of_public_key(n, rsa_spki(good_modulus() + 1)), "even"),
    "rsa-small-factor": (lambda n: csr_of_public_key(n, rsa_spki(modulus_with_a_small_factor())), "factor"),
    "rsa-square": (lambda n: csr_of_public_key(n, rsa_spki(random_prime(1024) ** 2)), "power"),
    "rsa-close-primes": (lambda n: csr_of_public_key(n, rsa_spki(modulus_of_close_primes())), "close"),
    "rsa-roca": (lambda n: csr_of_public_key(n, rsa_spki(modulus_with_roca_fingerprint())), "ROCA"),
    "secp256k1": (lambda n: make_csr(ec.generate_private_key(ec.SECP256K1()), n), "curve|kind|parsed"),
    "P-224": (lambda n: make_csr(ec.generate_private_key(ec.SECP224R1()), n), "curve|kind"),
    "brainpool": (lambda n: make_csr(ec.generate_private_key(ec.BrainpoolP256R1()), n), "curve|kind|parsed"),
    "ed25519": (lambda n: make_csr(ed25519.Ed25519PrivateKey.generate(), n, digest=None), "not supported"),
    "dsa": (lambda n: make_csr(dsa.generate_private_key(2048), n), "not supported"),
    "point-off-the-curve": (lambda n: patched(n, off_curve), "curve|kind|parsed"),
    "point-zero": (lambda n: patched(n, lambda point: b"\4" + bytes(64)), "curve|kind|parsed"),
    "point-short": (lambda n: patched(n, lambda point: point[:-1]), "curve|kind|parsed|DER"),
    "point-hybrid": (lambda n: patched(n, lambda point: bytes([6 | point[-1] & 1]) + point[1:]), "curve|kind|parsed"),
    "point-compressed": (compressed, "curve|kind|parsed"),
    "signed-with-sha1": (lambda n: make_csr(make_key("rsa2048"), n, digest=hashes.SHA1), "algorithm"),
    "signed-with-md5": (lambda n: make_csr(make_key("rsa2048"), n, digest=hashes.MD5), "algorithm"),
    "ecdsa-with-sha1": (lambda n: make_csr(make_key("p256"), n, digest=hashes.SHA1), "algorithm"),
    "signature-broken": (lambda n: last_byte_flipped(make_csr(make_key("p256"), n)), "signature"),
    "signature-broken-rsa": (lambda n: last_byte_flipped(make_csr(make_key("rsa2048"), n)), "signature"),
    "signature-of-another-key": (signed_by_somebody_else, "signature"),
    "signature-algorithm-of-another-kind": (lambda n: raw_csr([attribute(names_extension(n))], algorithm=RSA_SHA256),
                                            "signature|algorithm"),
    "signature-algorithm-unknown": (lambda n: raw_csr([attribute(names_extension(n))], algorithm=der(
        0x30, bytes.fromhex("06032a0304"))), "algorithm"),
    "version-2": (lambda n: raw_csr([attribute(names_extension(n))], version=b"\1"), "version"),
    "something-behind-the-attributes": (lambda n: raw_csr([attribute(names_extension(n))], behind=b"\5\0"), "DER"),
    "empty": (lambda n: b"", "DER"),
    "random": (lambda n: secrets.token_bytes(500), "DER"),
    "cut": (lambda n: make_csr(make_key("p256"), n)[:-1], "DER"),
    "with-bytes-behind": (lambda n: make_csr(make_key("p256"), n) + b"\0", "behind"),
    "twice": (lambda n: make_csr(make_key("p256"), n) * 2, "behind"),
    "indefinite-length": (lambda n: b"\x30\x80" + make_csr(make_key("p256"), n)[4:] + b"\0\0", "DER"),
    "a-certificate": (lambda n: None, "DER"),
    "pem": (lambda n: x509.load_der_x509_csr(make_csr(make_key("p256"), n)).public_bytes(serialization.Encoding.PEM),
            "DER"),
}


@pytest.mark.filterwarnings("ignore:.*signatures are deprecated")
@pytest.mark.parametrize("case", BAD_CSRS)
def test_a_bad_csr_is_refused_with_its_reason_and_the_order_stays_ready(shared, issued, ready, case):
    build, words = BAD_CSRS[case]
    request = build(ready["names"])
    reply = shared.finalize(ready["order"], der_of(issued["leaf"]) if request is None else request)
    body = refused(reply, 400, "badCSR")
    assert re.search(words, body["detail"]), body["detail"]
    assert shared.post(ready["url"]).expect(200).json["status"] == "ready"


@pytest.mark.parametrize("csr, problem", [("", "badCSR"), ("AAAA=", "badCSR"), ("A", "badCSR"), ("A+/=", "badCSR"),
                                          ("AB", "badCSR"), ("-----BEGIN CERTIFICATE REQUEST-----", "badCSR"),
                                          (None, "malformed"), (7, "malformed"), (["AAAA"], "malformed")])
def test_a_csr_that_is_no_base64url_is_refused(shared, ready, csr, problem):
    refused(shared.post(ready["order"]["finalize"], {"csr": csr}), 400, problem)
    refused(shared.post(ready["order"]["finalize"], {}), *MALFORMED)


def test_a_csr_with_padding_is_refused(shared, ready):
    request = make_csr(make_key("p256"), ready["names"])
    request = next(r for r in (make_csr(make_key("p256"), ready["names"]) for _ in range(50)) if len(r) % 3)
    text = b64(request) + "=" * (-len(b64(request)) % 4)
    refused(shared.post(ready["order"]["finalize"], {"csr": text}), 400, "badCSR")


GOOD_CSRS = {
    "common-name-among-the-names": lambda n: {"common_name": n[0]},
    "common-name-in-upper-case": lambda n: {"common_name": n[0].upper()},
    "company-as-common-name": lambda n: {"common_name": "Shop & Sons Ltd."},
    "names-in-another-order": lambda n: {"names": n[::-1]},
    "a-name-twice": lambda n: {"names": [*n, n[0]]},
    "names-in-upper-case": lambda n: {"names": [name.upper() for name in n]},
    "organisation": lambda n: {"subject": [(NameOID.ORGANIZATION_NAME, "Evil Corp"), (NameOID.COUNTRY_NAME, "DE")]},
    "key-usage": lambda n: {"extensions": [
        (x509.KeyUsage(True, True, True, True, True, True, True, False, False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), True)]},
    "must-staple": lambda n: {"extensions": [(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)]},
    "not-a-ca": lambda n: {"extensions": [(x509.BasicConstraints(False, None), True)]},
    "unknown-extension": lambda n: {"extensions": [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\5\0"), False)]},
    "sha384": lambda n: {"digest": hashes.SHA384},
    "sha512": lambda n: {"digest": hashes.SHA512},
}


@pytest.mark.parametrize("case", GOOD_CSRS)
def test_nothing_of_a_csr_but_its_key_reaches_the_certificate(sandbox, shared, case):
    names = [sandbox.name(), sandbox.name()]
    key, options = make_key("p256"), GOOD_CSRS[case](names)
    order = shared.new_order(names).expect(201).json
    done = shared.finalize(order, make_csr(key, **({"names": names} | options))).expect(200).json
    leaf = verify_certificate(shared.post(done["certificate"]).text, key, names, sandbox["ISSUER_ECC"])
    assert not leaf.subject.rdns
    assert {each.oid._name for each in leaf.extensions} == EXTENSIONS["origin"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.CODE_SIGNING not in usage


def test_a_common_name_without_subjectaltname_is_the_name(sandbox, shared):
    name, key = sandbox.name(), make_key("p256")
    order = shared.new_order([name]).expect(201).json
    done = shared.finalize(order, make_csr(key, [], name)).expect(200).json
    verify_certificate(shared.post(done["certificate"]).text, key, [name], sandbox["ISSUER_ECC"])


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "rsa4096", "p256", "p384", "p521"])
def test_each_usual_kind_of_key_is_certified(sandbox, shared, kind):
    names = [sandbox.name()]
    key, chain, _ = shared.issue(names, kind)
    verify_certificate(chain, key, names, sandbox["ISSUER_ECC"])


@pytest.mark.parametrize("whose", ["own", "other_account", "stranger"])
def test_an_account_key_is_no_certificate_key(request, shared, ready, whose):
    client = shared if whose == "own" else request.getfixturevalue(whose)
    reply = shared.finalize(ready["order"], make_csr(client.key.private, ready["names"]))
    refused(reply, 400, "badCSR")
    assert shared.post(ready["url"]).json["status"] == "ready"


def test_a_key_revoked_as_compromised_gets_no_certificate_and_no_account(sandbox, shared, ready):
    key, chain, _ = shared.issue([sandbox.name()])
    shared.revoke(der_of(load_chain(chain)[0]), 1, AccountKey("ES256", key)).expect(200)
    refused(shared.finalize(ready["order"], make_csr(key, ready["names"])), 400, "badCSR")
    client = sandbox.client(key=AccountKey("ES256", key), is_registered=False)
    refused(client.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"]), *BAD_KEY)
    refused(change_key(shared, AccountKey("ES256", key)), *BAD_KEY)
    client.close()


def test_a_certificates_key_may_be_used_again(sandbox, shared):
    names, (key, _, _) = [sandbox.name()], shared.issue([sandbox.name()])
    order = shared.new_order(names).expect(201).json
    done = shared.finalize(order, make_csr(key, names)).expect(200).json
    verify_certificate(shared.post(done["certificate"]).text, key, names, sandbox["ISSUER_ECC"])


def test_a_second_finalize_gets_the_certificate_with_the_same_csr_and_a_refusal_with_another(sandbox, shared):
    names = [sandbox.name()]
    created = shared.new_order(names).expect(201)
    csr = make_csr(make_key("p256"), names)
    first = shared.finalize(created.json, csr).expect(200)
    assert first.json["status"] == "valid" and first.headers["Location"] == created.headers["Location"]
    again = shared.finalize(created.json, csr).expect(200)
    assert again.json == first.json
    reply = shared.finalize(created.json, make_csr(make_key("p256"), names))
    refused(reply, 403, "orderNotReady")
    assert reply.headers["Location"] == created.headers["Location"]
    assert shared.post(created.headers["Location"]).json == first.json


# --- what a large request costs (threats R22) ---

def processor_ticks(pids):
    """User and system time of the processes, in clock ticks."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks


def many(make, size=32000):
    """make(0), make(1) ... until that many bytes are there."""
    pieces, length = [], 0
    while length < size:
        pieces.append(make(len(pieces)))
        length += len(pieces[-1])
    return pieces[:-1]


def rdn(number):
    return der(0x31, der(0x30, bytes.fromhex("060355040b"), der(0x0C, b"unit%d" % number)))


def unknown_extension(number, content=b"\5\0"):
    return extension(der(0x06, b"\x2a\x03", bytes([0x81 + number // 128, number % 128])), content)


def nested(depth):
    content = b"\5\0"
    for _ in range(depth):
        content = der(0x30, content)
    return content


TOO_LARGE, BAD_CSR = (413, "malformed"), (400, "badCSR")
# name: (the request's DER from the order's names, its problem or None where it is odd but good)
EXPENSIVE = {
    "50-kB": (lambda n: raw_csr([attribute(names_extension(n))], der(0x30, *many(rdn, 50000))), TOO_LARGE),
    "33-kB": (lambda n: raw_csr([attribute(names_extension(n))], der(0x30, *many(rdn, 33000))), BAD_CSR),
    "subject-of-2000-parts": (lambda n: raw_csr([attribute(names_extension(n))], der(0x30, *many(rdn, 31500))), None),
    "2000-extensions": (lambda n: raw_csr([attribute(names_extension(n), *many(unknown_extension, 31500))]), BAD_CSR),
    "64-extensions-of-480-bytes": (lambda n: raw_csr([attribute(names_extension(n), *(
        unknown_extension(i, bytes(480)) for i in range(63)))]), None),
    "65-extensions": (lambda n: raw_csr([attribute(names_extension(n), *map(unknown_extension, range(64)))]), BAD_CSR),
    "an-extension-of-31-kB": (lambda n: raw_csr([attribute(names_extension(n), unknown_extension(0, bytes(31000)))]),
                              None),
    "1000-attributes": (lambda n: raw_csr([attribute(names_extension(n)),
                                           *many(lambda i: attribute(unknown_extension(i)), 31500)]), BAD_CSR),
    "2000-names": (lambda n: raw_csr([attribute(names_extension(
        many(lambda i: b"a%d.shop.test" % i, 20000)))]), BAD_CSR),
    "one-name-2000-times": (lambda n: raw_csr([attribute(names_extension(n * 1300))]), BAD_CSR),
    "100-long-a-labels": (lambda n: raw_csr([attribute(names_extension(
        [f"{'xn--bcher-kva.' * 12}n{i}.shop.test" for i in range(100)]))]), BAD_CSR),
    "deep-attribute": (lambda n: raw_csr([der(0x30, bytes.fromhex("06032a0304"), der(0x31, nested(7000)))]), BAD_CSR),
    "huge-oid": (lambda n: raw_csr([attribute(names_extension(n), extension(
        der(0x06, b"\x2a" + b"\xff" * 30000 + b"\x01"), b"\5\0"))]), None),
    "huge-version": (lambda n: raw_csr([attribute(names_extension(n))], version=b"\1" * 31000), BAD_CSR),
    "rsa-key-of-240000-bits": (lambda n: csr_of_public_key(n, rsa_spki(modulus_with_a_small_factor(757, 240000))),
                               BAD_CSR),
    "rsa-key-with-a-huge-exponent": (lambda n: csr_of_public_key(n, rsa_spki(good_modulus(), 2 ** 240000 + 1)),
                                     BAD_CSR),
    "rsa-key-of-8192-bits": (lambda n: csr_of_public_key(n, rsa_spki(2 ** 8191 + 2 * secrets.randbits(8190) + 1)),
                             BAD_CSR),
    "random": (lambda n: secrets.token_bytes(32000), BAD_CSR),
}
TICKS_MAX = int(0.6 * os.sysconf("SC_CLK_TCK"))  # the sanitizers cost several times what a release build does


@pytest.mark.parametrize("case", EXPENSIVE)
def test_a_large_csr_costs_the_server_little(sandbox, shared, case):
    """Processor time of all workers, not the clock on the wall."""
    build, problem = EXPENSIVE[case]
    client, names = shared.twin(), [sandbox.name()]
    order = client.new_order(names).expect(201).json
    request = build(names)
    jws = compact(make_jws(client.key, order["finalize"], {"csr": b64(request)}, client.take_nonce(), client.kid))
    workers = sandbox.workers()
    before = processor_ticks(workers)
    reply = client.post_raw(order["finalize"], jws)
    spent = processor_ticks(workers) - before
    assert spent <= TICKS_MAX, f"{spent} ticks"
    assert sandbox.workers() == workers, "a worker died"
    if problem is None:
        assert reply.expect(200).json["status"] == "valid"
    else:
        refused(reply, *problem)
    client.close()


# --- certificates (7.4.2) ---

def test_a_certificate_is_a_pem_chain_of_leaf_and_issuer(sandbox, shared, issued):
    reply = shared.post(issued["certificate"]).expect(200)
    assert reply.headers["Content-Type"].partition(";")[0] == "application/pem-certificate-chain"
    assert reply.text.endswith("-----END CERTIFICATE-----\n") and "\r" not in reply.text
    assert all(len(line) <= 64 for line in reply.text.splitlines())
    assert reply.text.count("-----BEGIN CERTIFICATE-----\n") == 2
    verify_certificate(reply.text, issued["key"], issued["names"], sandbox["ISSUER_ECC"])
    assert reply.headers["Replay-Nonce"] and 'rel="index"' in "".join(reply.headers.get_all("Link"))


def test_a_revoked_certificate_can_still_be_downloaded(sandbox, shared):
    _, chain, order_url = shared.issue([sandbox.name()])
    shared.revoke(der_of(load_chain(chain)[0])).expect(200)
    assert shared.post(shared.post(order_url).json["certificate"]).expect(200).text == chain


# --- revocation (7.6) ---

def status_of(sandbox, leaf):
    return sandbox.admin.get(f"certificates/{leaf.serial_number}")


def issue_leaf(sandbox, client, names=None, kind="p256"):
    key, chain, _ = client.issue(names or [sandbox.name()], kind)
    return key, load_chain(chain)[0]


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


# --- renewal information (RFC 9773) ---

def renewal_info(client, identifier):
    return client.request("GET", f"{client.directory['renewalInfo']}/{identifier}")


def window_of(reply):
    window = reply.json["suggestedWindow"]
    return tuple(datetime.datetime.strptime(window[name], "%Y-%m-%dT%H:%M:%SZ") for name in ("start", "end"))


def test_the_renewal_window_lies_in_the_last_third_and_says_when_to_ask_again(shared, issued):
    leaf = issued["leaf"]
    reply = renewal_info(shared, certificate_id(leaf)).expect(200)
    start, end = window_of(reply)
    lifetime = leaf.not_valid_after - leaf.not_valid_before
    assert leaf.not_valid_after - lifetime / 3 <= start < end < leaf.not_valid_after
    assert 60 <= int(reply.headers["Retry-After"]) <= 864000
    assert reply.headers.get_content_type() == "application/json"
    assert renewal_info(shared, certificate_id(leaf)).json == reply.json
    key, serial = certificate_id(leaf).split(".")
    assert renewal_info(shared, f"{key}.{b64(bytes(1) + unb64(serial))}").expect(200).json == reply.json


def test_a_revoked_certificate_is_to_be_renewed_at_once(sandbox, shared):
    _, leaf = issue_leaf(sandbox, shared)
    shared.revoke(der_of(leaf)).expect(200)
    start, end = window_of(renewal_info(shared, certificate_id(leaf)).expect(200))
    assert start < end <= datetime.datetime.utcnow()


def rsa_key_id(sandbox):
    issuer = x509.load_pem_x509_certificate(Path(sandbox["ISSUER_RSA"]).read_bytes())
    return b64(issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest)


BAD_IDS = {
    "text": (lambda k, s, b: "x", 400), "no-dot": (lambda k, s, b: k + s, 400), "dots": (lambda k, s, b: "...", 400),
    "no-serial": (lambda k, s, b: k + ".", 400), "no-key": (lambda k, s, b: "." + s, 400),
    "three-parts": (lambda k, s, b: f"{k}.{s}.{s}", 400), "padded": (lambda k, s, b: f"{k}=.{s}==", 400),
    "not-canonical": (lambda k, s, b: f"{k}.{non_canonical(s)}", 400),
    "base64-letters": (lambda k, s, b: "++++." + s, 400), "not-ascii": (lambda k, s, b: f"%C3%A9.{s}", 400),
    "serial-of-21-bytes": (lambda k, s, b: f"{k}.{b64(bytes([1] * 21))}", 400),
    "very-long": (lambda k, s, b: "A" * 4000 + "." + "A" * 4000, 400),
    "unknown-serial": (lambda k, s, b: f"{k}.{b64(bytes([1] * 16))}", 404),
    "short-serial": (lambda k, s, b: f"{k}.{b64(bytes([1] * 8))}", 404),
    "unknown-issuer": (lambda k, s, b: f"{b64(secrets.token_bytes(20))}.{s}", 404),
    "another-issuer-of-ours": (lambda k, s, b: f"{rsa_key_id(b)}.{s}", 404),
}


@pytest.mark.parametrize("case", BAD_IDS)
def test_a_bad_certificate_id_is_refused(sandbox, shared, issued, case):
    build, status = BAD_IDS[case]
    key, serial = certificate_id(issued["leaf"]).split(".")
    reply = renewal_info(shared, build(key, serial, sandbox))
    assert (reply.status, reply.problem) == (status, "malformed"), reply.text
    assert reply.json["status"] == status and reply.json["detail"]


def test_a_replacement_is_marked_and_happens_once(sandbox, shared):
    names = [sandbox.name()]
    _, leaf = issue_leaf(sandbox, shared, names)
    identifier = certificate_id(leaf)
    created = shared.new_order(names, replaces=identifier).expect(201)
    assert created.json["replaces"] == identifier
    refused(shared.new_order(names, replaces=identifier), 409, "alreadyReplaced")
    shared.post(created.json["authorizations"][0], {"status": "deactivated"}).expect(200)
    second = shared.new_order(names, replaces=identifier).expect(201)
    key = make_key("p256")
    done = shared.finalize(second.json, make_csr(key, names)).expect(200).json
    assert done["replaces"] == identifier
    refused(shared.new_order(names, replaces=identifier), 409, "alreadyReplaced")
    successor = load_chain(shared.post(done["certificate"]).text)[0]
    shared.new_order(names, replaces=certificate_id(successor)).expect(201)


def test_of_parallel_replacements_one_wins(sandbox, shared):
    names = [sandbox.name()]
    _, leaf = issue_leaf(sandbox, shared, names)
    racers = [shared.twin() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda racer: racer.new_order(names, replaces=certificate_id(leaf)), racers))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 7
    for racer in racers:
        racer.close()


def test_a_replacement_needs_a_certificate_of_the_account_with_a_name_in_common(sandbox, shared, other_account, issued):
    identifier = certificate_id(issued["leaf"])
    key_id, serial = identifier.split(".")
    refused(other_account.new_order(issued["names"], replaces=identifier), 403, "unauthorized")
    for bad in ("x", "", f"{key_id}.{b64(bytes([1] * 16))}", f"{b64(secrets.token_bytes(20))}.{serial}",
                f"{rsa_key_id(sandbox)}.{serial}", identifier + "="):
        refused(shared.new_order(issued["names"], replaces=bad), *MALFORMED)
    refused(shared.new_order(issued["names"], replaces=7), *MALFORMED)
    refused(shared.new_order([sandbox.name()], replaces=identifier), *MALFORMED)
    created = shared.new_order([sandbox.name(), issued["names"][0].upper()], replaces=identifier).expect(201)
    shared.post(created.json["authorizations"][0], {"status": "deactivated"}).expect(200)


# --- Retry-After ---

@contextlib.contextmanager
def silent_name_servers(sandbox):
    """The provider's name servers stop answering, as after an outage."""
    parent = sandbox.processes.pid("nsd-provider")
    found, waiting = [], [parent]
    while waiting:
        found.append(waiting.pop())
        waiting += [int(pid) for pid in Path(f"/proc/{found[-1]}/task/{found[-1]}/children").read_text().split()]
    try:
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in found:
            os.kill(pid, signal.SIGCONT)


def test_a_dns_failure_is_told_apart_and_says_when_to_try_again(own_sandbox):
    client, zone = own_sandbox.client(), own_sandbox.new_zone()
    names = [f"a.{zone}", f"b.{zone}"]
    with silent_name_servers(own_sandbox):
        reply = client.new_order(names)
    body = refused(reply, 400, "dns")
    assert reply.headers["Retry-After"].isdigit() and int(reply.headers["Retry-After"]) > 0
    assert {sub["identifier"]["value"]: sub["type"].rpartition(":")[2] for sub in body["subproblems"]} == dict.fromkeys(
        names, "dns")
    client.new_order(names).expect(201)
    client.close()

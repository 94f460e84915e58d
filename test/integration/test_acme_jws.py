"""RFC 8555 6.2: the JSON Web Signature around each request: what is taken for one, and the exact problem with the rest."""

import hashlib
import hmac as hmac_module
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import utils

from acme_kit import shared, other_account  # noqa: F401: fixtures
from acme_kit import ALGORITHM, MALFORMED, NO_ACCOUNT, is_spent, non_canonical, refused
from acme_raw import AccountKey, b64, compact, make_header, make_jws, sign_jws, unb64
from verify import der_of, verify_certificate

ALGORITHMS = ["RS256", "ES256", "ES384", "ES512", "EdDSA"]
JOSE = "application/jose+json"


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
    "url-upper-case": (lambda c, n: account_jws(c, n, url=c.kid.replace("/acme/", "/ACME/")), WRONG_URL, UNSPENT),
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


@pytest.mark.parametrize("spelling", ["HTTPS://localhost", "https://LocalHost"])
def test_a_url_and_a_kid_in_another_spelling_are_the_same(shared, spelling):
    """Scheme and host have no case (RFC 3986 6.2.2.1); a client library may write them otherwise than we do."""
    url = shared.kid.replace("https://localhost", spelling)
    assert url != shared.kid
    for kid in (shared.kid, url):
        body = make_jws(shared.key, url, {}, shared.take_nonce(), kid)
        shared.post_raw(shared.kid, compact(body)).expect(200)


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

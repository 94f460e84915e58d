"""RFC 8555 7.3.5: which keys an account may have, and how it changes to another."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from acme_kit import shared, other_account  # noqa: F401: fixtures
from acme_kit import (ALGORITHM, BAD_KEY, MALFORMED, NO_ACCOUNT, change_key, good_modulus, is_spent,
                      modulus_of_close_primes, modulus_with_a_small_factor, modulus_with_roca_fingerprint, next_prime,
                      random_prime, refused)
from acme_raw import AccountKey, b64, compact, make_csr, make_header, make_key, make_key_change, sign_jws, unb64
from under_test import run, stopped, wait_until


# --- account keys (threats 5) ---

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


# --- key change (7.3.5) ---

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


def test_a_key_change_beside_another_is_told_to_come_again(sandbox):
    """The first one waits for the signer. A conflict (RFC 8555 7.3.5) is only that another account has the key."""
    client = sandbox.client()
    other, keys = client.twin(), [AccountKey(), AccountKey()]
    account = client.kid.rpartition("/")[2]
    with ThreadPoolExecutor(1) as pool:
        with stopped(sandbox.signer()):
            first = pool.submit(change_key, client, keys[0])
            assert wait_until(lambda: run(["redis-cli", "-s", sandbox["REDIS_SOCKET"], "HGET", f"account:{account}",
                                           "key_claim"]).stdout.strip(), 20)
            second = change_key(other, keys[1])
        assert first.result(60).status == 200
    refused(second, 503, "serverInternal")
    assert 0 < int(second.headers["Retry-After"]) <= 30 and "Location" not in second.headers
    client.key = keys[0]
    client.post(client.kid).expect(200)
    client.close()
    other.close()


def test_of_parallel_key_changes_one_wins(sandbox):
    client = sandbox.client()
    racers, keys = [client.twin() for _ in range(8)], [AccountKey() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda pair: change_key(*pair), zip(racers, keys)))
    winners = [key for key, reply in zip(keys, replies) if reply.status == 200]
    assert len(winners) == 1
    assert all(400 <= reply.status < 500 or reply.status == 503 for reply in replies if reply.status != 200), [
        reply.text for reply in replies]
    client.key = winners[0]
    client.post(client.kid).expect(200)
    for racer in racers:
        racer.close()

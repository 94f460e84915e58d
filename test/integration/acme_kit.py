"""What the tests of RFC 8555 and RFC 9773 share: how a refusal is judged, weak keys, accounts, what an issuance leaves.

The client (acme_raw.py) is bent on purpose. Every refusal is judged by `refused`: type, status, form of the problem
document and a nonce that works; where it matters also whether the nonce of the refused request was spent."""

import re
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from acme_raw import compact, make_csr, make_jws, make_key, make_key_change
from verify import load_chain

ALGORITHM = (400, "badSignatureAlgorithm")
MALFORMED = (400, "malformed")
NO_ACCOUNT = (400, "accountDoesNotExist")
BAD_KEY = (400, "badPublicKey")
EXTENSIONS = {
    "origin": {"subjectAltName", "extendedKeyUsage", "authorityKeyIdentifier", "cRLDistributionPoints"},
    "compact": {"subjectAltName", "extendedKeyUsage", "authorityKeyIdentifier"},
    "classic": {"subjectAltName", "extendedKeyUsage", "authorityKeyIdentifier", "cRLDistributionPoints", "keyUsage",
                "basicConstraints", "subjectKeyIdentifier", "authorityInfoAccess"},
}


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


def non_canonical(text):
    """The same bytes with another last character: its unused bits set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4 in (2, 3)
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def last_byte_flipped(request):
    return request[:-1] + bytes([request[-1] ^ 1])


def change_key(client, new_key, **changes):
    url = client.directory["keyChange"]
    options = {"old_key": client.key, "new_key": new_key, "url": url, "account": client.kid} | changes
    return client.post(url, make_key_change(**options))


def issue_leaf(sandbox, client, names=None, kind="p256"):
    key, chain, _ = client.issue(names or [sandbox.name()], kind)
    return key, load_chain(chain)[0]


# Weak RSA keys


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


# Accounts and what they have


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

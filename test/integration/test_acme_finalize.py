"""RFC 8555 7.4: certification requests, what they cost the server, and the certificate."""

import ipaddress
import os
import re
import secrets
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from acme_kit import shared, stranger, other_account, issued  # noqa: F401: fixtures
from acme_kit import (BAD_KEY, EXTENSIONS, MALFORMED, change_key, good_modulus, last_byte_flipped,
                      modulus_of_close_primes, modulus_with_a_small_factor, modulus_with_roca_fingerprint, random_prime,
                      refused)
from acme_raw import AccountKey, b64, compact, make_csr, make_jws, make_key
from verify import der_of, load_chain, spki, verify_certificate


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

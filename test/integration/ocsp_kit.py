"""OCSP as the tests speak it: requests byte by byte, good ones and others, over POST and GET, and answers taken apart by
Python's cryptography."""

import base64
import http.client
from pathlib import Path
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509 import ocsp

SHA1, SHA256 = bytes.fromhex("06052b0e03021a"), bytes.fromhex("0609608648016503040201")
NONCE = bytes.fromhex("06092b0601050507300102")
HASHES = {"sha1": (SHA1, hashes.SHA1), "sha256": (SHA256, hashes.SHA256)}
STATUSES = ("successful", "malformedRequest", "internalError", "tryLater", None, "sigRequired", "unauthorized")


def der(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        head = bytes([size])
    else:
        octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
        head = bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + head + content


def integer(number):
    return der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def digest(algorithm, data):
    made = hashes.Hash(algorithm())
    made.update(data)
    return made.finalize()


def key_bits(certificate):
    public = certificate.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)


def cert_id(issuer, serial, name="sha1", has_null=True):
    oid, algorithm = HASHES[name]
    return der(0x30, der(0x30, oid, b"\x05\x00" if has_null else b""),
               der(4, digest(algorithm, issuer.subject.public_bytes())), der(4, digest(algorithm, key_bits(issuer))),
               integer(serial))


def extension(oid, value, is_critical=False):
    return der(0x30, oid, der(1, b"\xff") if is_critical else b"", der(4, value))


def nonce_extension(nonce):
    return extension(NONCE, der(4, nonce))


def request(*ids, extensions=(), behind=b"", signature=b""):
    """An OCSPRequest about these CertIDs; each may be (CertID, its extensions)."""
    singles = b"".join(der(0x30, *(each if isinstance(each, tuple) else (each,))) for each in ids)
    listed = der(0xA2, der(0x30, *extensions)) if extensions else b""
    return der(0x30, der(0x30, der(0x30, singles), listed, behind), signature)


class Answer:
    def __init__(self, status, headers, body):
        self.http_status, self.headers, self.body = status, headers, body
        is_response = headers["Content-Type"] == "application/ocsp-response" and body
        self.response = ocsp.load_der_ocsp_response(body) if is_response else None

    @property
    def outcome(self):
        return STATUSES[self.response.response_status.value]

    @property
    def status(self):
        """Of one certificate: "good" or "revoked"; else the outcome."""
        return self.response.certificate_status.name.lower() if self.outcome == "successful" else self.outcome


class Responder:
    """One connection, opened again where it was closed."""

    def __init__(self, url, source=None):
        parts = urlsplit(url)
        self.path = parts.path
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30,
                                                     source_address=source and (source, 0))

    def _exchange(self, method, path, body=None, headers=None):
        try:
            self.connection.request(method, path, body, headers or {})
            reply = self.connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            self.connection.close()
            self.connection.request(method, path, body, headers or {})
            reply = self.connection.getresponse()
        return Answer(reply.status, reply.headers, reply.read())

    def post(self, body, content_type="application/ocsp-request", path=None):
        return self._exchange("POST", path or self.path, body, {"Content-Type": content_type} if content_type else {})

    def get(self, body, encode=lambda text: quote(text, safe=""), method="GET", **headers):
        text = encode(base64.b64encode(body).decode())
        return self._exchange(method, f"{self.path}/{text}", headers={name.replace("_", "-"): value
                                                                      for name, value in headers.items()})

    def close(self):
        self.connection.close()


def issuer_of(sandbox, name="ecc"):
    return x509.load_pem_x509_certificate(Path(sandbox[f"ISSUER_{name.upper()}"]).read_bytes())


def responder_of(sandbox, **options):
    """By the URL that stands in certificates of the profile classic."""
    return Responder(f"http://127.0.0.1:{sandbox.port_base + 1}/ocsp", **options)


def verify(response, issuer):
    """Signed by the issuer, named by its key, without certificates, about one of its certificates."""
    public, data = issuer.public_key(), response.tbs_response_bytes
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(response.signature, data, ec.ECDSA(response.signature_hash_algorithm))
    else:
        public.verify(response.signature, data, padding.PKCS1v15(), response.signature_hash_algorithm)
    assert response.responder_key_hash == digest(hashes.SHA1, key_bits(issuer)) and not response.certificates
    assert response.this_update < response.next_update and response.this_update <= response.produced_at

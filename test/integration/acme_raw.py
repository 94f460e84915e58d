"""A small ACME client that hides nothing: every header, payload and reply can be seen and bent by a test."""

import base64
import hashlib
import hmac as hmac_module
import http.client
import json
import ssl
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.x509.oid import NameOID


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
HASHES = {"ES256": hashes.SHA256, "ES384": hashes.SHA384, "ES512": hashes.SHA512}


NO_NONCE = "AAAA"


class AccountKey:
    """A key with its JWS algorithm: RS256, ES256, ES384, ES512 or EdDSA."""

    def __init__(self, algorithm="ES256", private=None, bits=2048):
        self.algorithm = algorithm
        self.private = private or self._generate(algorithm, bits)

    @staticmethod
    def _generate(algorithm, bits):
        if algorithm == "RS256":
            return rsa.generate_private_key(65537, bits)
        if algorithm == "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        return ec.generate_private_key(CURVES[algorithm]())

    @property
    def jwk(self):
        public = self.private.public_key()
        if self.algorithm == "RS256":
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
                    "e": b64(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big"))}
        if self.algorithm == "EdDSA":
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
        size = (public.curve.key_size + 7) // 8
        numbers = public.public_numbers()
        return {"kty": "EC", "crv": CURVE_NAMES[public.curve.name], "x": b64(numbers.x.to_bytes(size, "big")),
                "y": b64(numbers.y.to_bytes(size, "big"))}

    @property
    def thumbprint(self):
        return b64(hashlib.sha256(compact(self.jwk)).digest())

    def sign(self, data):
        if self.algorithm == "RS256":
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if self.algorithm == "EdDSA":
            return self.private.sign(data)
        size = (self.private.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(HASHES[self.algorithm]())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def pem(self):
        return self.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                          serialization.NoEncryption())


def sign_jws(key, protected, payload):
    """The flattened JWS over a header and a payload that are bytes already, however wrong."""
    signing_input = f"{b64(protected)}.{b64(payload)}"
    return {"protected": b64(protected), "payload": b64(payload), "signature": b64(key.sign(signing_input.encode()))}


def make_header(key, url, nonce=None, kid=None, header=None):
    """The protected header. `header` overrides or, with None, removes members."""
    protected = {"alg": key.algorithm, "url": url}
    protected |= {"kid": kid} if kid else {"jwk": key.jwk}
    if nonce is not None:
        protected["nonce"] = nonce
    return {name: value for name, value in (protected | (header or {})).items() if value is not None}


def make_jws(key, url, payload, nonce=None, kid=None, header=None):
    """`payload`: None is POST-as-GET, bytes go as they are. `header` as in make_header."""
    body = b"" if payload is None else payload if isinstance(payload, bytes) else compact(payload)
    return sign_jws(key, compact(make_header(key, url, nonce, kid, header)), body)


def make_eab(key, url, kid, hmac, header=None, digest=hashlib.sha256):
    """External account binding (RFC 8555 7.3.4). `header` overrides or, with None, removes members."""
    members = {"alg": "HS256", "kid": kid, "url": url} | (header or {})
    protected = b64(compact({name: value for name, value in members.items() if value is not None}))
    payload = b64(compact(key.jwk))
    mac = hmac_module.new(unb64(hmac), f"{protected}.{payload}".encode(), digest).digest()
    return {"protected": protected, "payload": payload, "signature": b64(mac)}


def make_key_change(old_key, new_key, url, account, inner_header=None, request=None, signer=None):
    """The inner JWS of a key change (RFC 8555 7.3.5), a payload of the outer one. `request` overrides or, with None,
    removes members; `signer` signs in the new key's place."""
    members = {"account": account, "oldKey": old_key.jwk} | (request or {})
    members = {name: value for name, value in members.items() if value is not None}
    return sign_jws(signer or new_key, compact(make_header(new_key, url, header=inner_header)), compact(members))


def certificate_id(certificate):
    """The certID of RFC 9773 4.1."""
    authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    serial = certificate.serial_number
    return f"{b64(authority.key_identifier)}.{b64(serial.to_bytes(serial.bit_length() // 8 + 1, 'big'))}"


def make_key(kind):
    """A certificate key: rsa2048, rsa4096, p256, p384, p521."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    return ec.generate_private_key({"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}[kind]())


def make_csr(key, names, common_name=None, digest=hashes.SHA256, subject=(), others=(), extensions=()):
    """DER. `subject` are (OID, text) besides the common name, `others` general names besides the DNS names,
    `extensions` (extension, is critical) besides subjectAltName."""
    pairs = [*subject, *([(NameOID.COMMON_NAME, common_name)] if common_name else [])]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(oid, text) for oid, text in pairs]))
    if names or others:
        general = [*(x509.DNSName(name) for name in names), *others]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), False)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    return builder.sign(key, digest and digest()).public_bytes(serialization.Encoding.DER)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def problem(self):
        """The last part of a problem's type: "unauthorized"."""
        if self.headers.get_content_type() != "application/problem+json":
            return None
        return self.json["type"].removeprefix("urn:ietf:params:acme:error:")

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def expect(self, *statuses):
        assert self.status in statuses, f"{self.status} instead of {statuses}: {self.text[:2000]}"
        return self


class AcmeClient:
    """One connection, one account. Not for several threads at once: each takes its own (see `twin`)."""

    def __init__(self, directory_url, ca_bundle, key=None, timeout=60):
        self.directory_url, self.ca_bundle, self.timeout = directory_url, str(ca_bundle), timeout
        self.key = key or AccountKey()
        self.kid = None
        self.nonce = None
        self.connection = None
        self._directory = None

    def twin(self):
        """The same account on a connection of its own."""
        other = AcmeClient(self.directory_url, self.ca_bundle, self.key, self.timeout)
        other.kid, other._directory = self.kid, self.directory
        return other

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def request(self, method, url, body=None, headers=None):
        """One exchange; a kept connection that the server has closed meanwhile is opened again once."""
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        for attempt in (1, 2):
            is_kept = self.connection is not None
            if not is_kept:
                context = ssl.create_default_context(cafile=self.ca_bundle)
                self.connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=context,
                                                              timeout=self.timeout)
            try:
                self.connection.request(method, target, body, headers or {})
                reply = self.connection.getresponse()
                result = Reply(reply.status, reply.headers, reply.read())
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
                self.close()
                if attempt == 2 or not is_kept:
                    raise
            except BaseException:
                self.close()
                raise
        self.nonce = result.headers.get("Replay-Nonce", self.nonce)
        return result

    @property
    def directory(self):
        if self._directory is None:
            self._directory = self.request("GET", self.directory_url).expect(200).json
        return self._directory

    def take_nonce(self):
        """A server that does not serve gives none, and refuses a request whatever nonce it has."""
        if self.nonce is None:
            reply = self.request("HEAD", self.directory["newNonce"]).expect(200, 503)
            if reply.status == 503:
                assert reply.headers["Retry-After"].isdigit() and self.nonce is None
                return NO_NONCE
        nonce, self.nonce = self.nonce, None
        return nonce

    def post_raw(self, url, body, content_type="application/jose+json"):
        return self.request("POST", url, body, {"Content-Type": content_type})

    def post(self, url, payload=None, with_jwk=False, header=None, key=None):
        """A signed POST with a fresh nonce; POST-as-GET where `payload` is None. One that is told that the nonce is bad is
        sent once more with another (RFC 8555 6.5), as every client does."""
        kid = None if with_jwk or self.kid is None else self.kid
        for _ in range(2):
            jws = make_jws(key or self.key, url, payload, self.take_nonce(), kid, header)
            reply = self.post_raw(url, compact(jws))
            if reply.status != 400 or reply.problem != "badNonce" or header is not None:
                break
        return reply

    def register(self, kid=None, hmac=None, **fields):
        payload = {"termsOfServiceAgreed": True, **fields}
        url = self.directory["newAccount"]
        if kid:
            payload["externalAccountBinding"] = make_eab(self.key, url, kid, hmac)
        reply = self.post(url, payload, with_jwk=True)
        if reply.status in (200, 201):
            self.kid = reply.headers["Location"]
        return reply

    def new_order(self, names, **fields):
        identifiers = [{"type": "dns", "value": name} for name in names]
        return self.post(self.directory["newOrder"], {"identifiers": identifiers, **fields})

    def finalize(self, order, csr):
        return self.post(order["finalize"], {"csr": b64(csr)})

    def issue(self, names, kind="p256", **fields):
        """(key, PEM chain, order URL) of an issuance in which nothing goes wrong."""
        reply = self.new_order(names, **fields).expect(201)
        key = make_key(kind)
        done = self.finalize(reply.json, make_csr(key, names)).expect(200).json
        assert done["status"] == "valid", done
        chain = self.post(done["certificate"]).expect(200)
        return key, chain.text, reply.headers["Location"]

    def revoke(self, der, reason=None, key=None):
        """By the account, or by the certificate's own key (an AccountKey)."""
        payload = {"certificate": b64(der)} | ({} if reason is None else {"reason": reason})
        return self.post(self.directory["revokeCert"], payload, with_jwk=key is not None, key=key)

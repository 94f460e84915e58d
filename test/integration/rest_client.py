"""The REST API as a test speaks it: every byte under control, and certificates requests made with any key."""

import http.client
import json
import re
import ssl
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


def new_key(kind="p256"):
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind])


def make_csr(key=None, common_name="ignored by the API", names=(), label=None):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), False)
    pem = builder.sign(key or new_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return pem.replace("CERTIFICATE REQUEST", label) if label else pem


def service_key(key):
    return {"X-Auth-User-Service-Key": key}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def result(self):
        assert self.status == 200, f"{self.status}: {self.body[:2000]}"
        return self.json["result"]

    @property
    def errors(self):
        return self.json["errors"]

    def expect_error(self, status, code, text=None):
        """The envelope of a failure: status, success false, at least one error with integer code and text."""
        assert self.status == status, f"{self.status}: {self.body[:2000]}"
        assert self.headers["Content-Type"] == "application/json"
        assert re.fullmatch(r"[0-9a-f]{16}-[A-Z]{3}", self.headers["CF-Ray"])
        envelope = self.json
        assert envelope["success"] is False and envelope["result"] is None and envelope["messages"] == []
        assert all(type(each["code"]) is int and each["message"] for each in envelope["errors"])
        assert envelope["errors"][0]["code"] == code, envelope
        if text is not None:
            assert text in envelope["errors"][0]["message"], envelope
        return envelope["errors"]


class RestClient:
    def __init__(self, url, bundle, headers):
        self.base = urlsplit(url)
        self.context = ssl.create_default_context(cafile=str(bundle))
        self.headers = headers

    def connect(self):
        return http.client.HTTPSConnection(self.base.hostname, self.base.port, context=self.context, timeout=60)

    def call(self, method, path, body=None, headers=None):
        """`body` is JSON unless it is bytes or text; `headers` replace the key's."""
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection = self.connect()
        try:
            connection.request(method, self.base.path + path, body, self.headers if headers is None else headers)
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def create(self, hostnames, csr=None, request_type="origin-ecc", validity=7, **extra):
        body = {"csr": csr or make_csr(), "hostnames": hostnames, "request_type": request_type,
                "requested_validity": validity, **extra}
        return self.call("POST", "/certificates", body)

    def get(self, identifier, suffix="", headers=None):
        return self.call("GET", f"/certificates/{identifier}{suffix}", headers=headers)

    def list(self, zone, query=""):
        return self.call("GET", f"/certificates?zone_id={zone}{query}")

    def revoke(self, identifier, body=None):
        return self.call("DELETE", f"/certificates/{identifier}", body)


def rest(sandbox, customer=1, headers=None):
    suffix = "" if customer == 1 else f"_{customer}"
    return RestClient(sandbox["API_URL"], sandbox["CA_BUNDLE"],
                      service_key(sandbox[f"API_KEY{suffix}"]) if headers is None else headers)


def leaf_of(result):
    return x509.load_pem_x509_certificate(result["certificate"].encode())

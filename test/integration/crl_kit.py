"""Revocation lists as the tests fetch them."""

import http.client
from urllib.parse import urlsplit

from cryptography import x509


def fetch(base, path, method="GET", headers=None, body=None):
    url = urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def plain_url(base_url):
    """Of a server's plain listener, whose port is the one after the HTTPS listener's here."""
    return f"http://localhost:{urlsplit(base_url).port + 1}"


def path_of(leaf, issuer="ecc"):
    """Of the list that the certificate names; else its issuer's complete one."""
    try:
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return f"/crl/{issuer}-all.crl"
    assert len(points) == 1 and len(points[0].full_name) == 1
    return urlsplit(points[0].full_name[0].value).path


def load(base, path):
    status, headers, body = fetch(base, path)
    assert status == 200 and headers["Content-Type"] == "application/pkix-crl", (path, status)
    return x509.load_der_x509_crl(body)


def number_of(crl):
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


class ListWatch:
    """No list's number falls, whoever serves it."""

    def __init__(self):
        self.numbers = {}

    def load(self, base, path):
        crl = load(base, path)
        number = number_of(crl)
        assert number >= self.numbers.get((base, path), 0), (base, path, number, self.numbers[base, path])
        self.numbers[base, path] = number
        return crl

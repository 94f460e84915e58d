"""Two sections of the configuration with one key and subject, as somebody has who names an issuer anew and keeps the former section
for its certificates: OCSP answers for those of both."""

import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from ocsp_kit import cert_id, issuer_of, request, responder_of
from rest_client import make_csr, rest
from under_test import wait_until

SANDBOX_OPTIONS = ("--workers", "1")


def create(box):
    return rest(box).create([box.name()], request_type="origin-ecc", csr=make_csr())


@pytest.fixture
def renamed(own_sandbox):
    former = int(create(own_sandbox).result["id"])
    path = Path(own_sandbox["CONFIG"])
    text = path.read_text()
    section = re.search(r'    issuer "ecc" \{.*?\n    \}\n', text, re.S)[0]
    added = section.replace('"ecc"', '"ecc-new"').replace("/crl/e{", "/crl/n{")
    path.write_text(text.replace(section, section + added).replace("server {", 'rest {\n    rest_ecc_issuer = "ecc-new"\n}\nserver {', 1))
    own_sandbox.server_tool("reload")
    replies = []

    def is_new():  # the signer takes over after the workers
        replies.append(create(own_sandbox))
        return replies[-1].status == 200 and own_sandbox.admin.get(f"certificates/{replies[-1].result['id']}")["issuer"] == "ecc-new"

    assert wait_until(is_new, 60, pause=0.1), replies[-1].body
    assert {reply.status for reply in replies} <= {200, 503}  # for good nothing is refused meanwhile
    return own_sandbox, former, int(replies[-1].result["id"])


def test_certificates_of_both_names_are_answered(renamed):
    box, *serials = renamed
    responder, issuer = responder_of(box), issuer_of(box)

    def status(serial):
        reply = responder.post(request(cert_id(issuer, serial)))
        return ocsp.load_der_ocsp_response(reply.body).certificate_status

    assert [status(serial) for serial in serials] == [ocsp.OCSPCertStatus.GOOD] * 2
    for serial in serials:
        assert rest(box).revoke(str(serial)).status == 200
        assert status(serial) == ocsp.OCSPCertStatus.REVOKED
    both = responder.post(request(*[cert_id(issuer, serial) for serial in serials]))
    assert [each.certificate_status for each in ocsp.load_der_ocsp_response(both.body).responses] == [ocsp.OCSPCertStatus.REVOKED] * 2
    other = x509.load_pem_x509_certificate(Path(box["ISSUER_RSA"]).read_bytes())
    for serial in serials:  # of another key it knows nothing
        reply = ocsp.load_der_ocsp_response(responder.post(request(cert_id(other, serial))).body)
        assert reply.response_status == ocsp.OCSPResponseStatus.UNAUTHORIZED

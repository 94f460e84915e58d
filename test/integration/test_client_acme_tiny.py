"""acme-tiny knows no external account binding: the admin binds its key to the customer once."""

import pytest

from acme_raw import AccountKey, AcmeClient
from clients import CASES, obtain_renew_revoke
from under_test import run
from verify import der_of, load_chain

NEW_KEY = {"p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
           "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
           "rsa2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
           "rsa4096": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"]}


class AcmeTiny:
    """The client and the two openssl commands of its README."""

    def __init__(self, sandbox, directory):
        self.sandbox, self.directory = sandbox, directory
        self.account = AccountKey("RS256")
        (directory / "account.key").write_bytes(self.account.pem())
        self.certificates = {}

    def bind(self):
        return self.sandbox.admin.post(f"customers/{self.sandbox['CUSTOMER']}/acme-accounts",
                                       {"jwk": self.account.jwk})

    def __call__(self, request, check=True):
        return run(["acme-tiny", "--account-key", self.directory / "account.key", "--csr", request, "--acme-dir",
                    self.directory, "--disable-check", "--directory-url", self.sandbox["DIRECTORY_URL"]],
                   {"SSL_CERT_FILE": self.sandbox["CA_BUNDLE"]}, check=check)

    def make_request(self, names, kind):
        key, request = self.directory / "domain.key", self.directory / "domain.csr"
        run(["openssl", "genpkey", *NEW_KEY[kind], "-out", key])
        run(["openssl", "req", "-new", "-key", key, "-subj", "/", "-out", request, "-addext",
             "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)])
        return key, request

    def obtain(self, names, kind):
        key, request = self.make_request(names, kind)
        pem = self(request).stdout
        self.certificates[names[0]] = pem
        return pem, key

    renew = obtain

    def revoke(self, names):
        """acme-tiny leaves this to others: the account's key does it."""
        client = AcmeClient(self.sandbox["DIRECTORY_URL"], self.sandbox["CA_BUNDLE"], self.account)
        client.register().expect(200)
        leaf = load_chain(self.certificates[names[0]])[0]
        client.revoke(der_of(leaf)).expect(200)
        assert client.revoke(der_of(leaf)).problem == "alreadyRevoked"


@pytest.fixture(scope="module")
def acme_tiny(sandbox, tmp_path_factory):
    acme_tiny = AcmeTiny(sandbox, tmp_path_factory.mktemp("acme-tiny"))
    acme_tiny.bind()
    return acme_tiny


@pytest.mark.parametrize("shape, kind", CASES)
def test_acme_tiny_obtains_renews_and_revokes(sandbox, acme_tiny, shape, kind):
    obtain_renew_revoke(sandbox, acme_tiny, shape, kind)


def test_binding_the_same_key_again_gives_the_same_account(acme_tiny):
    assert acme_tiny.bind()["id"] == acme_tiny.bind()["id"]


def test_acme_tiny_with_an_unbound_key_is_refused(sandbox, tmp_path):
    stranger = AcmeTiny(sandbox, tmp_path)
    _, request = stranger.make_request([sandbox.name()], "p256")
    refused = stranger(request, check=False)
    assert refused.returncode != 0
    assert "externalAccountRequired" in refused.stderr

"""npm's acme-client: with EAB, and with a key that the admin has bound (its old versions know no EAB)."""

import json
import os
import subprocess

import pytest

from acme_raw import AccountKey
from clients import CASES, names_for, obtain_renew_revoke


class AcmeClientJs:
    def __init__(self, sandbox, modules, directory, binding=None):
        self.sandbox, self.modules, self.directory, self.binding = sandbox, modules, directory, binding
        self.account = AccountKey("RS256")
        self.certificates = {}

    def __call__(self, action, check=True, **request):
        request |= {"action": action, "directory": self.sandbox["DIRECTORY_URL"],
                    "accountKey": self.account.pem().decode()}
        if self.binding:
            request["binding"] = self.binding
        result = subprocess.run(["node", "issue.js"], cwd=self.modules, input=json.dumps(request), text=True,
                                capture_output=True, timeout=120,
                                env={**os.environ, "NODE_EXTRA_CA_CERTS": self.sandbox["CA_BUNDLE"]})
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def obtain(self, names, kind):
        reply = json.loads(self("obtain", names=names, kind=kind).stdout)
        key = self.directory / "key.pem"
        key.write_text(reply["key"])
        self.certificates[names[0]] = reply["certificate"]
        return reply["certificate"], key

    renew = obtain

    def revoke(self, names):
        self("revoke", certificate=self.certificates[names[0]])


def eab(sandbox):
    return {"kid": sandbox["EAB_KID"], "hmacKey": sandbox["EAB_HMAC"]}


@pytest.fixture(scope="module")
def bound(sandbox, npm_modules, tmp_path_factory):
    tool = AcmeClientJs(sandbox, npm_modules, tmp_path_factory.mktemp("acme-client"))
    sandbox.admin.post(f"customers/{sandbox['CUSTOMER']}/acme-accounts", {"jwk": tool.account.jwk})
    return tool


@pytest.mark.parametrize("shape, kind", CASES)
def test_acme_client_bound_by_the_admin_obtains_renews_and_revokes(sandbox, bound, shape, kind):
    obtain_renew_revoke(sandbox, bound, shape, kind)


def test_acme_client_registers_by_eab(sandbox, npm_modules, tmp_path):
    obtain_renew_revoke(sandbox, AcmeClientJs(sandbox, npm_modules, tmp_path, eab(sandbox)), "several", "p256")


def test_acme_client_with_an_unbound_key_is_refused(sandbox, npm_modules, tmp_path):
    stranger = AcmeClientJs(sandbox, npm_modules, tmp_path)
    refused = stranger("obtain", check=False, names=names_for(sandbox, "single"), kind="p256")
    assert refused.returncode != 0
    assert "external account" in refused.stderr.lower()

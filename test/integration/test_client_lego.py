"""lego as Debian ships it (4.9)."""

import pytest

from clients import CASES, names_for, obtain_renew_revoke
from under_test import run

KEY_TYPES = {"p256": "ec256", "p384": "ec384", "rsa2048": "rsa2048", "rsa4096": "rsa4096"}


class Lego:
    def __init__(self, sandbox, directory):
        self.sandbox, self.directory = sandbox, directory

    def __call__(self, names, kind, *command, check=True):
        domains = [part for name in names for part in ("--domains", name)]
        return run(["lego", "--server", self.sandbox["DIRECTORY_URL"], "--path", self.directory, "--accept-tos",
                    "--email", "Ops@shop.test", "--eab", "--kid", self.sandbox["EAB_KID"], "--hmac",
                    self.sandbox["EAB_HMAC"], "--key-type", KEY_TYPES[kind], "--http", "--http.port", "127.0.0.1:0",
                    *domains, *command], {"LEGO_CA_CERTIFICATES": self.sandbox["CA_BUNDLE"]}, check=check)

    def files(self, names):
        stem = self.directory / "certificates" / names[0].replace("*", "_")
        return stem.with_name(stem.name + ".crt").read_text(), stem.with_name(stem.name + ".key")

    def obtain(self, names, kind):
        self(names, kind, "run")
        return self.files(names)

    def renew(self, names, kind):
        self(names, kind, "renew", "--days", "5000", "--no-random-sleep")
        return self.files(names)

    def revoke(self, names):
        self(names, "p256", "revoke", "--reason", "4", "--keep")


@pytest.fixture
def lego(sandbox, tmp_path):
    return Lego(sandbox, tmp_path)


@pytest.mark.parametrize("shape, kind", CASES)
def test_lego_obtains_renews_and_revokes(sandbox, lego, shape, kind):
    obtain_renew_revoke(sandbox, lego, shape, kind)


def test_lego_renews_with_the_same_key(sandbox, lego):
    names = names_for(sandbox, "single")
    _, key = lego.obtain(names, "p256")
    before = key.read_bytes()
    lego(names, "p256", "renew", "--days", "5000", "--no-random-sleep", "--reuse-key")
    assert key.read_bytes() == before


def test_lego_gives_its_authorizations_back(lego, sandbox):
    lego(names_for(sandbox, "several"), "p256", "run", "--always-deactivate-authorizations", "true")


def test_lego_reports_a_name_on_nobodys_zone(lego):
    name = "www.nobody-has-this.test"
    refused = lego([name], "p256", "run", check=False)
    assert refused.returncode != 0
    assert name in refused.stdout + refused.stderr
    assert "rejectedIdentifier" in refused.stdout + refused.stderr

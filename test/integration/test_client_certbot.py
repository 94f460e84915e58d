"""certbot as Debian ships it: directory URL, CA bundle and EAB, nothing else."""

import pytest

from clients import CASES, names_for, obtain_renew_revoke, serial_of
from under_test import run

KEY_OPTIONS = {
    "p256": ["--key-type", "ecdsa", "--elliptic-curve", "secp256r1"],
    "p384": ["--key-type", "ecdsa", "--elliptic-curve", "secp384r1"],
    "rsa2048": ["--key-type", "rsa", "--rsa-key-size", "2048"],
    "rsa4096": ["--key-type", "rsa", "--rsa-key-size", "4096"],
}


class Certbot:
    def __init__(self, sandbox, directory):
        self.sandbox, self.directory = sandbox, directory

    def __call__(self, command, *options, check=True):
        folders = [part for name in ("config", "work", "logs")
                   for part in (f"--{name}-dir", self.directory / name)]
        return run(["certbot", command, "--non-interactive", "--server",
                    self.sandbox["DIRECTORY_URL"], *folders, *options],
                   {"REQUESTS_CA_BUNDLE": self.sandbox["CA_BUNDLE"]}, check=check)

    def said(self, result):
        """What it printed, and its log: Debian's certbot stumbles over every ACME error before it prints it (certbot
        issue 9539, Python 3.11) and sends its user to the log."""
        return result.stdout + result.stderr + (self.directory / "logs" / "letsencrypt.log").read_text()

    def register(self, *options):
        return self("register", "--agree-tos", "--register-unsafely-without-email", "--eab-kid",
                    self.sandbox["EAB_KID"], "--eab-hmac-key", self.sandbox["EAB_HMAC"], *options)

    def live(self, names):
        folder = self.directory / "config" / "live" / names[0].removeprefix("*.")
        return (folder / "fullchain.pem").read_text(), folder / "privkey.pem"

    def obtain(self, names, kind, *options):
        domains = [part for name in names for part in ("-d", name)]
        self("certonly", "--standalone", *KEY_OPTIONS[kind], *domains, *options)
        return self.live(names)

    def renew(self, names, _kind):
        self("renew", "--force-renewal", "--no-random-sleep-on-renew", "--cert-name", names[0].removeprefix("*."))
        return self.live(names)

    def revoke(self, names):
        self("revoke", "--cert-name", names[0].removeprefix("*."), "--reason", "superseded", "--no-delete-after-revoke")


@pytest.fixture(scope="module")
def certbot(sandbox, tmp_path_factory):
    certbot = Certbot(sandbox, tmp_path_factory.mktemp("certbot"))
    certbot.register()
    return certbot


@pytest.mark.parametrize("shape, kind", CASES)
def test_certbot_obtains_renews_and_revokes(sandbox, certbot, shape, kind):
    obtain_renew_revoke(sandbox, certbot, shape, kind)


def test_certbot_revokes_with_the_certificate_key_and_learns_that_it_is_done(sandbox, certbot):
    names = names_for(sandbox, "single")
    pem, key = certbot.obtain(names, "p256")
    options = ["--cert-path", key.parent / "cert.pem", "--key-path", key, "--no-delete-after-revoke"]
    certbot("revoke", *options)
    assert sandbox.admin.get(f"certificates/{serial_of(pem)}")["status"] == "revoked"
    again = certbot("revoke", *options, check=False)
    assert "alreadyRevoked" in certbot.said(again)


def test_certbot_updates_and_leaves_its_account(sandbox, tmp_path):
    certbot = Certbot(sandbox, tmp_path)
    certbot.register()
    certbot("update_account", "--email", "ops@shop.test")
    assert "ops@shop.test" in certbot("show_account").stdout
    certbot("unregister")
    refused = certbot("certonly", "--standalone", "-d", sandbox.name(), check=False)
    assert refused.returncode != 0


def test_certbot_without_binding_is_told_to_bind(sandbox, tmp_path):
    certbot = Certbot(sandbox, tmp_path)
    refused = certbot("register", "--agree-tos", "--register-unsafely-without-email", check=False)
    assert refused.returncode != 0
    assert "external account" in certbot.said(refused).lower()


def test_certbot_shows_its_user_what_to_change(sandbox, certbot):
    name = "www.nobody-has-this.test"
    refused = certbot("certonly", "--standalone", "-d", name, check=False)
    assert refused.returncode != 0
    assert "rejectedIdentifier" in certbot.said(refused)
    assert not (certbot.directory / "config" / "live" / name).exists()

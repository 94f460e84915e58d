"""dehydrated as Debian ships it (0.7.0): a shell script that reads JSON with its own parser and never retries a nonce."""

import pytest

from clients import CASES, obtain_renew_revoke
from under_test import run

ALGORITHMS = {"p256": ("prime256v1", 4096), "p384": ("secp384r1", 4096), "rsa2048": ("rsa", 2048),
              "rsa4096": ("rsa", 4096)}


class Dehydrated:
    def __init__(self, sandbox, directory):
        self.sandbox, self.directory = sandbox, directory
        (directory / "config").write_text(
            f'CA="{sandbox["DIRECTORY_URL"]}"\nBASEDIR="{directory}"\nWELLKNOWN="{directory}/challenges"\n'
            f'CURL_OPTS="--cacert {sandbox["CA_BUNDLE"]}"\nEAB_KID="{sandbox["EAB_KID"]}"\n'
            f'EAB_HMAC_KEY="{sandbox["EAB_HMAC"]}"\nCONTACT_EMAIL=""\nAUTO_CLEANUP="no"\n')
        (directory / "challenges").mkdir()

    def __call__(self, *arguments, key_size=2048, check=True):
        config = self.directory / f"config-{key_size}"
        config.write_text((self.directory / "config").read_text() + f'KEYSIZE="{key_size}"\n')
        return run(["dehydrated", "--config", config, *arguments], check=check)

    def folder(self, names):
        return self.directory / "certs" / names[0].removeprefix("*.")

    def obtain(self, names, kind, *options):
        algorithm, size = ALGORITHMS[kind]
        self("--cron", "--domain", " ".join(names), "--alias", names[0].removeprefix("*."), "--algo", algorithm,
             *options, key_size=size)
        folder = self.folder(names)
        return (folder / "fullchain.pem").read_text(), folder / "privkey.pem"

    def renew(self, names, kind):
        return self.obtain(names, kind, "--force")

    def revoke(self, names):
        self("--revoke", self.folder(names) / "cert.pem")


@pytest.fixture(scope="module")
def dehydrated(sandbox, tmp_path_factory):
    dehydrated = Dehydrated(sandbox, tmp_path_factory.mktemp("dehydrated"))
    dehydrated("--register", "--accept-terms")
    return dehydrated


@pytest.mark.parametrize("shape, kind", CASES)
def test_dehydrated_obtains_renews_and_revokes(sandbox, dehydrated, shape, kind):
    obtain_renew_revoke(sandbox, dehydrated, shape, kind)


def test_dehydrated_reports_a_name_on_nobodys_zone(dehydrated):
    name = "www.nobody-has-this.test"
    refused = dehydrated("--cron", "--domain", name, check=False)
    assert refused.returncode != 0
    assert name in refused.stdout + refused.stderr
    assert not (dehydrated.folder([name]) / "fullchain.pem").exists()

"""Caddy as Debian ships it (2.6): the page's Caddyfile, which obtains, serves and renews."""

import json

import pytest

from clients import check
from cookbook import CA_BUNDLE, DIRECTORY_URL, services  # noqa: F401: fixture
from cookbook import recipe
from under_test import free_port_base, run, wait_until


class Caddy:
    """Caddy with the recipe's site for these names, before an application that answers "application"."""

    def __init__(self, sandbox, services, names):
        self.services, self.folder = services, services.directory
        self.http = free_port_base(3)
        self.https, application = self.http + 1, self.http + 2
        text = recipe("### Caddy", {DIRECTORY_URL: sandbox["DIRECTORY_URL"], CA_BUNDLE: sandbox["CA_BUNDLE"],
                                    "KID": sandbox["EAB_KID"], "HMAC": sandbox["EAB_HMAC"],
                                    "www.shop.test": ", ".join(names), "localhost:8080": f"127.0.0.1:{application}"})
        text = text.replace("{\n", f"{{\n    http_port {self.http}\n    https_port {self.https}\n"
                                   f"    default_bind 127.0.0.1\n    admin unix/{self.folder}/admin\n"
                                   f"    storage file_system {self.folder}/store\n", 1)
        services.path("Caddyfile", f"{text}http://:{application} {{\n    respond application\n}}\n")
        self.environment = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        services.start("caddy", ["caddy", "run", "--config", self.folder / "Caddyfile"], self.environment)

    def __call__(self, command, *arguments):
        return run(["caddy", command, *arguments], self.environment).stdout

    def files(self, name):
        folder = name.replace("*", "wildcard_")
        key = next(self.folder.glob(f"store/certificates/*/{folder}/{folder}.key"))
        return key.with_suffix(".crt").read_text(), key

    def renew_always(self):
        """Looks each second, and finds all of a certificate's life to be the time for its renewal."""
        config = json.loads(self("adapt", "--config", self.folder / "Caddyfile"))
        automation = config["apps"]["tls"]["automation"]
        automation["renew_interval"] = "1s"
        for policy in automation["policies"]:
            policy["renewal_window_ratio"] = 0.999999
        self("reload", "--config", self.services.path("renew.json", json.dumps(config)), "--address",
             f"unix/{self.folder}/admin")


@pytest.mark.parametrize("shape", ["single", "wildcard"])
def test_caddy_obtains_serves_and_renews(sandbox, services, shape):
    base = sandbox.name()
    site, visited = (base, base) if shape == "single" else (f"*.{base}", f"www.{base}")
    caddy = Caddy(sandbox, services, [site])
    leaf = services.wait_leaf(visited, caddy.https)
    assert check(sandbox, *caddy.files(site), [site], "p256") == leaf
    assert services.get(visited, caddy.https) == "application"
    caddy.renew_always()
    services.wait_leaf(visited, caddy.https, instead_of=leaf)


def test_caddy_reports_a_name_on_nobodys_zone(sandbox, services):
    name = "www.nobody-has-this.test"
    Caddy(sandbox, services, [name])
    assert wait_until(lambda: "rejectedIdentifier" in services.log("caddy"), 15), services.log("caddy")
    assert name in services.log("caddy")

"""Apache's mod_md as Debian ships it (2.6): the page's lines, which obtain, serve and renew."""

import time

import pytest

from clients import check
from cookbook import CA_BUNDLE, DIRECTORY_URL, services  # noqa: F401: fixture
from cookbook import recipe
from under_test import free_port_base, run, wait_until

MODULES = ("mpm_event", "authz_core", "dir", "ssl", "md")


class Apache:
    """Apache with the recipe for these names: the first is the server's, the others its aliases."""

    def __init__(self, sandbox, services, names, *lines):
        self.services, self.names, self.folder = services, names, services.directory
        self.http = free_port_base(2)
        self.https = self.http + 1
        aliases = "".join(f"\n    ServerAlias {name}" for name in names[1:])
        site = recipe("### Apache, mod_md", {
            DIRECTORY_URL: sandbox["DIRECTORY_URL"], CA_BUNDLE: services.ca_bundle, "KID": sandbox["EAB_KID"],
            "HMAC": sandbox["EAB_HMAC"], "MDomain www.shop.test": f"MDomain {' '.join(names)}",
            "ServerName www.shop.test": f"ServerName {names[0]}{aliases}", "*:443": f"127.0.0.1:{self.https}"})
        services.path("root/index.html", "application")
        text = [f"ServerRoot {self.folder}", f"DefaultRuntimeDir {self.folder}", f"PidFile {self.folder}/httpd.pid",
                *[f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES],
                "User www-data", "Group www-data", "ServerName localhost", f"DocumentRoot {self.folder}/root",
                f"Listen 127.0.0.1:{self.http}", f"Listen 127.0.0.1:{self.https} https", "LogLevel warn md:debug",
                f"ErrorLog {self.folder}/apache.log", f"MDStoreDir {self.folder}/store",
                *(line.format(self=self) for line in lines), site]
        services.path("apache.conf", "\n".join(text))
        services.start("apache", ["apache2", "-f", self.folder / "apache.conf", "-DFOREGROUND"])

    def wait_log(self, text, times=1):
        assert wait_until(lambda: self.services.log("apache").count(text) >= times, 15), self.services.log("apache")

    def reload(self):
        """What `systemctl reload apache2` does."""
        run(["apache2", "-f", self.folder / "apache.conf", "-k", "graceful"])

    def files(self):
        folder = self.folder / "store" / "domains" / self.names[0]
        return (folder / "pubcert.pem").read_text(), folder / "privkey.pem"


HTTP_IS_MAPPED = "MDPortMap http:{self.http} https:{self.https}"
OBTAINED = "AH10059"


@pytest.mark.parametrize("shape", ["single", "wildcard"])
def test_mod_md_obtains_serves_and_renews_what_was_revoked(sandbox, services, shape):
    base = sandbox.name()
    names = [base] if shape == "single" else [base, f"*.{base}"]
    apache = Apache(sandbox, services, names, HTTP_IS_MAPPED)
    apache.wait_log(OBTAINED)
    apache.reload()
    visited = names[-1].replace("*", "www")
    leaf = services.wait_leaf(visited, apache.https)
    assert check(sandbox, *apache.files(), names, "rsa2048") == leaf
    assert services.get(visited, apache.https) == "application"
    sandbox.admin.post(f"certificates/{leaf.serial_number}/revoke", {"reason": "superseded"})
    for _ in range(3):  # a reload that comes upon an order makes mod_md forget it, and order the same again
        apache.reload()
        time.sleep(0.3)
    apache.wait_log(OBTAINED, times=2)
    apache.reload()
    services.wait_leaf(visited, apache.https, instead_of=leaf)


def test_mod_md_with_a_dns_program_needs_no_port_80_and_does_not_call_it(sandbox, services):
    name = sandbox.name()
    called = services.directory / "root" / "called"
    program = services.path("program", f"#!/bin/sh\ntouch {called}\n")
    program.chmod(0o755)
    apache = Apache(sandbox, services, [name], f"MDChallengeDns01 {program}")
    (services.directory / "root").chmod(0o777)
    apache.wait_log(OBTAINED)
    apache.reload()
    services.wait_leaf(name, apache.https)
    assert not called.exists()


def test_mod_md_reports_a_name_on_nobodys_zone(sandbox, services):
    name = "www.nobody-has-this.test"
    apache = Apache(sandbox, services, [name], HTTP_IS_MAPPED)
    apache.wait_log("rejectedIdentifier")
    assert name in services.log("apache")

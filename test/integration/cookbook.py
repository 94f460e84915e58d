"""The recipes of doc/cookbook.md as they stand on the page, with the words of a sandbox; a folder for the servers that
follow them, which end by process id; and what an edge sees of an origin: it trusts the issuing certificates alone."""

import re
import shutil
import socket
import ssl
import tempfile
from pathlib import Path

import pytest
from cryptography import x509

from under_test import ROOT, Processes, run, wait_until

PAGE = ROOT / "doc" / "cookbook.md"
DIRECTORY_URL = "https://ca.example/acme/directory"
CA_BUNDLE = "/etc/ssl/originca.pem"


def recipe(heading, words, at=0):
    """The block of commands or configuration below a heading of the page, with other words for those of the page."""
    _, found, rest = PAGE.read_text().partition(f"\n{heading}\n")
    assert found, f'no "{heading}" in {PAGE}'
    text = re.findall(r"^```\w*\n(.*?)^```", re.split(r"^##", rest, flags=re.M)[0], re.S | re.M)[at]
    for word, value in words.items():
        assert word in text, f'"{heading}" has no "{word}":\n{text}'
        text = text.replace(word, str(value))
    return text


class Services:
    """Servers in one folder, short because sockets lie in it, and open to users such as www-data."""

    def __init__(self, sandbox):
        self.directory = Path(tempfile.mkdtemp(prefix="oca-cook-"))
        self.directory.chmod(0o755)
        self.processes = Processes(self.directory, self.directory)
        self.names = []
        self.ca_bundle = self.path("ca.pem", Path(sandbox["CA_BUNDLE"]).read_text())
        run(["bash", "-c", recipe("## The provider's edge", {"http://ca.example": sandbox["HTTP_URL"]})
             .splitlines()[0]], directory=self.directory)
        self.issuers = self.directory / "origin-issuers.pem"

    def path(self, name, text=None):
        """A file or folder of the services; with text it is written, and everybody may read it."""
        path = self.directory / name
        if text is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o644)
        return path

    def start(self, name, command, environment=None):
        self.names.append(name)
        self.processes.start(name, [str(part) for part in command], environment)

    def log(self, name):
        return self.processes.log(name).read_text(errors="replace")

    def stop(self):
        killed = [name for name in reversed(self.names) if self.processes.stop(name, 10)]
        shutil.rmtree(self.directory)
        assert not killed, f"had to be killed: {killed}"

    def leaf(self, name, port):
        """The certificate that an edge sees at the origin and has verified for the name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.issuers)
        with socket.create_connection(("127.0.0.1", port), 5) as plain:
            with context.wrap_socket(plain, server_hostname=name) as tls:
                return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))

    def wait_leaf(self, name, port, instead_of=None, seconds=15):
        """The same once it is there, and another than that."""
        seen = []

        def other():
            try:
                leaf = self.leaf(name, port)
            except OSError as error:  # ssl.SSLError too
                seen[:] = [error]
                return None
            seen[:] = [leaf]
            return leaf if leaf != instead_of else None

        leaf = wait_until(other, seconds, pause=0.1)
        assert leaf, f"{name}: {seen}\n" + "\n".join(self.processes.log_tail(each) for each in self.names)
        return leaf

    def get(self, name, port):
        """The page that curl of the recipe gets from the origin."""
        line = recipe("## The provider's edge", {"www.shop.test:443:192.0.2.10": f"{name}:{port}:127.0.0.1",
                                                 "https://www.shop.test/": f"https://{name}:{port}/"})
        return run(["bash", "-c", line.splitlines()[1]], directory=self.directory).stdout


@pytest.fixture
def services(sandbox):
    services = Services(sandbox)
    yield services
    services.stop()

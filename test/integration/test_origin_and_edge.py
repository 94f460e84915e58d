"""nginx and HAProxy with the page's lines: as origins that serve what originca obtains and change over when it renews,
and as edges that let only good origins through."""

import os
import ssl
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cli_tools import Shell
from cookbook import services  # noqa: F401: fixture
from cookbook import recipe
from under_test import free_port_base, run, wait_until
from verify import verify_certificate


class Server:
    """A server without sites; `reload` is the shell command that systemd runs for `systemctl reload`."""

    def __init__(self, services):
        self.folder = services.directory

    def add(self, site):
        with open(self.sites, "a") as file:
            file.write(site)


class Nginx(Server):
    def __init__(self, services):
        super().__init__(services)
        self.sites = services.path("sites", "")
        temporary = "".join(f"    {kind}_temp_path {self.folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.config = services.path("nginx.conf", (
            f"daemon off;\npid {self.folder}/pid;\nerror_log stderr;\nworker_processes 1;\n"
            f"events {{}}\nhttp {{\n    access_log off;\n{temporary}    include {self.sites};\n}}\n"))
        services.start("nginx", ["nginx", "-e", "stderr", "-c", self.config])
        self.reload = f"nginx -e stderr -c {self.config} -s reload"
        pid = self.folder / "pid"
        assert wait_until(lambda: pid.exists() and pid.read_text(), 10), services.log("nginx")

    def origin(self, name, port):
        return recipe("### Origin: nginx", {"443": f"127.0.0.1:{port}", "www.shop.test": name,
                                            "/etc/nginx/tls": self.folder}, at=1)

    def edge(self, name, port, origin):
        return recipe("### Edge: nginx", {"{\n    server_name": f"{{\n    listen 127.0.0.1:{port};\n    server_name",
                                          "www.shop.test": name, "192.0.2.10": f"127.0.0.1:{origin}",
                                          "/etc/nginx": self.folder})


class HAProxy(Server):
    def __init__(self, services):
        super().__init__(services)
        self.sites = self.config = services.path("haproxy.conf", (
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n"
            f"frontend one-is-needed\n    bind unix@{self.folder}/one\nbackend application\n"))
        services.start("haproxy", ["haproxy", "-W", "-f", self.config, "-p", self.folder / "pid"])
        loaded = f"grep -c 'Loading success' {services.processes.log('haproxy')}"
        self.reload = services.path("reload", (  # systemd, too, goes on when HAProxy says that it is done
            f"#!/bin/sh\nhaproxy -W -q -c -f {self.config} || exit\n"
            f"before=$({loaded})\nkill -USR2 $(cat {self.folder}/pid)\n"
            f"for _ in $(seq 200); do [ $({loaded}) -gt $before ] && exit; sleep 0.05; done\nexit 1\n"))
        self.reload.chmod(0o755)
        assert wait_until(lambda: "Loading success" in services.log("haproxy"), 10), services.log("haproxy")

    def origin(self, name, port):
        return recipe("### Origin: HAProxy", {":443": f"127.0.0.1:{port}", "www.shop.test": name,
                                              "/etc/haproxy/tls": self.folder}, at=1)

    def edge(self, name, port, origin):
        return f"frontend edge{port}\n    bind 127.0.0.1:{port}\n    default_backend shop{port}\n" + recipe(
            "### Edge: HAProxy", {"backend shop": f"backend shop{port}", "www.shop.test": name,
                                  "192.0.2.10:443": f"127.0.0.1:{origin}", "/etc/haproxy": self.folder})


SERVERS = {"nginx": Nginx, "HAProxy": HAProxy}


@pytest.fixture
def shell(sandbox, tmp_path):
    """A customer whose ~/.config/originca/config is the page's."""
    shell = Shell(tmp_path)
    token, config = shell.home / "token", shell.home / ".config/originca/config"
    config.parent.mkdir(parents=True)
    token.write_text(sandbox["API_TOKEN"])
    config.write_text(recipe("### originca", {"https://ca.example/client/v4": sandbox["API_URL"],
                                              "/etc/ssl/originca.pem": sandbox["CA_BUNDLE"],
                                              "/etc/originca/token": token}))
    for each in (token, config):
        each.chmod(0o600)
    return shell


def bash(shell, line):
    return shell.run("-c", line, program="bash", PATH=f"{shell.program.parent}:{os.environ['PATH']}").out


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("program", SERVERS)
def test_an_origin_serves_what_originca_obtains_and_changes_over_when_it_renews(sandbox, services, shell, program,
                                                                               kind):
    name, port = sandbox.name(), free_port_base(1)
    server = SERVERS[program](services)
    folder = f"/etc/{program.lower()}/tls"
    getcert = recipe(f"### Origin: {program}", {"www.shop.test": name, folder: services.directory,
                                                f"systemctl reload {program.lower()}": server.reload})
    bash(shell, getcert.strip() + (" --key-type rsa" if kind == "rsa2048" else ""))
    server.add(server.origin(name, port))
    bash(shell, server.reload)
    leaf = services.wait_leaf(name, port)
    known, issuer = shell.known(name), sandbox["ISSUER_RSA" if kind == "rsa2048" else "ISSUER_ECC"]
    pem = Path(known["certificate_out"]).read_text()
    assert verify_certificate(pem, known["key_out"], [name], issuer, kind=kind) == leaf

    bash(shell, f"originca revoke --yes {leaf.serial_number}")
    assert "renewed" in bash(shell, "originca renew --all")
    services.wait_leaf(name, port, instead_of=leaf)


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"origin")

    def log_message(self, *_):
        pass


class Origin(ThreadingHTTPServer):
    """A page behind a certificate, on a port of its own."""

    def __init__(self, certificate, key):
        super().__init__(("127.0.0.1", 0), Page)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_):
        pass  # an edge that refuses the certificate breaks the handshake off

    def stop(self):
        self.shutdown()
        self.server_close()


@pytest.fixture
def origins(sandbox, client, tmp_path):
    """A name; {what is wrong with its origin: the origin}."""
    name, files = sandbox.name(), {}
    for which, issued in (("nothing", name), ("name", sandbox.name())):
        key, chain, _ = client.issue([issued])
        files[which] = tmp_path / f"{which}.pem", tmp_path / f"{which}.key"
        files[which][0].write_text(chain)
        files[which][1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files["issuer"] = tmp_path / "issuer.pem", tmp_path / "issuer.key"
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/", "-addext",
         f"subjectAltName=DNS:{name}", "-out", files["issuer"][0], "-keyout", files["issuer"][1]])
    origins = {which: Origin(*pair) for which, pair in files.items()}
    yield name, origins
    for origin in origins.values():
        origin.stop()


def status_at(port, name):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": name})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert reply.read() == b"origin"
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@pytest.mark.parametrize("program, refused", [("nginx", 502), ("HAProxy", 503)])
def test_an_edge_lets_only_good_origins_through(services, shell, origins, program, refused):
    name, origins = origins
    ports = dict(zip(origins, range(free_port_base(3), 65536)))
    server = SERVERS[program](services)
    for which, origin in origins.items():
        server.add(server.edge(name, ports[which], origin.server_port))
    bash(shell, server.reload)
    assert wait_until(lambda: status_at(ports["nothing"], name) == 200, 10), services.log(program.lower())
    assert status_at(ports["name"], name) == refused
    assert status_at(ports["issuer"], name) == refused

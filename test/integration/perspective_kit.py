"""What the tests of perspectives share: certificates, originca-perspective over a farm, the asking side, peers of a test."""

import json
import os
import queue
import secrets
import signal
import socket
import ssl
import struct
import subprocess
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dns_farm import ASKED, EDGE, Farm, World
from under_test import SANITIZER_MARKS, free_port_base

OURS = ["ns1.provider.test", "ns2.provider.test"]
DEADLINE_MS, ANSWER_MS = 6000, 1500  # of the check; of a perspective's answer
WAIT = 30  # bound of every wait of a test


# Certificates


class Authority:
    def __init__(self, directory, name):
        self.directory, self.name = directory, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.subject, self.key, [(x509.BasicConstraints(True, None), True)])
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, key, extensions, days=1):
        now = datetime.now(timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - timedelta(days=2)).not_valid_after(now + timedelta(days=days)))
        for extension, is_critical in extensions:
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, label, name, purpose, days=1):
        """(certificate file, key file)"""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, [(x509.SubjectAlternativeName([x509.DNSName(name)]), False),
                                                (x509.ExtendedKeyUsage([purpose]), False)], days)
        files = self.directory / f"{label}.crt", self.directory / f"{label}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        return files


class Files:
    """A CA that both sides trust, one they do not, and certificates of both."""

    def __init__(self, directory):
        self.directory = directory
        server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
        self.authority, self.stranger = Authority(directory, "ca"), Authority(directory, "stranger")
        self.ca = self.authority.path
        self.server = self.authority.issue("server", "localhost", server)
        self.client = self.authority.issue("client", "ca.provider.test", client)
        self.other_name = self.authority.issue("other-name", "elsewhere.test", server)
        self.strange_server = self.stranger.issue("strange-server", "localhost", server)
        self.expired_server = self.authority.issue("expired-server", "localhost", server, days=-1)
        self.strange_client = self.stranger.issue("strange-client", "ca.provider.test", client)
        self.expired_client = self.authority.issue("expired-client", "ca.provider.test", client, days=-1)
        self.other_client = self.authority.issue("other-client", "other.provider.test", client)
        (directory / "hints").write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.0.1\n")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def farms():
    """Four places of the network; a test gives each its world."""
    farms = [Farm() for _ in range(4)]
    yield farms
    for farm in farms:
        farm.close()


@pytest.fixture
def places(farms):
    for farm in farms:
        farm.world = World()
    return farms


# Processes


def build():
    return Path(os.environ["ORIGINCA_BUILD"])


class Lines:
    """The lines of a stream as they come; reading has a bound."""

    def __init__(self, stream):
        self.lines, self.seen = queue.Queue(), []
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            self.seen.append(line)
            self.lines.put(line)
        self.lines.put(None)

    def next(self):
        line = self.lines.get(timeout=WAIT)
        assert line is not None, "ended: " + "".join(self.seen)[-3000:]
        return line

    def until(self, words, count=1):
        while count > 0:
            line = self.next()
            count -= words in line
        return line


class Perspective:
    """An originca-perspective that looks at a farm."""

    def __init__(self, files, farm, *options, address=None, identity=None):
        self.files, self.farm, self.options = files, farm, options
        self.port = free_port_base(1)
        self.address = address or f"127.0.0.1:{self.port}"
        self.identity = identity or files.server
        self.process = None
        self.start()

    @property
    def entry(self):
        return self.address if self.address.startswith("unix:") else f"tls://localhost:{self.port}"

    def start(self):
        command = [build() / "perspective" / "originca-perspective", "--listen", self.address, "--certificate-file",
                   self.identity[0], "--key-file", self.identity[1], "--client-ca-file", self.files.ca,
                   "--root-hints-file", self.files.directory / "hints", "--dns-port", self.farm.port,
                   "--allow-addresses", "127.0.0.0/8", "--allow-addresses", "::1/128",
                   *self.options]
        if "--query-timeout-ms" not in self.options:
            command += ["--query-timeout-ms", 200]
        self.process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
        self.log = Lines(self.process.stderr)
        self.log.until("listening")

    def stop(self, number=signal.SIGTERM):
        """The exit status; what it wrote must be free of sanitizers' findings."""
        self.process.send_signal(number)
        status = self.process.wait(WAIT)
        self.log.thread.join(WAIT)
        text = "".join(self.log.seen)
        assert not any(mark in text for mark in SANITIZER_MARKS), text[-6000:]
        return status


class Client:
    """The asking side, over a farm of its own."""

    def __init__(self, files, farm, entries, identity=None, ca=None, **settings):
        self.path = files.directory / f"client-{secrets.token_hex(4)}.conf"
        identity = identity or files.client
        settings = {"dns_port": farm.port, "dns_deadline_ms": DEADLINE_MS, "dns_query_timeout_ms": 200,
                    "perspective_timeout_ms": ANSWER_MS, "perspective_ca_file": ca or files.ca,
                    "perspective_certificate_file": identity[0], "perspective_key_file": identity[1],
                    "caa_mode": "off", "root_hints_file": files.directory / "hints", **settings}
        lines = "\n".join(f'  {name} = "{value}"' for name, value in settings.items())
        views = ", ".join(f'"{each}"' for each in ["local", *entries])
        self.path.write_text(f"""
server {{ base_url = "https://ca.test"
  tls_certificate_file = "{files.server[0]}"
  tls_key_file = "{files.server[1]}" }}
redis {{ redis_socket = "/nowhere" }}
dns {{ name_server_pool = {{"ns1.provider.test", "ns2.provider.test"}}
  edge_prefixes = {{{", ".join(f'"{each}"' for each in EDGE)}}}
  allow_addresses = {{{", ".join(f'"{each}"' for each in ASKED)}}}
  perspectives = {{{views}}}
{lines} }}
signer {{ issuer ecc {{ key_uri = "pkcs11:token=t;object=ecc"  certificate_file = "none" }} }}
""")
        self.process = None

    def __enter__(self):
        program = build() / "test" / "perspective" / "perspective-client"
        self.process = subprocess.Popen([str(program), str(self.path)], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.answers, self.log = Lines(self.process.stdout), Lines(self.process.stderr)
        return self

    def __exit__(self, kind, *_):
        try:
            self.process.stdin.close()
            status = self.process.wait(WAIT)
        finally:
            self.process.kill()
        self.log.thread.join(WAIT)
        text = "".join(self.log.seen)
        if kind is None:
            assert status == 0 and not any(mark in text for mark in SANITIZER_MARKS), text[-6000:]

    def send(self, *names, **more):
        asked = {"zone": "shop.test", "name_servers": OURS, "names": list(names or ["www.shop.test"]), **more}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()

    def take(self):
        answer = json.loads(self.answers.next())
        assert answer["took_ms"] <= DEADLINE_MS + 1500, answer["took_ms"]
        return answer

    def check(self, *names, **more):
        self.send(*names, **more)
        return self.take()


def views(answer):
    """{name: (verdict, reason)}"""
    return {each["name"]: (each["verdict"], each["reason"]) for each in answer["evidence"]["perspectives"]}


def texts(answer):
    return {each["name"]: each.get("text", "") for each in answer["evidence"]["perspectives"]}


def finding(answer):
    names = answer["evidence"]["names"]
    return names[0]["verdict"], names[0]["reason"], names[0]["text"]


def gray(world):
    world.shop.remove("www.shop.test.", "A").add("www.shop.test. A 198.51.100.7")


def delegate_elsewhere(world):
    world.tld.remove("shop.test.", "NS").add("shop.test. NS ns1.foreign.test.")


@pytest.fixture
def perspectives(files, places):
    """A function that starts perspectives over farms; they are stopped at the end and must end well."""
    started = []

    def start(farm, *options, **more):
        started.append(Perspective(files, farm, *options, **more))
        return started[-1]

    yield start
    statuses = [each.stop() for each in started if each.process.poll() is None]
    assert statuses == [0] * len(statuses)


# Peers of a test


class Peer:
    """A TLS server with a good certificate that does with each connection what a test wants."""

    def __init__(self, files, behave, speaks_tls=True, path=None):
        self.behave, self.speaks_tls, self.connections = behave, speaks_tls, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*map(str, files.server))
        self.context.load_verify_locations(str(files.ca))
        self.context.verify_mode = ssl.CERT_REQUIRED
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(str(path))
            self.socket.listen()
        else:
            self.socket = socket.create_server(("127.0.0.1", 0))
        self.entry = f"unix:{path}" if path else f"tls://localhost:{self.socket.getsockname()[1]}"
        self.is_over = threading.Event()

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.socket.close()

    def _serve(self):
        while True:
            try:
                raw, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._run, args=(raw,), daemon=True).start()

    def _run(self, raw):
        raw.settimeout(WAIT)
        try:
            self.behave(self.context.wrap_socket(raw, server_side=True) if self.speaks_tls else raw, self)
        except OSError:
            pass
        finally:
            raw.close()


def read_frame(stream):
    def exactly(count):
        data = b""
        while len(data) < count:
            piece = stream.recv(count - len(data))
            if not piece:
                raise ConnectionError("ended")
            data += piece
        return data

    return json.loads(exactly(struct.unpack(">I", exactly(4))[0]))


def frame(document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return struct.pack(">I", len(body)) + body


def good_reply(asked, **changes):
    return {"version": 2, "id": asked["id"], "zones": [{"verdict": "ok", "reason": "delegated", "secure": False}],
            "names": [{"verdict": "ok", "reason": "proxied", "secure": False} for _ in asked["names"]], "queries": 1,
            "duration_ms": 1, **changes}


def replies(make):
    def behave(stream, peer):
        while True:
            stream.sendall(make(read_frame(stream)))

    return behave


# A recursive resolver


def resolver_farm(farm, answers):
    """Makes the farm's 127.66.0.20 a recursive resolver: answers by (name, type), everything else NXDOMAIN."""
    server = farm.world.server(20)
    server.flags = []

    def answer(query, wire, transport, _):
        question = query.question[0]
        server.flags.append((bool(query.flags & dns.flags.RD), transport, question.name.to_text()))
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        found = answers.get((question.name.to_text().lower().rstrip("."), dns.rdatatype.to_text(question.rdtype)))
        if found is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif isinstance(found, int):
            reply.set_rcode(found)
        else:
            owner = question.name
            for kind, *values in found:
                reply.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, *values))
                if kind == "CNAME":
                    owner = dns.name.from_text(values[0])
        return [reply.to_wire(max_size=65535)]

    server.hooks = [answer]
    return server, f"udp://127.66.0.20:{farm.port}"


GOOD = {("shop.test", "NS"): [("NS", "ns1.provider.test.", "ns2.provider.test.")],
        ("www.shop.test", "A"): [("A", "203.0.113.10")], ("www.shop.test", "AAAA"): []}

"""More than one view: real originca-perspective processes, each over a DNS world of its own, asked by the code that the
server runs (test/perspective/perspective_client.c). A farm is a view: an honest one, a lying one, as a test wants.

Nothing here may hang: every wait has a bound, and a peer that is silent, slow or talks nonsense counts as a no."""

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

import dns.message
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dns_farm import EDGE, Farm, World
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
        self.strange_client = self.stranger.issue("strange-client", "ca.provider.test", client)
        self.expired_client = self.authority.issue("expired-client", "ca.provider.test", client, days=-1)
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


# Agreement and disagreement


def test_all_views_agree_and_the_evidence_names_each(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    with Client(files, here, [remote.entry]) as client:
        answer = client.check()
        assert answer["verdict"] == "ok"
        assert views(answer) == {"local": ("ok", "proxied"), remote.entry: ("ok", "proxied")}
        assert all(each["ms"] >= 0 for each in answer["evidence"]["perspectives"])
    assert there.world.queries > 0, "the perspective has asked DNS itself"


def test_one_remote_that_sees_another_delegation_is_a_failed_quorum(files, places, perspectives):
    here, there, *_ = places
    delegate_elsewhere(there.world)
    remote = perspectives(there)
    with Client(files, here, [remote.entry]) as client:
        answer = client.check()
    verdict, reason, text = finding(answer)
    assert (answer["verdict"], verdict, reason) == ("failed", "failed", "quorum")
    assert remote.entry in text and "delegated-elsewhere" in text and "ns1.foreign.test" in text
    assert answer["evidence"]["zones"][0]["reason"] == "quorum"
    assert answer["evidence"]["verdict"] == "failed"
    assert views(answer)[remote.entry] == ("refused", "delegated-elsewhere")


@pytest.mark.parametrize("liars, disagreements, expected",
                         [(0, None, "ok"), (1, None, "ok"), (2, None, "failed"), (3, None, "failed"),
                          (1, 0, "failed"), (2, 2, "ok"), (3, 2, "failed")])
def test_quorum_of_three(files, places, perspectives, liars, disagreements, expected):
    """One of three may see something else by the rule; the setting changes the number."""
    here, *there = places
    for farm in there[:liars]:
        gray(farm.world)
    remotes = [perspectives(farm) for farm in there]
    more = {} if disagreements is None else {"perspective_disagreements": disagreements}
    with Client(files, here, [each.entry for each in remotes], **more) as client:
        answer = client.check()
    assert answer["verdict"] == expected
    seen = views(answer)
    assert [seen[each.entry] for each in remotes] == [("refused", "gray")] * liars + [("ok", "proxied")] * (3 - liars)
    about = [each.get("disagrees_about") for each in answer["evidence"]["perspectives"][1:]]
    assert about == [["www.shop.test"]] * liars + [None] * (3 - liars)


@pytest.mark.parametrize("liars, expected", [(2, "ok"), (3, "failed")])
def test_two_of_six_may_disagree(files, places, perspectives, liars, expected):
    here, honest, lying, _ = places
    gray(lying.world)
    remotes = [perspectives(lying if i < liars else honest) for i in range(6)]
    with Client(files, here, [each.entry for each in remotes]) as client:
        assert client.check()["verdict"] == expected


def test_the_primary_itself_must_agree(files, places, perspectives):
    """Others cannot outvote what is seen here; nobody waits for them, and the reason stays the primary's."""
    here, *there = places
    gray(here.world)
    remotes = [perspectives(farm) for farm in there]
    with Client(files, here, [each.entry for each in remotes]) as client:
        answer = client.check()
    assert finding(answer)[:2] == ("refused", "gray")
    assert views(answer)["local"] == ("refused", "gray")


def test_names_are_counted_one_by_one(files, places, perspectives):
    """Two perspectives that each miss another name: no name has more than one against it."""
    here, first, second, third = places
    for farm in places:
        farm.world.shop.add("api.shop.test. A 203.0.113.20")
    gray(first.world)
    second.world.shop.remove("api.shop.test.")
    with Client(files, here, [perspectives(farm).entry for farm in (first, second, third)]) as client:
        answer = client.check("www.shop.test", "api.shop.test")
        assert answer["verdict"] == "ok"
        third.world.shop.remove("api.shop.test.")
        answer = client.check("www.shop.test", "api.shop.test")
        assert answer["verdict"] == "failed"
        assert answer["names"] == [["ok", "proxied"], ["failed", "quorum"]]


def test_dns_01_is_asked_of_every_view(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    here.world.shop.add('_acme-challenge.www.shop.test. TXT "token"')
    with Client(files, here, [remote.entry]) as client:
        answer = client.check(txt="token")
        assert views(answer) == {"local": ("ok", "proven"), remote.entry: ("refused", "no-txt")}
        assert answer["verdict"] == "failed"
        there.world.shop.add('_acme-challenge.www.shop.test. TXT "token"')
        assert client.check(txt="token")["verdict"] == "ok"


def test_local_alone_is_the_plain_check(files, places):
    with Client(files, places[0], []) as client:
        answer = client.check()
        assert answer["verdict"] == "ok" and "perspectives" not in answer["evidence"]
        gray(places[0].world)
        assert client.check()["verdict"] == "refused"


def test_many_checks_at_once_get_their_own_answers(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    there.world.shop.add("odd.shop.test. A 198.51.100.7")
    here.world.shop.add("odd.shop.test. A 203.0.113.9")
    with Client(files, here, [remote.entry], perspective_timeout_ms=5000) as client:
        for i in range(40):
            client.send("odd.shop.test" if i % 2 else "www.shop.test", tag=str(i))
        verdicts = {answer["tag"]: answer["verdict"] for answer in (client.take() for _ in range(40))}
    assert verdicts == {str(i): "failed" if i % 2 else "ok" for i in range(40)}


def test_over_a_unix_socket_too(files, places, perspectives, tmp_path):
    here, there, *_ = places
    remote = perspectives(there, address=f"unix:{tmp_path}/p.sock")
    with Client(files, here, [remote.entry]) as client:
        assert views(client.check())[remote.entry] == ("ok", "proxied")


# Resolvers


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


@pytest.mark.parametrize("change, expected", [
    ({}, ("ok", "proxied")),
    ({("www.shop.test", "A"): [("CNAME", "edge.provider.test."), ("A", "203.0.113.9")]}, ("ok", "proxied")),
    ({("www.shop.test", "A"): [("A", "203.0.113.10", "198.51.100.1")]}, ("refused", "gray")),
    ({("www.shop.test", "AAAA"): [("AAAA", "2001:db8::1")]}, ("refused", "gray")),
    ({("www.shop.test", "AAAA"): [("AAAA", "::ffff:203.0.113.5")]}, ("ok", "proxied")),
    ({("www.shop.test", "A"): []}, ("refused", "no-address")),
    ({("www.shop.test", "A"): None, ("www.shop.test", "AAAA"): None}, ("refused", "does-not-exist")),
    ({("www.shop.test", "A"): 2}, ("failed", "servfail")),
    ({("www.shop.test", "A"): 5}, ("failed", "lookup-failed")),
    ({("shop.test", "NS"): [("NS", "ns1.foreign.test.")]}, ("refused", "delegated-elsewhere")),
    ({("shop.test", "NS"): [("NS", "ns1.provider.test.", "ns1.foreign.test.")]}, ("refused", "partly-delegated")),
    ({("shop.test", "NS"): []}, ("refused", "not-delegated")),
    ({("shop.test", "NS"): None}, ("refused", "does-not-exist")),
])
def test_a_resolver_is_a_view(files, places, change, expected):
    here, there, *_ = places
    server, entry = resolver_farm(there, {**GOOD, **change})
    with Client(files, here, [entry]) as client:
        answer = client.check()
    assert views(answer)[entry] == expected
    assert answer["verdict"] == ("ok" if expected[0] == "ok" else "failed")
    assert all(wants_recursion for wants_recursion, _, _ in server.flags), "RD is set"


def test_a_resolver_is_asked_for_txt_and_wildcards(files, places):
    here, there, *_ = places
    here.world.shop.add('_acme-challenge.shop.test. TXT "token"')
    answers = {**GOOD, ("shop.test", "A"): [("A", "203.0.113.10")], ("shop.test", "AAAA"): [],
               ("_acme-challenge.shop.test", "TXT"): [("TXT", '"other"')]}
    server, entry = resolver_farm(there, answers)
    with Client(files, here, [entry]) as client:
        assert views(client.check("*.shop.test"))[entry] == ("ok", "proxied")
        assert views(client.check("*.shop.test", txt="token"))[entry] == ("refused", "wrong-txt")
        answers["_acme-challenge.shop.test", "TXT"] = [("TXT", '"other"', '"to" "ken"')]
        assert client.check("*.shop.test", txt="token")["verdict"] == "ok"


def test_strangers_answers_are_not_the_resolvers(files, places):
    """Wrong ids, questions and letter case do not count; the query goes to TCP and gets the truth."""
    here, there, *_ = places
    server, entry = resolver_farm(there, GOOD)
    honest = server.hooks[0]

    def forge(query, wire, transport, _):
        true = honest(query, wire, transport, _)[0]
        if transport == "tcp":
            return [true]
        forged = dns.message.from_wire(true)
        for rrset in forged.answer:
            if rrset.rdtype == dns.rdatatype.A:
                rrset.clear()
                rrset.add(dns.rdata.from_text("IN", "A", "198.51.100.66"), 60)
        lie = forged.to_wire()
        other_id = struct.pack(">H", struct.unpack(">H", wire[:2])[0] ^ 1) + lie[2:]
        other_case = lie[:13] + lie[13:16].swapcase() + lie[16:]
        other_type = lie[:2] + lie[2:12] + b"\1x\0\0\1\0\1"
        return [other_id, other_case, other_type]

    server.hooks = [forge]
    with Client(files, here, [entry]) as client:
        assert client.check()["verdict"] == "ok"
    assert {transport for _, transport, _ in server.flags} == {"udp", "tcp"}


def test_truncated_answers_are_asked_for_over_tcp(files, places):
    here, there, *_ = places
    server, entry = resolver_farm(there, GOOD)
    honest = server.hooks[0]

    def cut(query, wire, transport, _):
        whole = honest(query, wire, transport, _)
        if transport == "tcp":
            return whole
        short = dns.message.make_response(query)
        short.flags |= dns.flags.TC
        return [short.to_wire()]

    server.hooks = [cut]
    with Client(files, here, [entry]) as client:
        assert client.check()["verdict"] == "ok"


def test_a_silent_resolver_is_a_disagreement_in_time(files, places):
    here, there, *_ = places
    server, entry = resolver_farm(there, GOOD)
    server.hooks = [lambda *_: []]
    with Client(files, here, [entry]) as client:
        answer = client.check()
    assert answer["verdict"] == "failed" and views(answer)[entry] == ("failed", "timeout")


# Mutual authentication


def test_a_client_without_our_certificate_is_refused(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    for identity in (files.strange_client, files.expired_client, files.server):  # the last has no client purpose
        with Client(files, here, [remote.entry], identity=identity) as client:
            answer = client.check()
            assert answer["verdict"] == "failed" and views(answer)[remote.entry] == ("failed", "no-answer")
    assert there.world.queries == 0, "it has not worked for a stranger"
    with Client(files, here, [remote.entry]) as client:
        assert client.check()["verdict"] == "ok"


def test_a_client_without_any_certificate_is_refused(files, places, perspectives):
    remote = perspectives(places[1])
    context = ssl.create_default_context(cafile=str(files.ca))
    with socket.create_connection(("127.0.0.1", remote.port), timeout=WAIT) as raw, pytest.raises(OSError):
        with context.wrap_socket(raw, server_hostname="localhost") as stream:  # TLS 1.3 refuses after the handshake
            stream.sendall(struct.pack(">I", 2) + b"{}")
            assert stream.recv(1) == b""
            raise ConnectionError("it was ended")
    assert places[1].world.queries == 0


def test_only_named_clients_are_welcome(files, places, perspectives):
    here, there, *_ = places
    welcome = perspectives(there, "--client-names", "other.test", "--client-names", "ca.provider.test")
    unwelcome = perspectives(there, "--client-names", "other.test")
    with Client(files, here, [welcome.entry]) as client:
        assert client.check()["verdict"] == "ok"
    with Client(files, here, [unwelcome.entry]) as client:
        assert client.check()["verdict"] == "failed"


@pytest.mark.parametrize("which", ["strange_server", "other_name", "client"])
def test_a_perspective_with_a_wrong_certificate_is_not_believed(files, places, perspectives, which):
    """Of another CA, for another name, without the server's purpose."""
    here, there, *_ = places
    remote = perspectives(there, identity=getattr(files, which))
    with Client(files, here, [remote.entry]) as client:
        answer = client.check()
    assert answer["verdict"] == "failed" and views(answer)[remote.entry] == ("failed", "no-answer")
    assert "certificate" in texts(answer)[remote.entry]
    assert there.world.queries == 0


def test_the_name_after_the_hash_is_what_the_certificate_must_be_for(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there, identity=files.other_name)
    with Client(files, here, [f"tls://127.0.0.1:{remote.port}#elsewhere.test"]) as client:
        assert client.check()["verdict"] == "ok"


# Peers that misbehave


class Peer:
    """A TLS server with a good certificate that does with each connection what a test wants."""

    def __init__(self, files, behave, speaks_tls=True):
        self.behave, self.speaks_tls, self.connections = behave, speaks_tls, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*map(str, files.server))
        self.context.load_verify_locations(str(files.ca))
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.entry = f"tls://localhost:{self.socket.getsockname()[1]}"
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
    return {"version": 1, "id": asked["id"], "zones": [{"verdict": "ok", "reason": "delegated", "secure": False}],
            "names": [{"verdict": "ok", "reason": "proxied", "secure": False} for _ in asked["names"]], "queries": 1,
            "duration_ms": 1, **changes}


def replies(make):
    def behave(stream, peer):
        while True:
            stream.sendall(make(read_frame(stream)))

    return behave


def silent(stream, peer):
    peer.is_over.wait(WAIT)


def reads_and_says_nothing(stream, peer):
    while True:
        read_frame(stream)


def drips(stream, peer):
    asked = read_frame(stream)
    for byte in frame(good_reply(asked)):
        stream.sendall(bytes([byte]))
        if peer.is_over.wait(0.05):
            return


def hangs_up(stream, peer):
    read_frame(stream)


NASTY = {
    "silent": silent,
    "reads-only": reads_and_says_nothing,
    "drips": drips,
    "hangs-up": hangs_up,
    "garbage": replies(lambda asked: frame(b"\x00\xff garbage")),
    "not-json": replies(lambda asked: frame(b'{"version":1,')),
    "array": replies(lambda asked: frame([])),
    "deep": replies(lambda asked: frame(b"[" * 100000)),
    "huge": replies(lambda asked: b"\xff\xff\xff\xff" + b"x" * 100),
    "empty": replies(lambda asked: b"\0\0\0\0"),
    "too-few": replies(lambda asked: frame(good_reply(asked, names=[]))),
    "too-many": replies(lambda asked: frame(good_reply(asked, names=[{"verdict": "ok", "reason": "x"}] * 2))),
    "other-id": replies(lambda asked: frame(good_reply(asked, id=asked["id"] + 1))),
    "unknown-verdict": replies(lambda asked: frame(good_reply(asked, zones=[{"verdict": "yes", "reason": "x"}]))),
    "version": replies(lambda asked: frame(good_reply(asked, version=2))),
    "busy": replies(lambda asked: frame({"version": 1, "id": asked["id"], "error": "busy", "text": "later"})),
    "zone-no-name-ok": replies(lambda asked: frame(good_reply(asked, zones=[{"verdict": "refused", "reason": "lame"}]))),
}


@pytest.mark.parametrize("kind", NASTY)
def test_a_nasty_peer_counts_as_a_disagreement_and_in_time(files, places, perspectives, kind):
    """Alone it fails the quorum; beside two honest ones it is the one that may."""
    here, there, *_ = places
    honest = [perspectives(there), perspectives(there)]
    with Peer(files, NASTY[kind]) as peer:
        with Client(files, here, [peer.entry]) as client:
            answer = client.check()
            assert finding(answer)[:2] == ("failed", "quorum")
            assert views(answer)[peer.entry][0] != "ok"
            assert peer.connections > 0
        with Client(files, here, [peer.entry, *(each.entry for each in honest)]) as client:
            for _ in range(3):
                assert client.check()["verdict"] == "ok"


def test_a_peer_that_never_finishes_the_handshake_is_bounded(files, places):
    with Peer(files, silent, speaks_tls=False) as peer, Client(files, places[0], [peer.entry]) as client:
        assert finding(client.check())[:2] == ("failed", "quorum")


def test_a_peer_that_speaks_no_tls_is_refused(files, places):
    def behave(raw, peer):
        raw.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        peer.is_over.wait(WAIT)

    with Peer(files, behave, speaks_tls=False) as peer, Client(files, places[0], [peer.entry]) as client:
        assert finding(client.check())[:2] == ("failed", "quorum")


def test_a_good_peer_of_the_test_is_believed(files, places):
    """The nasty ones fail for what they do, not for how the test speaks."""
    with Peer(files, replies(lambda asked: frame(good_reply(asked)))) as peer:
        with Client(files, places[0], [peer.entry]) as client:
            for _ in range(5):
                assert client.check()["verdict"] == "ok"
            assert peer.connections == 1, "the connection is kept"


def test_replies_may_come_in_any_order(files, places):
    held = []

    def behave(stream, peer):
        for _ in range(3):
            held.append(read_frame(stream))
        for asked in reversed(held):
            stream.sendall(frame(good_reply(asked)))
        peer.is_over.wait(WAIT)

    with Peer(files, behave) as peer, Client(files, places[0], [peer.entry], perspective_timeout_ms=5000) as client:
        for i in range(3):
            client.send(tag=str(i))
        assert {client.take()["verdict"] for _ in range(3)} == {"ok"}


def test_a_silent_peer_is_not_awaited_twice(files, places, perspectives):
    """Once it has cost a check its time, the others suffice at once. Both waits are the program's own: no stopwatch."""
    here, there, *_ = places
    honest = [perspectives(there), perspectives(there)]
    with Peer(files, reads_and_says_nothing) as peer:
        with Client(files, here, [peer.entry, *(each.entry for each in honest)]) as client:
            first, second = client.check(), client.check()
    assert texts(first)[peer.entry] == "timeout"
    assert "not awaited" in texts(second)[peer.entry] or "silent" in texts(second)[peer.entry]
    assert first["verdict"] == second["verdict"] == "ok"


def test_an_absent_perspective_fails_fast_and_is_found_when_it_comes(files, places, perspectives):
    here, there, *_ = places
    port = free_port_base(1)
    with Client(files, here, [f"tls://localhost:{port}"]) as client:
        answer = client.check()
        assert answer["verdict"] == "failed" and "refused" in texts(answer)[f"tls://localhost:{port}"]
        remote = perspectives(there, address=f"127.0.0.1:{port}")
        client.log.until("cannot be reached")
        remote.log.until("connected")
        assert client.check()["verdict"] == "ok"


def test_a_restarted_perspective_is_reconnected(files, places, perspectives):
    here, there, *_ = places
    remote = perspectives(there)
    with Client(files, here, [remote.entry]) as client:
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            assert client.check()["verdict"] == "ok"
            remote.stop(number)
            client.log.until("the connection to a perspective ended")
            remote.start()
            remote.log.until("connected")
            assert client.check()["verdict"] == "ok"


def test_a_check_that_is_under_way_is_answered_before_the_perspective_stops(files, places, perspectives):
    """SIGTERM while name servers keep it waiting: the answer still comes, then it ends by itself."""
    here, there, *_ = places
    is_asked, may_answer = threading.Event(), threading.Event()

    def hold(query, wire, transport, server):
        if is_asked.is_set():
            return None
        is_asked.set()
        return held(server.resolve(query).to_wire())

    def held(answer):
        while not may_answer.is_set():
            yield 0.02
        yield answer

    there.world.hook(hold, 1)
    remote = perspectives(there, "--query-timeout-ms", 5000)
    with Client(files, here, [remote.entry], perspective_timeout_ms=5000) as client:
        client.send()
        assert is_asked.wait(WAIT)
        remote.process.send_signal(signal.SIGTERM)
        remote.log.until("stopping")
        may_answer.set()
        assert client.take()["verdict"] == "ok"
        assert remote.process.wait(WAIT) == 0
    remote.log.thread.join(WAIT)
    assert not any("drain time is over" in line for line in remote.log.seen)


# The program itself


def connect(files, remote, identity=None):
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(*map(str, identity or files.client))
    raw = socket.create_connection(("127.0.0.1", remote.port), timeout=WAIT)
    return context.wrap_socket(raw, server_hostname="localhost")


def ask(**changes):
    return {"version": 1, "id": 5, "deadline_ms": 2000, "caa_mode": "off", "caa_identities": [],
            "edge_prefixes": EDGE, "zones": [{"name": "shop.test", "name_servers": OURS}],
            "names": [{"name": "www.shop.test", "zone": 0}], **changes}


def test_the_wire_format_is_what_the_document_says(files, places, perspectives):
    remote = perspectives(places[1])
    with connect(files, remote) as stream:
        stream.sendall(frame(ask()))
        answer = read_frame(stream)
        assert answer["id"] == 5 and answer["version"] == 1
        assert answer["zones"] == [{"verdict": "ok", "reason": "delegated", "secure": False}]
        assert answer["names"] == [{"verdict": "ok", "reason": "proxied", "secure": False}]
        stream.sendall(frame(ask(id=6, edge_prefixes=["198.51.100.0/24"])))
        answer = read_frame(stream)
        assert answer["names"][0]["reason"] == "gray" and "203.0.113.10" in answer["names"][0]["text"]


def test_a_wrong_request_is_told_so_and_the_connection_stays(files, places, perspectives):
    remote = perspectives(places[1])
    with connect(files, remote) as stream:
        stream.sendall(frame(ask(names=[{"name": "www.other.test", "zone": 0}])))
        assert read_frame(stream)["error"] == "invalid"
        stream.sendall(frame(ask(id=8)))
        assert read_frame(stream)["id"] == 8


@pytest.mark.parametrize("bytes_sent", [b"\xff\xff\xff\xff", b"\0\0\0\0", frame(b"no json"), frame({}),
                                        struct.pack(">I", 70000) + b"[" * 70000], ids=range(5))
def test_what_is_no_request_ends_the_connection(files, places, perspectives, bytes_sent):
    remote = perspectives(places[1])
    with connect(files, remote) as stream:
        stream.sendall(bytes_sent)
        try:
            assert stream.recv(100) == b""
        except ConnectionError:
            pass
    with connect(files, remote) as stream:
        stream.sendall(frame(ask()))
        assert read_frame(stream)["names"][0]["verdict"] == "ok"


def test_slow_clients_are_cut_off(files, places, perspectives):
    """A handshake that is never finished, a frame that is never whole, a connection without requests."""
    remote = perspectives(places[1], "--handshake-timeout-ms", 300, "--frame-timeout-ms", 300, "--idle-timeout-ms", 900)
    with socket.create_connection(("127.0.0.1", remote.port), timeout=WAIT) as raw:
        assert raw.recv(100) == b""
    remote.log.until("TLS handshake in time")
    with connect(files, remote) as stream:
        stream.sendall(frame(ask())[:50])
        try:
            assert stream.recv(100) == b""
        except ConnectionError:
            pass
    remote.log.until("did not come whole in time")
    with connect(files, remote) as stream:
        try:
            assert stream.recv(100) == b""
        except ConnectionError:
            pass
    remote.log.until("reason=idle")


def test_strangers_cannot_take_all_places(files, places, perspectives):
    """Connections without a certificate make room for a client that has one."""
    remote = perspectives(places[1], "--max-connections", 3, "--handshake-timeout-ms", 20000)
    idlers = [socket.create_connection(("127.0.0.1", remote.port), timeout=WAIT) for _ in range(10)]
    with connect(files, remote) as stream:
        stream.sendall(frame(ask()))
        assert read_frame(stream)["names"][0]["verdict"] == "ok"
    for each in idlers:
        each.close()


def test_more_checks_than_allowed_are_answered_busy(files, places, perspectives):
    there = places[1]
    there.world.hook(lambda *_: [], 1)  # the root is silent: checks stay under way
    remote = perspectives(there, "--max-checks", 2)
    with connect(files, remote) as stream:
        for number in (1, 2, 3):
            stream.sendall(frame(ask(id=number, deadline_ms=1500)))
        answers = [read_frame(stream) for _ in range(3)]
    assert (answers[0]["id"], answers[0]["error"]) == (3, "busy")
    assert {each["id"]: each["zones"][0]["verdict"] for each in answers[1:]} == {1: "failed", 2: "failed"}


def test_new_certificates_are_taken_on_hangup(files, places, perspectives, tmp_path):
    identity = tmp_path / "p.crt", tmp_path / "p.key"
    for source, target in zip(files.other_name, identity):
        target.write_bytes(source.read_bytes())
    remote = perspectives(places[1], identity=identity)
    with Client(files, places[0], [remote.entry]) as client:
        assert client.check()["verdict"] == "failed"
        for source, target in zip(files.server, identity):
            target.write_bytes(source.read_bytes())
        remote.process.send_signal(signal.SIGHUP)
        remote.log.until("certificates read again")
        remote.log.until("connected")
        assert client.check()["verdict"] == "ok"


def run_perspective(*options):
    command = [build() / "perspective" / "originca-perspective", *options]
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=WAIT)


def test_settings_come_from_the_file_and_the_command_line_wins(files, tmp_path):
    path = tmp_path / "perspective.conf"
    path.write_text(f"""listen = {{"127.0.0.1:{free_port_base(1)}"}}
certificate_file = "{files.server[0]}"
key_file = "{files.server[1]}"
client_ca_file = "{files.ca}"
root_hints_file = "{files.directory / 'hints'}"
max_checks = 0
""")
    result = run_perspective("-c", path, "--check-config")
    assert result.returncode == 2 and "max_checks" in result.stderr
    assert run_perspective("-c", path, "--max-checks", 7, "--check-config").returncode == 0


@pytest.mark.parametrize("options, said", [
    ([], "listen: is required"), (["--listen", "nowhere"], "listen"), (["--bogus", "1"], "bogus"),
    (["--dns-port", "70000"], "dns_port"), (["--dns-port", "1", "--dns-port", "2"], "twice"),
    (["-c", "/nowhere.conf"], "cannot read"), (["extra"], "extra")])
def test_wrong_options_are_told(options, said):
    result = run_perspective(*options)
    assert result.returncode == 2 and said in result.stderr


def test_every_option_is_in_the_manual():
    text = (Path(__file__).resolve().parents[2] / "doc" / "man" / "originca-perspective.8").read_text()
    options = [line.split()[0][2:] for line in run_perspective("--help").stdout.splitlines()
               if line.startswith("      --")]
    assert len(options) > 20
    assert [each for each in options if each.rstrip(",") not in text] == []

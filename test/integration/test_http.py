"""HTTP/1.1 and TLS as bytes on sockets: what a client may send, what it must not, and what becomes of those who do not
stop. Nothing here uses an HTTP library, so every byte is the test's own.

The three listeners share one layer; a table that is about the layer runs against each of them. Deadlines are proven by
configuration: the module's sandbox has all of them ten minutes away, and a test brings one of them near."""

import contextlib
import fcntl
import os
import random
import re
import resource
import secrets
import select
import signal
import socket
import ssl
import struct
import subprocess
import termios
import threading
import time
from collections import namedtuple
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from acme_raw import b64, compact, make_csr, make_eab, make_jws, make_key
from under_test import wait_until

SETTINGS = ("server.retire_idle_seconds=0", "http.handshake_timeout_ms=600000", "http.request_timeout_ms=600000",
            "http.idle_timeout_ms=600000", "http.write_timeout_ms=600000", "redis.redis_command_timeout_ms=30000")
SANDBOX_OPTIONS = tuple(option for setting in SETTINGS for option in ("--set", setting))
WAIT = 20  # seconds until a test gives up
HEADER_LIMIT, BODY_LIMIT = 16384, 65536
LISTENERS = ("https", "http", "admin")
GET = {"https": "/acme/directory", "http": "/issuer/ecc.pem", "admin": "/healthz"}
POST = {"https": "/acme/new-account", "http": "/issuer/ecc.pem", "admin": "/admin/v1/customers"}

Reply = namedtuple("Reply", "status fields body")


# Sockets


def tls_context(sandbox, version=None, ciphers=None):
    context = ssl.create_default_context(cafile=sandbox["CA_BUNDLE"])
    # An end without close_notify is an error here: it could be anybody's cut.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def plain_socket(sandbox, listener="https", source=None, receive_buffer=None):
    """A connection on which nothing was sent yet."""
    is_unix = listener == "admin"
    connection = socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET)
    connection.settimeout(WAIT)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if is_unix:
        connection.connect(sandbox["ADMIN_SOCKET"])
        return connection
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if source is not None:
        connection.bind((source, 0))
    connection.connect(("127.0.0.1", sandbox.port_base + (listener == "http")))
    return connection


class Wire:
    """A connection with what came on it and was not looked at yet."""

    def __init__(self, sandbox, listener="https", context=None, session=None, **options):
        self.listener, self.buffer = listener, b""
        self.connection = plain_socket(sandbox, listener, **options)
        if listener == "https":
            context = context or tls_context(sandbox)
            self.connection = context.wrap_socket(self.connection, server_hostname="localhost", session=session,
                                                  suppress_ragged_eofs=False)

    def send(self, data):
        self.connection.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def drip(self, data):
        """Each byte in a segment of its own, until all is sent or the server has said something."""
        data = data.encode("latin-1") if isinstance(data, str) else data
        for at in range(len(data)):
            if self.has_news(0):
                return
            self.send(data[at:at + 1])

    def has_news(self, seconds):
        """Has the server said something, or ended the connection? A TLS ticket is no news."""
        is_inside = self.listener == "https" and self.connection.pending()
        if self.buffer or not (is_inside or select.select([self.connection], [], [], seconds)[0]):
            return bool(self.buffer)
        limit = self.connection.gettimeout()
        self.connection.setblocking(False)
        try:
            self._more()
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            pass  # who reads on meets it again
        finally:
            self.connection.settimeout(limit)
        return True

    def _more(self):
        piece = self.connection.recv(65536)
        self.buffer += piece
        return bool(piece)

    def reply(self, is_head=False):
        """The next reply, interim ones too; its body has exactly the announced length."""
        while b"\r\n\r\n" not in self.buffer:
            assert self._more(), f"the connection ended in {self.buffer!r}"
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]+", first)
        assert match, first
        pairs = [line.split(": ", 1) for line in lines]
        fields = {name.lower(): value for name, value in pairs}
        assert len(fields) == len(pairs), lines
        status = int(match[1])
        length = 0 if is_head or status < 200 or status == 204 else int(fields["content-length"])
        while len(self.buffer) < length:
            assert self._more(), f"the body ended after {len(self.buffer)} of {length}"
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Reply(status, fields, body)

    def ask(self, data, is_head=False):
        self.send(data)
        return self.reply(is_head)

    def end(self):
        """What comes until the server ends the connection in good order."""
        while self._more():
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def close(self):
        self.connection.close()

    def reset(self):
        """Ends it with an RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def request(method, target, *fields, body="", host="Host: localhost", version="HTTP/1.1"):
    lines = [f"{method} {target} {version}", *([host] if host else []), *fields]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def get(listener="https", *fields):
    return request("GET", GET[listener], *fields)


def post(listener, body, *fields):
    """A POST of a body with its length, of the type that the listener's service wants."""
    kind = "application/jose+json" if listener == "https" else "application/json"
    return request("POST", POST[listener], f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields, body=body)


def chunked(listener, body, *fields, target=None):
    kind = "application/jose+json" if listener == "https" else "application/json"
    return request("POST", target or POST[listener], f"Content-Type: {kind}", "Transfer-Encoding: chunked", *fields,
                   body=body)


def new_customer():
    """A name and the JSON of a call that makes it: the admin API answers with the name, so the body was understood."""
    name = f"http-{secrets.token_hex(4)}"
    return name, f'{{"name":"{name}"}}'


def must_serve(sandbox, listener="https", **options):
    """A client that does nothing wrong is served on a new connection."""
    with Wire(sandbox, listener, **options) as wire:
        assert wire.ask(get(listener)).status == 200


def is_ended(connection):
    """Has the server ended this plain connection (or will it within the waiting time), in whatever way?"""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


# Configuration


def hup(sandbox, workers):
    """Reloads; back when the new workers serve and the former ones have gone, and the signer is there whose settings tell of so many."""
    former, signer = set(sandbox.workers()), sandbox.signer()
    before = len(sandbox.log_text())
    os.kill(sandbox.supervisor, signal.SIGHUP)
    assert wait_until(lambda: re.search("reload (complete|refused)", sandbox.log_text()[before:]), 30)
    assert "reload complete" in sandbox.log_text()[before:], sandbox.log_text()[before:]
    assert wait_until(lambda: len(sandbox.workers()) == workers and not former & set(sandbox.workers()), 30)
    if len(former) != workers:
        assert wait_until(lambda: sandbox.signer() not in (None, signer) and sandbox.admin.readiness()[0], 30)


@contextlib.contextmanager
def configured(sandbox, workers=1, **http):
    """The sandbox with other limits and so many workers; as it was before in the end. One worker, so that who harms a
    worker and who is served beside it share it."""
    path = Path(sandbox["CONFIG"])
    good = path.read_text()
    text = re.sub(r"workers = \d+", f"workers = {workers}", good)
    for key, value in http.items():
        text = re.sub(rf"\n    {key} = .*", "", text)
        text = re.sub(r"^http \{$", f"http {{\n    {key} = {value}", text, count=1, flags=re.MULTILINE)
    path.write_text(text)
    try:
        hup(sandbox, workers)
        pids = sandbox.workers()
        yield sandbox
        assert sandbox.workers() == pids, "a worker has died"
    finally:
        path.write_text(good)
        hup(sandbox, 2)


@pytest.fixture(scope="module", autouse=True)
def no_worker_dies(sandbox):
    """A worker that dies is replaced so quickly that most tests would not notice."""
    assert wait_until(lambda: len(sandbox.workers()) == 2, WAIT)
    before = sandbox.workers()
    yield
    assert sandbox.workers() == before


# TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(sandbox, version):
    with Wire(sandbox, context=tls_context(sandbox, version)) as wire:
        assert wire.connection.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        assert wire.ask(get()).status == 200


@pytest.mark.filterwarnings("ignore:.*TLSv1.*:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_before_1_2_is_refused_with_an_alert(sandbox, version):
    context = tls_context(sandbox, version, "ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError) as caught:
        Wire(sandbox, context=context).close()
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION", caught.value


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                                    "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_tls_1_2_speaks_ciphers_with_forward_secrecy_and_aead(sandbox, cipher):
    with Wire(sandbox, context=tls_context(sandbox, ssl.TLSVersion.TLSv1_2, cipher)) as wire:
        assert wire.connection.cipher()[0] == cipher
        assert wire.ask(get()).status == 200


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "AES128-SHA", "ECDHE-ECDSA-AES128-SHA",
                                    "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA256"])
def test_tls_1_2_refuses_ciphers_without_forward_secrecy_or_aead(sandbox, cipher):
    with pytest.raises(ssl.SSLError) as caught:
        Wire(sandbox, context=tls_context(sandbox, ssl.TLSVersion.TLSv1_2, f"{cipher}:@SECLEVEL=0")).close()
    assert "HANDSHAKE_FAILURE" in caught.value.reason or "INSUFFICIENT_SECURITY" in caught.value.reason, caught.value


def test_the_server_certificate_is_ecdsa_and_alpn_chooses_http_1_1(sandbox):
    context = tls_context(sandbox)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Wire(sandbox, context=context) as wire:
        assert wire.connection.selected_alpn_protocol() == "http/1.1"
        certificate = x509.load_der_x509_certificate(wire.connection.getpeercert(binary_form=True))
        assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
        assert wire.ask(get()).status == 200


def test_a_renegotiation_is_refused_by_ending_the_connection(sandbox):
    """"R" makes s_client ask for one."""
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{sandbox.port_base}", "-tls1_2",
                               "-CAfile", sandbox["CA_BUNDLE"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, bufsize=0)
    output = ""
    try:
        while "Verify return code: 0 (ok)" not in output:
            piece = client.stdout.read(4096).decode(errors="replace")
            assert piece, output
            output += piece
        client.stdin.write(b"R\n")
        rest = client.communicate(timeout=WAIT)[0].decode(errors="replace")
    finally:
        client.kill()
        client.wait()
    after = rest.partition("RENEGOTIATING")[2]
    assert "unexpected eof" in after and "verify return" not in after, rest
    must_serve(sandbox)


def session_of(sandbox, context):
    """A session to resume; with TLS 1.3 its ticket comes with the first reply."""
    with Wire(sandbox, context=context) as wire:
        assert wire.ask(get()).status == 200
        assert not wire.connection.session_reused
        assert wire.connection.session.has_ticket
        return wire.connection.session


def resumed_wires(sandbox, context, session, count=24):
    """Open connections that all resumed the session. So many that both workers have some."""
    wires = [Wire(sandbox, context=context, session=session) for _ in range(count)]
    for wire in wires:
        assert wire.connection.session_reused
        assert wire.ask(get()).status == 200
    return wires


def close_all(wires):
    for wire in wires:
        wire.close()


tls_versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
                                       ids=["tls1.2", "tls1.3"])


@tls_versions
def test_a_ticket_resumes_with_every_worker_and_after_a_worker_s_death(own_sandbox, version):
    assert wait_until(lambda: len(own_sandbox.workers()) == 2, WAIT)
    context = tls_context(own_sandbox, version)
    session = session_of(own_sandbox, context)
    wires = resumed_wires(own_sandbox, context, session)
    victim = own_sandbox.workers()[0]
    own_sandbox.kill(victim)
    assert wait_until(lambda: len(own_sandbox.workers()) == 2 and victim not in own_sandbox.workers(), WAIT)
    alive, dead = 0, 0
    for wire in wires:
        try:
            alive += wire.ask(get()).status == 200
        except OSError:
            dead += 1
    assert alive and dead, "the connections were not spread over both workers, so nothing was proven"
    close_all(wires)
    close_all(resumed_wires(own_sandbox, context, session))


@tls_versions
def test_a_ticket_resumes_after_a_reload(own_sandbox, version):
    context = tls_context(own_sandbox, version)
    session = session_of(own_sandbox, context)
    hup(own_sandbox, 2)
    close_all(resumed_wires(own_sandbox, context, session, count=8))


@tls_versions
def test_a_ticket_of_another_secret_leads_to_a_full_handshake(sandbox, own_sandbox, version):
    context = tls_context(sandbox, version)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    session = session_of(own_sandbox, context)
    with Wire(sandbox, context=context, session=session) as wire:
        assert not wire.connection.session_reused
        assert wire.ask(get()).status == 200


def test_http_on_the_tls_port_is_cut(sandbox):
    connection = plain_socket(sandbox)
    connection.sendall(get().encode())
    assert is_ended(connection)


def test_tls_on_the_plain_port_is_no_request(sandbox):
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with Wire(sandbox, "http") as wire:
        assert wire.ask(outgoing.read()).status == 400
        assert wire.end() == b""


# What is refused. Each is sent with a good request behind it, in one piece: that one must not be answered, because
# whoever disagrees with us about the end of the first would see another beginning of the second.

BODY = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"  # where it is a request, it is one that answers
CL = f"Content-Length: {len(BODY)}"
TE = "Transfer-Encoding: chunked"
CHUNKS = "5\r\nhello\r\n0\r\n\r\n"


def bad_line(line):
    return f"{line}\r\nHost: localhost\r\n\r\n"


def bad_get(*fields, **options):
    return request("GET", "@get", *fields, **options)


def bad_post(*fields, body=BODY, **options):
    return request("POST", "@post", *fields, body=body, **options)


def bad_chunks(body):
    return bad_post(TE, body=body)


REFUSED_LINES = {
    "http-0.9": ("GET @get\r\n\r\n", 400),
    "http-0.9-with-fields": (bad_line("GET @get"), 400),
    "http-1.2": (bad_line("GET @get HTTP/1.2"), 505),
    "http-2.0": (bad_line("GET @get HTTP/2.0"), 505),
    "http-2-preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "http-1.10": (bad_line("GET @get HTTP/1.10"), 400),
    "http-1": (bad_line("GET @get HTTP/1"), 400),
    "http-01.1": (bad_line("GET @get HTTP/01.1"), 400),
    "version-in-lower-case": (bad_line("GET @get http/1.1"), 505),
    "another-protocol": (bad_line("GET @get ICAP/1.1"), 505),
    "no-version-but-space": (bad_line("GET @get "), 400),
    "two-spaces-before-target": (bad_line("GET  @get HTTP/1.1"), 400),
    "two-spaces-before-version": (bad_line("GET @get  HTTP/1.1"), 400),
    "tab-before-target": (bad_line("GET\t@get HTTP/1.1"), 400),
    "tab-before-version": (bad_line("GET @get\tHTTP/1.1"), 400),
    "space-at-the-end": (bad_line("GET @get HTTP/1.1 "), 400),
    "space-before-the-method": (bad_line(" GET @get HTTP/1.1"), 400),
    "space-in-the-target": (bad_line("GET @get x HTTP/1.1"), 400),
    "three-empty-lines-first": ("\r\n\r\n\r\n" + bad_line("GET @get HTTP/1.1"), 400),
    "bare-lf-first": ("\n" + bad_line("GET @get HTTP/1.1"), 400),
    "bare-cr-first": ("\r" + bad_line("GET @get HTTP/1.1"), 400),
    "nul-first": ("\0" + bad_line("GET @get HTTP/1.1"), 400),
    "byte-order-mark": ("\xef\xbb\xbf" + bad_line("GET @get HTTP/1.1"), 400),
    "no-method": (bad_line("@get HTTP/1.1"), 400),
    "method-in-lower-case": (bad_line("get @get HTTP/1.1"), 400),
    "method-unknown": (bad_line("FETCH @get HTTP/1.1"), 400),
    "method-too-long": (bad_line("GETS @get HTTP/1.1"), 400),
    "method-no-token": (bad_line("G@T @get HTTP/1.1"), 400),
    "method-with-nul": (bad_line("GE\0T @get HTTP/1.1"), 400),
    "method-with-colon": (bad_line("GET: @get HTTP/1.1"), 400),
    "method-trace": (bad_line("TRACE @get HTTP/1.1"), 501),
    "method-options": (bad_line("OPTIONS @get HTTP/1.1"), 501),
    "method-propfind": (bad_line("PROPFIND @get HTTP/1.1"), 501),
    "method-connect": (bad_line("CONNECT localhost:443 HTTP/1.1"), 400),
    "method-connect-with-a-path": (bad_line("CONNECT @get HTTP/1.1"), 501),
    "absolute-form": (bad_line("GET http://localhost@get HTTP/1.1"), 400),
    "absolute-form-of-another-host": (bad_line("GET http://victim.test@get HTTP/1.1"), 400),
    "asterisk-form": (bad_line("GET * HTTP/1.1"), 400),
    "no-leading-slash": (bad_line("GET acme/directory HTTP/1.1"), 400),
    "query-alone": (bad_line("GET ?x=1 HTTP/1.1"), 400),
    "control-in-the-target": (bad_line("GET @get\x01 HTTP/1.1"), 400),
    "nul-in-the-target": (bad_line("GET @get\0 HTTP/1.1"), 400),
    "del-in-the-target": (bad_line("GET @get\x7f HTTP/1.1"), 400),
    "bare-cr-in-the-target": (bad_line("GET @get\rx HTTP/1.1"), 400),
    "bare-lf-in-the-target": (bad_line("GET @get\nx HTTP/1.1"), 400),
    "high-byte-in-the-target": (bad_line("GET @get\xff HTTP/1.1"), 400),
    "utf-8-in-the-target": (bad_line("GET @get\xc3\xa4 HTTP/1.1"), 400),
    "control-in-the-query": (bad_line("GET @get?\x02 HTTP/1.1"), 400),
}
REFUSED_PATHS = {name: (bad_line(f"GET {path} HTTP/1.1"), 400) for name, path in {
    "encoded-nul": "/acme/%00directory",
    "encoded-lf": "/acme/%0adirectory",
    "encoded-crlf": "/acme/directory%0d%0aX:%20y",
    "encoded-del": "/acme/%7f",
    "encoded-slash": "/acme%2fdirectory",
    "encoded-slash-in-upper-case": "/acme%2Fdirectory",
    "encoded-backslash": "/acme%5cdirectory",
    "encoded-dots": "/acme/%2e%2e/directory",
    "encoded-dot": "/acme/%2E/directory",
    "half-encoded": "/acme/%4",
    "lone-percent": "/acme/%",
    "no-hex": "/acme/%zz",
    "percent-sign-sign": "/acme/%+1",
    "overlong-unicode": "/acme/%u002e",
    "empty-segment": "//acme/directory",
    "empty-segment-inside": "/acme//directory",
    "dot-segment": "/acme/./directory",
    "dot-dot-segment": "/acme/../acme/directory",
    "dot-dot-at-the-end": "/acme/..",
    "dot-at-the-end": "/acme/.",
    "backslash": "/acme\\directory",
    "fragment": "/acme/directory#x",
}.items()}
REFUSED_FIELDS = {
    "space-before-colon": (bad_get("X-A : b"), 400),
    "tab-before-colon": (bad_get("X-A\t: b"), 400),
    "no-colon": (bad_get("X-A"), 400),
    "no-name": (bad_get(": b"), 400),
    "space-in-the-name": (bad_get("X A: b"), 400),
    "no-token-in-the-name": (bad_get("X(A): b"), 400),
    "high-byte-in-the-name": (bad_get("X\xe4: b"), 400),
    "nul-in-the-name": (bad_get("X\0A: b"), 400),
    "nul-in-the-value": (bad_get("X-A: b\0c"), 400),
    "control-in-the-value": (bad_get("X-A: b\x01c"), 400),
    "vertical-tab-in-the-value": (bad_get("X-A: b\x0bc"), 400),
    "del-in-the-value": (bad_get("X-A: b\x7fc"), 400),
    "bare-cr-in-the-value": (bad_get("X-A: b\rX-B: c"), 400),
    "bare-lf-in-the-value": (bad_get("X-A: b\nX-B: c"), 400),
    "cr-cr-lf": (bad_get("X-A: b\r"), 400),
    "lf-alone-ends-a-line": ("GET @get HTTP/1.1\nHost: localhost\r\n\r\n", 400),
    "lf-alone-ends-the-head": ("GET @get HTTP/1.1\r\nHost: localhost\r\n\n", 400),
    "lf-alone-everywhere": ("GET @get HTTP/1.1\nHost: localhost\n\n", 400),
    "lf-crlf-ends-the-head": ("GET @get HTTP/1.1\r\nHost: localhost\n\r\n", 400),
    "cr-alone-everywhere": ("GET @get HTTP/1.1\rHost: localhost\r\r", 400),
    "folded-field": (bad_get("X-A: b\r\n c"), 400),
    "folded-field-with-tab": (bad_get("X-A: b\r\n\tc"), 400),
    "folded-first-line": ("GET @get HTTP/1.1\r\n X-A: b\r\nHost: localhost\r\n\r\n", 400),
    "line-of-one-space": (bad_get(" "), 400),
    "no-host": (bad_get(host=None), 400),
    "no-host-but-http-1.0-in-a-value": (bad_get("X-A: b HTTP/1.0", host=None), 400),
    "two-hosts": (bad_get("Host: localhost"), 400),
    "two-other-hosts": (bad_get("host: victim.test"), 400),
    "host-with-space-before-colon": (bad_get(host="Host : localhost"), 400),
    "host-with-a-space": (bad_get(host="Host: local host"), 400),
    "host-with-a-path": (bad_get(host="Host: localhost/x"), 400),
    "host-with-a-user": (bad_get(host="Host: victim@localhost"), 400),
    "host-list": (bad_get(host="Host: localhost, victim.test"), 400),
    "host-with-high-byte": (bad_get(host="Host: l\xf6calhost"), 400),
    "expectation-unknown": (bad_post("Expect: 200-ok", CL), 417),
    "expectation-list": (bad_post("Expect: 100-continue, 200-ok", CL), 417),
}
REFUSED_FRAMING = {
    "length-and-chunked": (bad_post(CL, TE, body=CHUNKS), 400),
    "chunked-and-length": (bad_post(TE, CL, body=CHUNKS), 400),
    "chunked-and-length-0": (bad_post(TE, "Content-Length: 0", body=CHUNKS), 400),
    "length-twice": (bad_post(CL, CL), 400),
    "lengths-that-differ": (bad_post(CL, "Content-Length: 3"), 400),
    "lengths-that-differ-0-first": (bad_post("Content-Length: 0", CL), 400),
    "length-list": (bad_post(f"{CL}, {len(BODY)}"), 400),
    "length-with-plus": (bad_post("Content-Length: +3"), 400),
    "length-with-minus": (bad_post("Content-Length: -3"), 400),
    "length-minus-0": (bad_post("Content-Length: -0"), 400),
    "length-with-space-inside": (bad_post("Content-Length: 4 4"), 400),
    "length-in-hex": (bad_post("Content-Length: 0x2c"), 400),
    "length-with-letters": (bad_post("Content-Length: 44a"), 400),
    "length-with-fraction": (bad_post("Content-Length: 44.0"), 400),
    "length-with-exponent": (bad_post("Content-Length: 4e1"), 400),
    "length-with-underscore": (bad_post("Content-Length: 4_4"), 400),
    "length-empty": (bad_post("Content-Length:"), 400),
    "length-in-quotes": (bad_post('Content-Length: "44"'), 400),
    "length-beyond-64-bits": (bad_post("Content-Length: 18446744073709551660"), 400),
    "length-beyond-63-bits": (bad_post("Content-Length: 9223372036854775808"), 400),
    "length-with-space-before-colon": (bad_post(f"Content-Length : {len(BODY)}"), 400),
    "length-folded": (bad_post(f"Content-Length:\r\n {len(BODY)}"), 400),
    "length-with-high-space": (bad_post("Content-Length: \xa044"), 400),
    "length-too-large": (bad_post(f"Content-Length: {BODY_LIMIT + 1}"), 413),
    "coding-xchunked": (bad_post("Transfer-Encoding: xchunked", body=CHUNKS), 400),
    "coding-identity": (bad_post("Transfer-Encoding: identity"), 400),
    "coding-identity-and-length": (bad_post("Transfer-Encoding: identity", CL), 400),
    "coding-empty": (bad_post("Transfer-Encoding:", CL), 400),
    "coding-chunked-twice": (bad_post("Transfer-Encoding: chunked, chunked", body=CHUNKS), 400),
    "coding-two-fields": (bad_post(TE, TE, body=CHUNKS), 400),
    "coding-two-fields-identity": (bad_post("Transfer-Encoding: identity", TE, body=CHUNKS), 400),
    "coding-gzip-chunked": (bad_post("Transfer-Encoding: gzip, chunked", body=CHUNKS), 400),
    "coding-chunked-identity": (bad_post("Transfer-Encoding: chunked, identity", body=CHUNKS), 400),
    "coding-with-parameter": (bad_post("Transfer-Encoding: chunked;q=1", body=CHUNKS), 400),
    "coding-with-comma": (bad_post("Transfer-Encoding: ,chunked", body=CHUNKS), 400),
    "coding-in-quotes": (bad_post('Transfer-Encoding: "chunked"', body=CHUNKS), 400),
    "coding-with-vertical-tab": (bad_post("Transfer-Encoding: \x0bchunked", body=CHUNKS), 400),
    "coding-with-space-before-colon": (bad_post("Transfer-Encoding : chunked", body=CHUNKS), 400),
    "coding-folded": (bad_post("Transfer-Encoding:\r\n chunked", body=CHUNKS), 400),
    "coding-folded-behind": (bad_post("Transfer-Encoding: chunked\r\n , identity", body=CHUNKS), 400),
    "coding-in-http-1.0": (bad_post(TE, body=CHUNKS, version="HTTP/1.0"), 400),
}
REFUSED_CHUNKS = {
    "no-size": (bad_chunks("\r\nhello\r\n0\r\n\r\n"), 400),
    "size-no-hex": (bad_chunks("g\r\nhello\r\n0\r\n\r\n"), 400),
    "size-with-plus": (bad_chunks("+5\r\nhello\r\n0\r\n\r\n"), 400),
    "size-with-minus": (bad_chunks("-5\r\nhello\r\n0\r\n\r\n"), 400),
    "size-with-0x": (bad_chunks("0x5\r\nhello\r\n0\r\n\r\n"), 400),
    "size-with-leading-space": (bad_chunks(" 5\r\nhello\r\n0\r\n\r\n"), 400),
    "size-with-a-second-number": (bad_chunks("5 5\r\nhello\r\n0\r\n\r\n"), 400),
    "size-with-underscore": (bad_chunks("0_5\r\nhello\r\n0\r\n\r\n"), 400),
    "size-with-comma": (bad_chunks("5,5\r\nhello\r\n0\r\n\r\n"), 400),
    "size-wraps-at-64-bits": (bad_chunks("10000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    "size-beyond-64-bits": (bad_chunks("FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"), 400),
    "size-without-data": (bad_chunks("5\r\n0\r\n\r\n"), 400),
    "size-ends-with-lf": (bad_chunks("5\nhello\r\n0\r\n\r\n"), 400),
    "size-ends-with-cr": (bad_chunks("5\rhello\r\n0\r\n\r\n"), 400),
    "size-ends-with-cr-and-any-byte": (bad_chunks("5\rXhello\r\n0\r\n\r\n"), 400),
    "data-longer-than-its-size": (bad_chunks("3\r\nhello\r\n0\r\n\r\n"), 400),
    "data-ends-with-nothing": (bad_chunks("5\r\nhello0\r\n\r\n"), 400),
    "data-ends-with-two-other-bytes": (bad_chunks("5\r\nhelloXX0\r\n\r\n"), 400),
    "data-ends-with-lf": (bad_chunks("5\r\nhello\n0\r\n\r\n"), 400),
    "data-ends-with-cr": (bad_chunks("5\r\nhello\r0\r\n\r\n"), 400),
    "lf-in-an-extension": (bad_chunks("5;a\nhello\r\n0\r\n\r\n"), 400),
    "lf-in-an-extension-hides-a-chunk": (bad_chunks("0;a\n\r\n\r\n"), 400),
    "nul-in-an-extension": (bad_chunks("5;a\0b\r\nhello\r\n0\r\n\r\n"), 400),
    "control-in-an-extension": (bad_chunks("5;a\x01b\r\nhello\r\n0\r\n\r\n"), 400),
    "bare-cr-in-an-extension": (bad_chunks("5;a\rb\r\nhello\r\n0\r\n\r\n"), 400),
    "last-chunk-ends-with-lf": (bad_chunks("5\r\nhello\r\n0\n\r\n"), 400),
    "end-with-lf": (bad_chunks("5\r\nhello\r\n0\r\n\n"), 400),
    "end-with-cr-and-any-byte": (bad_chunks("5\r\nhello\r\n0\r\n\rX"), 400),
    "trailer-without-colon": (bad_chunks("0\r\nX-A\r\n\r\n"), 400),
    "trailer-with-space-before-colon": (bad_chunks("0\r\nX-A : b\r\n\r\n"), 400),
    "trailer-without-name": (bad_chunks("0\r\n: b\r\n\r\n"), 400),
    "trailer-with-lf": (bad_chunks("0\r\nX-A: b\n\r\n"), 400),
    "trailer-with-two-lf": (bad_chunks("0\r\nX-A: b\n\n"), 400),
    "trailer-with-bare-cr": (bad_chunks("0\r\nX-A: b\rc\r\n\r\n"), 400),
    "trailer-with-nul": (bad_chunks("0\r\nX-A: b\0c\r\n\r\n"), 400),
    "trailer-folded": (bad_chunks("0\r\nX-A: b\r\n c\r\n\r\n"), 400),
    "blank-behind-the-size": (bad_chunks("5 \r\nhello\r\n0\r\n\r\n"), 400),
}
REFUSED = {f"{kind}:{name}": case for kind, table in (
    ("line", REFUSED_LINES), ("path", REFUSED_PATHS), ("field", REFUSED_FIELDS), ("framing", REFUSED_FRAMING),
    ("chunk", REFUSED_CHUNKS)) for name, case in table.items()}


def refuses(sandbox, listener, name, is_dripped=False):
    text, status = REFUSED[name]
    text = text.replace("@get", GET[listener]).replace("@post", POST[listener]) + get(listener)
    with Wire(sandbox, listener) as wire:
        wire.drip(text) if is_dripped else wire.send(text)
        reply = wire.reply()
        assert reply.status == status, reply
        assert reply.fields.get("connection") == "close", reply
        assert wire.end() == b"", "the connection went on"


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_two_parsers_could_read_differently_is_refused_and_ends_the_connection(sandbox, listener, name):
    refuses(sandbox, listener, name)


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_is_refused_when_each_byte_comes_alone(sandbox, name):
    refuses(sandbox, "http", name, is_dripped=True)


# What is odd and right

GOOD_GETS = {
    "an-empty-line-first": "\r\n" + get("admin"),
    "no-space-after-the-colon": request("GET", "/healthz", host="Host:localhost"),
    "white-space-around-a-value": request("GET", "/healthz", host="Host: \t localhost \t "),
    "names-in-any-case": request("GET", "/healthz", host="hOsT: localhost"),
    "an-empty-value": get("admin", "X-A:"),
    "high-bytes-in-a-value": get("admin", "X-A: \xe4\xff"),
    "tab-in-a-value": get("admin", "X-A: b\tc"),
    "every-token-character-in-a-name": get("admin", "!#$%&'*+-.^_`|~09azAZ: b"),
    "64-fields": get("admin", *(f"X-{at}: b" for at in range(63))),
    "a-field-twice": get("admin", "X-A: b", "X-A: c"),
    "a-query": request("GET", "/healthz?a=b&c=%00%zz?//.."),
    "an-ip-address-as-host": request("GET", "/healthz", host="Host: 127.0.0.1:9400"),
    "an-ipv6-address-as-host": request("GET", "/healthz", host="Host: [2001:db8::1]:9400"),
    "an-empty-host": request("GET", "/healthz", host="Host:"),
    "no-body-by-length": get("admin", "Content-Length: 0"),
    "no-body-by-chunks": get("admin", TE) + "0\r\n\r\n",
    "a-body-with-get": get("admin", "Content-Length: 5") + "hello",
    "zeros-before-a-length": get("admin", "Content-Length: 00000000005") + "hello",
    "white-space-around-a-length": get("admin", "Content-Length:  5 ") + "hello",
    "an-upgrade-that-is-ignored": get("admin", "Connection: Upgrade", "Upgrade: websocket"),
    "an-upgrade-with-a-body": get("admin", "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5") + "hello",
    "http-1.0-in-a-value": get("admin", "Via: 1.0 proxy, HTTP/1.0", TE) + "0\r\n\r\n",
    "100-continue-without-a-body": get("admin", "Expect: 100-continue"),
}


@pytest.mark.parametrize("is_dripped", [False, True], ids=["at-once", "byte-by-byte"])
@pytest.mark.parametrize("name", GOOD_GETS)
def test_odd_but_right_requests_are_served_and_the_connection_goes_on(sandbox, name, is_dripped):
    with Wire(sandbox, "admin") as wire:
        for _ in range(2):
            wire.drip(GOOD_GETS[name]) if is_dripped else wire.send(GOOD_GETS[name])
            assert wire.reply().status == 200
        assert wire.ask(get("admin")).status == 200


def in_chunks(body, size):
    return "".join(f"{len(body[at:at + size]):x}\r\n{body[at:at + size]}\r\n" for at in range(0, len(body), size))


GOOD_CHUNKS = {
    "one-chunk": lambda body: f"{len(body):x}\r\n{body}\r\n0\r\n\r\n",
    "upper-case-size": lambda body: f"{len(body):X}\r\n{body}\r\n0\r\n\r\n",
    "zeros-before-the-size": lambda body: f"{len(body):08x}\r\n{body}\r\n000\r\n\r\n",
    "a-chunk-for-each-byte": lambda body: in_chunks(body, 1) + "0\r\n\r\n",
    "extensions": lambda body: f"{len(body):x};a;b=c\r\n{body}\r\n0;d=e\r\n\r\n",
    "quoted-extension": lambda body: f'{len(body):x};a="b; c"\r\n{body}\r\n0\r\n\r\n',
    "extension-with-spaces": lambda body: f"{len(body):x} ; a = b\r\n{body}\r\n0\r\n\r\n",
    "trailers": lambda body: f"{len(body):x}\r\n{body}\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\n",
    "trailer-of-a-length": lambda body: f"{len(body):x}\r\n{body}\r\n0\r\nContent-Length: 9\r\n\r\n",
    "trailer-of-a-coding": lambda body: f"{len(body):x}\r\n{body}\r\n0\r\nTransfer-Encoding: x\r\n\r\n",
    "trailer-that-would-close": lambda body: f"{len(body):x}\r\n{body}\r\n0\r\nConnection: close\r\n\r\n",
    "trailer-of-another-expectation": lambda body: f"{len(body):x}\r\n{body}\r\n0\r\nExpect: 200-ok\r\n\r\n",
    "trailer-with-empty-value": lambda body: f"{len(body):x}\r\n{body}\r\n0\r\nX-A:\r\n\r\n",
}


@pytest.mark.parametrize("is_dripped", [False, True], ids=["at-once", "byte-by-byte"])
@pytest.mark.parametrize("name", GOOD_CHUNKS)
def test_a_chunked_body_is_put_together(sandbox, name, is_dripped):
    customer, body = new_customer()
    text = chunked("admin", GOOD_CHUNKS[name](body))
    with Wire(sandbox, "admin") as wire:
        wire.drip(text) if is_dripped else wire.send(text)
        reply = wire.reply()
        assert reply.status in (200, 201) and customer.encode() in reply.body, reply
        assert wire.ask(get("admin")).status == 200, "the end of the chunks was not found"


@pytest.mark.parametrize("coding", ["Chunked", "CHUNKED", "\tchunked ", "  chunked"])
def test_the_coding_s_name_has_any_case_and_white_space_around(sandbox, coding):
    customer, body = new_customer()
    text = request("POST", POST["admin"], "Content-Type: application/json", f"Transfer-Encoding: {coding}",
                   body=GOOD_CHUNKS["one-chunk"](body))
    with Wire(sandbox, "admin") as wire:
        reply = wire.ask(text)
        assert reply.status in (200, 201) and customer.encode() in reply.body, reply


def signed_account(sandbox, client):
    """The text of a JWS that registers an account."""
    url = client.directory["newAccount"]
    payload = {"termsOfServiceAgreed": True,
               "externalAccountBinding": make_eab(client.key, url, sandbox["EAB_KID"], sandbox["EAB_HMAC"])}
    return compact(make_jws(client.key, url, payload, client.take_nonce())).decode()


def test_a_signed_request_in_chunks_with_extensions_and_trailers_is_served_over_tls(sandbox):
    client = sandbox.client(is_registered=False)
    body = signed_account(sandbox, client)
    client.close()
    text = in_chunks(body, 100).replace("\r\n", ";x=y\r\n", 1) + "0\r\nX-Digest: none\r\n\r\n"
    with Wire(sandbox) as wire:
        reply = wire.ask(chunked("https", text))
        assert reply.status == 201, reply
        assert wire.ask(get()).status == 200


# Replies


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_connection_serves_request_after_request(sandbox, listener):
    with Wire(sandbox, listener) as wire:
        for _ in range(20):
            reply = wire.ask(get(listener))
            assert reply.status == 200 and "connection" not in reply.fields, reply
            assert ("strict-transport-security" in reply.fields) == (listener == "https")
            assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", reply.fields["date"])


@pytest.mark.parametrize("listener", LISTENERS)
def test_connection_close_is_honoured_and_said(sandbox, listener):
    with Wire(sandbox, listener) as wire:
        wire.send(get(listener, "Connection: close") + get(listener))
        reply = wire.reply()
        assert (reply.status, reply.fields["connection"]) == (200, "close")
        assert wire.end() == b""


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("field", [(), ("Connection: keep-alive",)], ids=["plain", "keep-alive"])
@pytest.mark.parametrize("host", [None, "Host: localhost"], ids=["no-host", "host"])
def test_http_1_0_is_answered_once_and_never_kept(sandbox, listener, field, host):
    with Wire(sandbox, listener) as wire:
        wire.send(request("GET", GET[listener], *field, host=host, version="HTTP/1.0") + get(listener))
        reply = wire.reply()
        assert (reply.status, reply.fields["connection"]) == (200, "close")
        assert wire.end() == b""


@pytest.mark.parametrize("listener, path", [("https", "/acme/directory"), ("https", "/issuer/ecc.pem"),
                                            ("https", "/acme/nothing"), ("https", "/nothing"),
                                            ("http", "/issuer/ecc.der"), ("http", "/nothing"), ("admin", "/healthz"),
                                            ("admin", "/admin/v1/zones"), ("admin", "/nothing")])
def test_head_has_the_length_of_get_and_no_body(sandbox, listener, path):
    with Wire(sandbox, listener) as wire:
        wire.send(request("HEAD", path) + request("GET", path) + request("HEAD", path))
        first, whole, last = wire.reply(is_head=True), wire.reply(), wire.reply(is_head=True)
        assert first.status == whole.status == last.status
        length = whole.fields["content-length"]
        assert len(whole.body) == int(length) > 0
        if b"request" not in whole.body:
            assert first.fields["content-length"] == last.fields["content-length"] == length
        assert wire.ask(get(listener)).status == 200


@pytest.mark.parametrize("listener, method, path, allow", [
    ("https", "POST", "/issuer/ecc.pem", {"GET", "HEAD"}),
    ("https", "DELETE", "/issuer/ecc.der", {"GET", "HEAD"}),
    ("https", "PUT", "/acme/new-order", {"POST"}),
    ("https", "GET", "/acme/new-account", {"POST"}),
    ("https", "HEAD", "/acme/new-order", {"POST"}),
    ("https", "PATCH", "/acme/finalize/x", {"POST"}),
    ("http", "POST", "/issuer/ecc.pem", {"GET", "HEAD"}),
    ("http", "DELETE", "/issuer/ecc.pem", {"GET", "HEAD"}),
    ("admin", "PUT", "/admin/v1/zones", {"GET", "HEAD", "POST"}),
    ("admin", "POST", "/healthz", {"GET", "HEAD"}),
    ("admin", "GET", "/admin/v1/signing", {"POST"}),
])
def test_a_method_that_a_resource_has_not_is_405_with_allow(sandbox, listener, method, path, allow):
    with Wire(sandbox, listener) as wire:
        reply = wire.ask(request(method, path), is_head=method == "HEAD")
        assert reply.status == 405, reply
        assert set(reply.fields["allow"].split(", ")) == allow
        assert wire.ask(get(listener)).status == 200, "a refusal of this kind must not end the connection"


@pytest.mark.parametrize("listener, path", [
    ("https", "/"), ("https", "/acme/"), ("https", "/acme/nothing"), ("https", "/acme/directory/"),
    ("https", "/acme/directory/x"), ("https", "/acme/Directory"), ("https", "/acme/%64irectory"), ("https", "/acme"),
    ("https", "/healthz"), ("https", "/metrics"), ("https", "/admin/v1/zones"), ("https", "/issuer/"),
    ("https", "/issuer/ecc"), ("https", "/issuer/ecc.key"), ("http", "/acme/directory"), ("http", "/admin/v1/zones"),
    ("http", "/metrics"), ("http", "/issuer/ecc.pem/x"), ("admin", "/acme/directory"), ("admin", "/admin/v1/"),
    ("admin", "/admin/v2/zones")])
def test_what_a_listener_does_not_have_is_404(sandbox, listener, path):
    """Administration is on its socket alone, issuance under TLS alone."""
    with Wire(sandbox, listener) as wire:
        assert wire.ask(request("GET", path)).status == 404
        assert wire.ask(get(listener)).status == 200


# Pipelining


def test_pipelined_requests_are_answered_in_order(sandbox):
    """Some are answered at once, others after the loop was elsewhere."""
    kinds = {"https": [(get(), 200), (request("GET", "/acme/nothing"), 404), (post("https", "{}"), 400),
                       (request("GET", "/issuer/ecc.pem"), 200), (request("GET", "/acme/new-nonce"), 204)],
             "admin": [(request("GET", "/admin/v1/zones?limit=1"), 200), (get("admin"), 200),
                       (request("GET", "/nothing"), 404), (request("GET", "/admin/v1/zones/none.test"), 404),
                       (post("admin", "["), 400)]}
    for listener, choices in kinds.items():
        chosen = random.Random(5).choices(choices, k=60)
        with Wire(sandbox, listener) as wire:
            wire.send("".join(text for text, _ in chosen))
            assert [wire.reply().status for _ in chosen] == [status for _, status in chosen]
            assert wire.ask(get(listener)).status == 200


def test_pipelined_reads_show_the_writes_before_them(sandbox):
    """The next request is not begun before the one before it is answered."""
    names = [new_customer() for _ in range(5)]
    text = "".join(post("admin", body) + request("GET", f"/admin/v1/customers/{name}") for name, body in names)
    with Wire(sandbox, "admin") as wire:
        wire.send(text)
        for name, _ in names:
            assert wire.reply().status in (200, 201)
            reply = wire.reply()
            assert reply.status == 200 and name.encode() in reply.body, reply


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_body_that_looks_like_a_request_is_none(sandbox, listener):
    with Wire(sandbox, listener) as wire:
        wire.send(post(listener, BODY) + get(listener))
        assert wire.reply().status in (400, 405)
        assert wire.reply().status == 200
        wire.send(get(listener))
        assert wire.reply().status == 200


def test_a_request_is_served_wherever_it_is_cut(sandbox):
    """Two pieces, cut at every place, over TLS: each piece is a record."""
    text = post("https", "{}") + get()
    with Wire(sandbox) as wire:
        for at in range(1, len(text)):
            wire.send(text[:at])
            wire.send(text[at:])
            assert (wire.reply().status, wire.reply().status) == (400, 200), at


@pytest.mark.parametrize("listener", ["http", "admin"])
def test_requests_before_a_half_close_are_answered(sandbox, listener):
    """Not over TLS: Python cannot read on after its own close_notify."""
    slow = request("GET", "/admin/v1/zones") if listener == "admin" else request("GET", "/nothing")
    with Wire(sandbox, listener) as wire:
        wire.send(get(listener) + slow + get(listener))
        wire.connection.shutdown(socket.SHUT_WR)
        assert [wire.reply().status for _ in range(3)] == [200, 200 if listener == "admin" else 404, 200]
        assert wire.end() == b""


def test_half_a_request_before_a_half_close_is_not_answered(sandbox):
    with Wire(sandbox, "http") as wire:
        wire.send(get("http") + get("http")[:-2])
        wire.connection.shutdown(socket.SHUT_WR)
        assert wire.reply().status == 200
        assert wire.end() == b""


# Expect


@pytest.mark.parametrize("listener", ["https", "admin"])
@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
def test_who_expects_100_continue_gets_it_before_the_body(sandbox, listener, expect):
    name, body = new_customer()
    head, _, _ = post(listener, body, f"Expect: {expect}").partition("\r\n\r\n")
    with Wire(sandbox, listener) as wire:
        assert wire.ask(head + "\r\n\r\n").status == 100
        reply = wire.ask(body)
        assert reply.status == (201 if listener == "admin" else 400), reply
        assert wire.ask(get(listener)).status == 200


def test_who_expects_100_continue_for_chunks_gets_it(sandbox):
    name, body = new_customer()
    with Wire(sandbox, "admin") as wire:
        assert wire.ask(chunked("admin", "", "Expect: 100-continue")).status == 100
        reply = wire.ask(GOOD_CHUNKS["one-chunk"](body))
        assert reply.status == 201 and name.encode() in reply.body


def test_a_body_that_is_there_already_needs_no_100_continue(sandbox):
    _, body = new_customer()
    with Wire(sandbox, "admin") as wire:
        assert wire.ask(post("admin", body, "Expect: 100-continue")).status == 201


def test_a_body_that_is_too_large_is_refused_instead_of_continued(sandbox):
    with Wire(sandbox) as wire:
        reply = wire.ask(request("POST", POST["https"], f"Content-Length: {BODY_LIMIT + 1}", "Expect: 100-continue"))
        assert reply.status == 413
        assert wire.end() == b""


def test_http_1_0_gets_no_100_continue(sandbox):
    _, body = new_customer()
    head, _, _ = post("admin", body, "Expect: 100-continue").replace("HTTP/1.1", "HTTP/1.0").partition("\r\n\r\n")
    with Wire(sandbox, "admin") as wire:
        wire.send(head + "\r\n\r\n")
        must_serve(sandbox, "admin")
        assert wire.ask(body).status == 201


# Sizes


def padded_get(listener, size):
    """A GET whose head has exactly that size."""
    empty = len(get(listener, "X-Padding: "))
    return get(listener, "X-Padding: " + "a" * (size - empty))


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_head_may_have_max_header_bytes_and_no_byte_more(sandbox, listener):
    with Wire(sandbox, listener) as wire:
        assert wire.ask(padded_get(listener, HEADER_LIMIT)).status == 200
        reply = wire.ask(padded_get(listener, HEADER_LIMIT + 1))
        assert (reply.status, reply.fields["connection"]) == (431, "close")
        assert wire.end() == b""


HUGE_HEADS = {
    "target": "GET /" + "a" * HEADER_LIMIT,
    "value": "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + "a" * HEADER_LIMIT,
    "name": "GET / HTTP/1.1\r\nHost: localhost\r\n" + "a" * HEADER_LIMIT,
    "fields": "GET / HTTP/1.1\r\nHost: localhost\r\n" + "a: b\r\n" * (HEADER_LIMIT // 6),
    "method": "G" * (HEADER_LIMIT + 1),
}


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("name", HUGE_HEADS)
def test_a_head_that_does_not_end_is_refused_at_its_limit(sandbox, listener, name):
    with Wire(sandbox, listener) as wire:
        assert wire.ask(HUGE_HEADS[name]).status == 431
        assert wire.end() == b""


def test_more_than_64_fields_are_refused(sandbox):
    with Wire(sandbox) as wire:
        assert wire.ask(get("https", *(f"X-{at}: b" for at in range(64)))).status == 431
        assert wire.end() == b""


@pytest.mark.parametrize("listener", ["https", "admin"])
def test_a_body_may_have_max_body_bytes(sandbox, listener):
    filled = "[" + " " * (BODY_LIMIT - 2) + "]"
    with Wire(sandbox, listener) as wire:
        assert wire.ask(post(listener, filled)).status == 400
        assert wire.ask(chunked(listener, in_chunks(filled, 1000) + "0\r\n\r\n")).status == 400
        assert wire.ask(get(listener)).status == 200


@pytest.mark.parametrize("length", [BODY_LIMIT + 1, 10 ** 9, 999_999_999_999_999])
@pytest.mark.parametrize("listener", LISTENERS)
def test_a_longer_body_is_refused_before_it_comes(sandbox, listener, length):
    with Wire(sandbox, listener) as wire:
        reply = wire.ask(request("POST", POST[listener], f"Content-Length: {length}"))
        assert (reply.status, reply.fields["connection"]) == (413, "close")
        assert wire.end() == b""


TOO_LONG = "a" * (BODY_LIMIT + 1)


@pytest.mark.parametrize("text", [in_chunks(TOO_LONG, len(TOO_LONG)), in_chunks(TOO_LONG, 7),
                                  "fffffffffffffff\r\n" + TOO_LONG], ids=["one", "many", "announced"])
@pytest.mark.parametrize("listener", LISTENERS)
def test_a_longer_body_in_chunks_is_refused_at_the_limit(sandbox, listener, text):
    with Wire(sandbox, listener) as wire:
        reply = wire.ask(chunked(listener, text))
        assert (reply.status, reply.fields["connection"]) == (413, "close")
        assert wire.end() == b""


@pytest.mark.parametrize("length", [3 * BODY_LIMIT, 50 * BODY_LIMIT])
@pytest.mark.parametrize("listener", LISTENERS)
def test_a_client_that_sends_its_whole_body_first_still_reads_the_refusal(sandbox, listener, length):
    """Closing on unread bytes would reset the connection under the reply."""
    with Wire(sandbox, listener) as wire:
        wire.send(request("POST", POST[listener], f"Content-Length: {length}") + "a" * length)
        assert wire.reply().status == 413
        assert wire.end() == b""


@pytest.mark.parametrize("text", ["1;" + "a" * 2 * HEADER_LIMIT, "0\r\n" + "X-A: b\r\n" * HEADER_LIMIT,
                                  "0\r\nX-A: " + "b" * 2 * HEADER_LIMIT], ids=["extension", "trailers", "trailer"])
def test_endless_chunk_extensions_and_trailers_are_refused(sandbox, text):
    with Wire(sandbox) as wire:
        assert wire.ask(chunked("https", text)).status == 431
        assert wire.end() == b""


def test_the_limits_are_settings(own_sandbox):
    with configured(own_sandbox, max_header_bytes=2048, max_body_bytes=3000, max_requests_per_connection=3):
        with Wire(own_sandbox) as wire:
            assert wire.ask(padded_get("https", 2048)).status == 200
            assert wire.ask(padded_get("https", 2049)).status == 431
        with Wire(own_sandbox) as wire:
            assert wire.ask(post("https", "a" * 3000)).status == 400
            assert wire.ask(post("https", "a" * 3001)).status == 413


def test_after_max_requests_per_connection_the_connection_ends(own_sandbox):
    with configured(own_sandbox, max_requests_per_connection=3), Wire(own_sandbox) as wire:
        wire.send(get() * 5)
        replies = [wire.reply() for _ in range(3)]
        assert [reply.fields.get("connection") for reply in replies] == [None, None, "close"]
        assert wire.end() == b""


# Deadlines


def survivors(wires, piece, seconds=WAIT, pause=0.1):
    """Sends a piece on each again and again, or nothing, until all have an answer; those that have none in the end.
    Each pause is much shorter than any deadline, so only one that no byte moves can end this."""
    left = list(wires)
    for _ in range(int(seconds / pause)):
        left = [wire for wire in left if not wire.has_news(0)]
        if not left:
            break
        for wire in left:
            if piece is not None:
                wire.send(piece)
        left[0].has_news(pause)
    return left


SLOW_REQUESTS = {
    "head-of-which-nothing-follows": ("GET /acme/directory HTTP/1.1\r\nHo", None),
    "head-in-drips": ("GET /acme/directory HTTP/1.1\r\nX-A: ", b"a"),
    "head-of-endless-fields": ("GET /acme/directory HTTP/1.1\r\n", b"a: b\r\n"),
    "method-in-drips": ("G", b"E"),
    "body-of-which-nothing-follows": (post("https", "a" * 1000)[:-999], None),
    "body-in-drips": (post("https", "a" * 1000)[:-999], b"a"),
    "chunk-in-drips": (chunked("https", "ffff\r\n"), b"a"),
    "chunks-in-drips": (chunked("https", ""), b"1\r\na\r\n"),
    "chunk-extension-in-drips": (chunked("https", "1;"), b"a"),
    "trailer-in-drips": (chunked("https", "0\r\nX-A: "), b"b"),
    "body-that-was-to-be-continued": (post("https", "", "Expect: 100-continue").replace("h: 0", "h: 9"), None),
}


@pytest.fixture
def impatient(own_sandbox):
    """A request has a second and a half, everything else ten minutes."""
    with configured(own_sandbox, request_timeout_ms=1500):
        yield own_sandbox


@pytest.mark.parametrize("name", SLOW_REQUESTS)
def test_a_request_that_does_not_come_to_its_end_is_408(impatient, name):
    begin, drip = SLOW_REQUESTS[name]
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(impatient, listener)) for listener in LISTENERS]
        idle = [stack.enter_context(Wire(impatient, listener)) for listener in LISTENERS]
        for wire in wires:
            wire.send(begin.replace(POST["https"], POST[wire.listener]))
            if "continued" in name:
                assert wire.reply().status == 100
        for listener in LISTENERS:
            must_serve(impatient, listener)
        assert not survivors(wires, drip)
        for wire in wires:
            reply = wire.reply()
            assert (reply.status, reply.fields["connection"]) == (408, "close")
        for wire in idle:
            assert wire.ask(get(wire.listener)).status == 200, "a waiting connection has no request's deadline"


def test_a_request_s_deadline_is_told_in_the_words_of_the_service(impatient):
    with Wire(impatient) as wire:
        reply = wire.ask(post("https", "a" * 1000)[:-999])
        assert (reply.status, reply.fields["content-type"]) == (408, "application/problem+json")


def test_many_slow_heads_at_once_harm_nobody(impatient):
    """Slowloris: 300 connections that each keep a request open."""
    wires = [Wire(impatient, "http") for _ in range(300)]
    for wire in wires:
        wire.send("GET / HTTP/1.1\r\n")
    client = impatient.client()
    client.issue([impatient.name()])
    client.close()
    for wire in wires:
        assert wire.reply().status == 408
        wire.close()


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("drip", [None, "hello", "half-handshake"])
def test_a_handshake_that_does_not_come_to_its_end_is_cut(own_sandbox, drip):
    with configured(own_sandbox, handshake_timeout_ms=1500), plain_socket(own_sandbox) as connection:
        hello = client_hello()
        must_serve(own_sandbox)
        if drip == "hello":
            for at in range(WAIT * 10):
                if select.select([connection], [], [], 0.1)[0]:
                    break
                connection.sendall(hello[at:at + 1])
        elif drip == "half-handshake":
            connection.sendall(hello)
            assert connection.recv(65536)  # the server's part; the client's never comes
        assert is_ended(connection)
        must_serve(own_sandbox)


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("has_asked", [False, True], ids=["never-asked", "asked"])
def test_an_idle_connection_is_ended_in_good_order(own_sandbox, listener, has_asked):
    with configured(own_sandbox, idle_timeout_ms=1500), Wire(own_sandbox, listener) as wire:
        if has_asked:
            assert wire.ask(get(listener)).status == 200
        assert wire.end() == b""
        must_serve(own_sandbox, listener)


def fill(wire, most=64 * 1024 * 1024):
    """Asks and reads nothing until the server takes no more or has cut the connection."""
    requests, sent = get(wire.listener).encode() * 256, 0
    wire.connection.settimeout(1)
    with contextlib.suppress(OSError):  # a time-out is one
        while sent < most:
            wire.connection.sendall(requests)
            sent += len(requests)
    assert sent < most, "the server reads on although nobody takes its replies"


def was_reset(wire, seconds=WAIT):
    """Waits for an RST without reading what came before."""
    poller = select.poll()
    poller.register(wire.connection, 0)
    return bool(poller.poll(seconds * 1000))


@pytest.mark.parametrize("listener", LISTENERS)
def test_who_takes_no_reply_is_not_read_on_and_is_cut(own_sandbox, listener):
    buffer = None if listener == "admin" else 4096
    with configured(own_sandbox, write_timeout_ms=2000, max_requests_per_connection=100_000_000), \
            Wire(own_sandbox, listener, receive_buffer=buffer) as wire:
        fill(wire)
        must_serve(own_sandbox, listener)
        assert was_reset(wire)
        must_serve(own_sandbox, listener)


def test_who_takes_a_long_reply_slowly_gets_all_of_it(own_sandbox):
    """Longer than one deadline, as a large revocation list over a slow line."""
    count = 3000
    with configured(own_sandbox, write_timeout_ms=500, min_write_bytes_per_second=1000, max_requests_per_connection=100_000_000), \
            Wire(own_sandbox, "http", receive_buffer=4096) as wire:
        sender = threading.Thread(target=wire.send, args=(get("http") * count,))
        sender.start()
        until = time.monotonic() + 5
        for done in range(count):
            assert wire.reply().status == 200
            if time.monotonic() < until and done % 20 == 0:
                time.sleep(0.05)
        sender.join(WAIT)


def test_who_takes_replies_late_but_in_time_gets_all_of_them(own_sandbox):
    count = 6000
    with configured(own_sandbox, max_requests_per_connection=100_000_000), \
            Wire(own_sandbox, "http", receive_buffer=4096) as wire:
        sender = threading.Thread(target=wire.send, args=(get("http") * count,))
        sender.start()
        must_serve(own_sandbox, "http")
        for _ in range(count):
            assert wire.reply().status == 200
        sender.join(WAIT)
        assert wire.ask(get("http")).status == 200


def queued(wire):
    """Bytes that came and were not read."""
    return struct.unpack("i", fcntl.ioctl(wire.connection, termios.FIONREAD, b"\0" * 4))[0]


def fill_exactly(wire, text, most=None):
    """Sends the request until its reply does not fit into the socket, or so many times; how many fitted."""
    fitted = 0
    while most is None or fitted < most:
        before = queued(wire)
        wire.send(text)
        if not wait_until(lambda: queued(wire) > before, 1 if most is None else WAIT, pause=0.001):  # noqa: B023
            break
        fitted += 1
    return fitted


def test_a_100_continue_that_does_not_fit_into_the_socket_waits_and_disturbs_nothing(own_sandbox):
    """What is left of it goes out while the handler works; that must not look like the end of the request."""
    name, body = new_customer()
    head = post("admin", body, "Expect: 100-continue").removesuffix(body)

    def settle():
        for _ in range(3):  # the worker has been through its loop, so it has read what came before
            must_serve(own_sandbox, "admin")

    with configured(own_sandbox):
        with Wire(own_sandbox, "admin") as wire:
            count = fill_exactly(wire, get("admin"))
        redis = own_sandbox.processes.pid("redis")
        with Wire(own_sandbox, "admin") as wire:
            assert fill_exactly(wire, get("admin"), count) == count
            full = queued(wire)
            wire.send(head)
            settle()
            assert queued(wire) == full, "the socket was not full"
            os.kill(redis, signal.SIGSTOP)
            try:
                wire.send(body)
                settle()
                for _ in range(count):
                    assert wire.reply().status == 200
                assert wire.reply().status == 100
                wire.send(get("admin"))
                settle()
                assert queued(wire) == 0 and not wire.buffer, "answered before the handler was done"
            finally:
                os.kill(redis, signal.SIGCONT)
            reply = wire.reply()
            assert reply.status == 201 and name.encode() in reply.body, reply
            assert wire.reply().status == 200


# Floods


class Flood:
    """Threads that open connections and send without a pause, again and again, for as long as the block lasts."""

    def __init__(self, sandbox, listener, begin, piece, count=4):
        self.sandbox, self.listener, self.begin, self.piece = sandbox, listener, begin, piece
        self.is_over, self.sent = threading.Event(), 0
        self.threads = [threading.Thread(target=self._run) for _ in range(count)]

    def _run(self):
        while not self.is_over.is_set():
            try:
                with Wire(self.sandbox, self.listener) as wire:
                    wire.connection.settimeout(1)
                    wire.send(self.begin)
                    while not self.is_over.is_set():
                        wire.send(self.piece)
                        self.sent += len(self.piece)
                        self._take(wire)
            except OSError:
                pass

    @staticmethod
    def _take(wire):
        while wire.has_news(0):
            if not wire.buffer:
                raise ConnectionResetError
            wire.buffer = b""

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        assert wait_until(lambda: self.sent, WAIT)
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join(WAIT)


FLOODS = {
    "empty-lines": ("", "\r\n" * 8192),
    "bare-line-feeds": ("", "\n" * 16384),
    "nuls": ("", "\0" * 16384),
    "good-requests": ("", "@get" * 256),
    "wrong-requests": ("", "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 256),
    "endless-head": ("GET / HTTP/1.1\r\n", "a: b\r\n" * 2048),
    "endless-body": ("@post", "a" * 16384),
    "chunk-extensions": ("@chunked", "1;" + "a" * 16000 + "\r\nb\r\n"),
    "small-chunks": ("@chunked", "1\r\nb\r\n" * 2048),
}


@pytest.mark.parametrize("listener", ["https", "http"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_does_not_keep_others_from_being_served(own_sandbox, listener, name):
    begin, piece = FLOODS[name]
    begin = begin.replace("@post", post(listener, "a" * 60000)[:-60000]).replace("@chunked", chunked(listener, ""))
    piece = piece.replace("@get", get(listener)).encode()
    with configured(own_sandbox, max_requests_per_connection=100_000_000), \
            Flood(own_sandbox, listener, begin.encode(), piece) as flood:
        for _ in range(5):
            reached = flood.sent
            must_serve(own_sandbox, listener)
            assert wait_until(lambda: flood.sent > reached, WAIT), "the flood has ebbed"  # noqa: B023


# Limits of connections


def is_refused(sandbox, listener="http", **options):
    """Is a new connection ended without a word?"""
    try:
        with Wire(sandbox, listener, **options) as wire:
            wire.send(get(listener))
            return not wire.connection.recv(1)
    except ConnectionError:
        return True
    except ssl.SSLError as error:
        if "EOF" not in str(error):
            raise
        return True


def held(stack, sandbox, count, listener="http", **options):
    """Connections that were served and stay open."""
    wires = [stack.enter_context(Wire(sandbox, listener, **options)) for _ in range(count)]
    for wire in wires:
        assert wire.ask(get(listener)).status == 200
    return wires


def has_ended(wire):
    """Has the server ended this connection, on which it owes nothing?"""
    return wire.has_news(0) and not wire.buffer


def many_sources(count, network=3):
    return [f"127.0.{network}.{at + 1}" for at in range(count)]


@contextlib.contextmanager
def paused_redis(sandbox):
    """Requests that need Redis stay in work."""
    redis = sandbox.processes.pid("redis")
    os.kill(redis, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis, signal.SIGCONT)


@pytest.mark.parametrize("listener", ["https", "http"])
def test_one_address_has_so_many_connections_and_its_longest_idle_one_makes_room(own_sandbox, listener):
    with configured(own_sandbox, max_connections_per_address=5), contextlib.ExitStack() as stack:
        other = held(stack, own_sandbox, 1, listener, source="127.0.0.2")[0]
        wires = held(stack, own_sandbox, 5, listener)
        assert wires[0].ask(get(listener)).status == 200  # now the second is idle longest
        for at in (1, 2):
            must_serve(own_sandbox, listener)
            assert wait_until(lambda: has_ended(wires[at]), WAIT)  # noqa: B023
            held(stack, own_sandbox, 1, listener)
        for wire in (other, wires[0], *wires[4:]):
            assert wire.ask(get(listener)).status == 200


def test_a_handshake_of_the_same_address_goes_before_its_idle_connections(own_sandbox):
    with configured(own_sandbox, max_connections_per_address=5), contextlib.ExitStack() as stack:
        kept = held(stack, own_sandbox, 2, "https")
        begun = [stack.enter_context(plain_socket(own_sandbox)) for _ in range(3)]
        for _ in range(4):
            must_serve(own_sandbox, "https")
        assert is_ended(begun[0])
        for wire in kept:
            assert wire.ask(get("https")).status == 200


@pytest.mark.parametrize("listener", LISTENERS)
def test_at_the_cap_the_connection_that_is_idle_longest_makes_room(own_sandbox, listener):
    def address(at):
        return {} if listener == "admin" else {"source": f"127.0.0.{at + 2}"}

    with configured(own_sandbox, max_connections=8), contextlib.ExitStack() as stack:
        wires = [held(stack, own_sandbox, 1, listener, **address(at))[0] for at in range(8)]
        assert wires[0].ask(get(listener)).status == 200
        for at in (8, 9):
            wires += held(stack, own_sandbox, 1, listener, **address(at))
        assert wait_until(lambda: has_ended(wires[1]) and has_ended(wires[2]), WAIT)
        for wire in (wires[0], *wires[3:]):
            assert wire.ask(get(listener)).status == 200
        for other in LISTENERS:
            must_serve(own_sandbox, other)


IDLERS = {
    "silent": lambda listener: b"",
    "half-sent": lambda listener: get(listener)[:-2].encode(),
    "body-begun": lambda listener: post(listener, "a" * 5000)[:-4000].encode(),
    "finished": lambda listener: get(listener).encode(),
    "half-sent-after-finished": lambda listener: get(listener).encode() + b"GET / HT",
}


def idle(stack, sandbox, listener, what, source):
    """A connection of somebody who wants the places and nothing else. None where it was refused."""
    connection = stack.enter_context(plain_socket(sandbox, listener, source))
    begin = IDLERS[what](listener)
    if listener == "https" and what != "silent":
        connection = stack.enter_context(tls_context(sandbox).wrap_socket(connection, server_hostname="localhost"))
    connection.sendall(begin or (b"\x16\x03\x01" if listener == "https" else b""))
    if "finished" in what:
        assert connection.recv(5) == b"HTTP/"
    return connection


@pytest.mark.parametrize("is_spread", [False, True], ids=["one-address", "many-addresses"])
@pytest.mark.parametrize("what", IDLERS)
@pytest.mark.parametrize("listener", ["https", "http"])
def test_who_fills_the_cap_keeps_nobody_out(own_sandbox, listener, what, is_spread):
    """Twice the cap of both workers, and some more between each good client and the next. The kernel spreads
    connections unevenly; that must not matter."""
    sources = many_sources(40) if is_spread else ["127.0.0.66"]
    with configured(own_sandbox, workers=2, max_connections=20), contextlib.ExitStack() as stack:
        for at in range(80):
            idle(stack, own_sandbox, listener, what, sources[at % len(sources)])
        for at in range(12):
            must_serve(own_sandbox, listener, source=f"127.0.0.{at + 2}")
            for more in range(3):
                idle(stack, own_sandbox, listener, what, sources[(3 * at + more) % len(sources)])
        must_serve(own_sandbox, "admin")


@pytest.mark.parametrize("what", ["silent", "half-sent", "body-begun"])
def test_unfinished_connections_of_a_crowd_go_before_idle_ones_of_others(own_sandbox, what):
    with configured(own_sandbox, max_connections=20, crowd_connections=4), contextlib.ExitStack() as stack:
        kept = [held(stack, own_sandbox, 1, "https", source=source)[0] for source in many_sources(10)]
        for _ in range(60):
            idle(stack, own_sandbox, "https", what, "127.0.0.66")
            must_serve(own_sandbox, "https", source="127.0.0.2")
        for wire in kept:
            assert wire.ask(get("https")).status == 200


def test_a_request_in_work_is_never_closed_for_another(own_sandbox):
    _, body = new_customer()
    with configured(own_sandbox, max_connections=6), contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(own_sandbox, "admin")) for _ in range(5)]
        with paused_redis(own_sandbox):
            for wire in wires:
                wire.send(post("admin", body))
            for _ in range(20):
                must_serve(own_sandbox, "admin")
                stack.enter_context(plain_socket(own_sandbox, "admin"))
        assert [wire.reply().status for wire in wires].count(201) == 1


def test_when_every_connection_has_a_request_in_work_another_is_refused_and_served_later(own_sandbox):
    _, body = new_customer()
    with configured(own_sandbox, max_connections=5), contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(own_sandbox, "admin")) for _ in range(5)]
        with paused_redis(own_sandbox):
            for wire in wires:
                wire.send(post("admin", body))
            assert wait_until(lambda: is_refused(own_sandbox, "admin"), WAIT)
        for wire in wires:
            wire.reply()
        must_serve(own_sandbox, "admin")


def test_who_does_not_take_a_reply_makes_room_when_nobody_else_can(own_sandbox):
    """Replies that no socket takes whole: the answer of the admin's metrics, many times."""
    with configured(own_sandbox, max_connections=4), contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(own_sandbox, "admin")) for _ in range(4)]
        for wire in wires:
            wire.send(request("GET", "/metrics") * 400)
        assert wait_until(lambda: not is_refused(own_sandbox, "admin"), WAIT)
        must_serve(own_sandbox, "admin")


def test_the_admin_socket_has_no_limit_by_address(own_sandbox):
    with configured(own_sandbox, max_connections_per_address=1), contextlib.ExitStack() as stack:
        wires = held(stack, own_sandbox, 10, "admin")
        for wire in wires:
            assert wire.ask(get("admin")).status == 200


def test_connections_closed_for_others_are_counted(own_sandbox):
    name = "originca_http_made_room_total"
    with configured(own_sandbox, max_connections_per_address=1), contextlib.ExitStack() as stack:
        before = own_sandbox.admin.metrics()[name]
        for _ in range(4):
            held(stack, own_sandbox, 1)
        assert wait_until(lambda: own_sandbox.admin.metrics()[name] == before + 3, WAIT)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def must_issue(sandbox):
    """Also where the order waits for the signer's connection at first."""
    client, name = sandbox.client(), sandbox.name()
    created = client.new_order([name]).expect(201)
    client.finalize(created.json, make_csr(make_key("p256"), [name])).expect(200)
    assert wait_until(lambda: client.post(created.headers["Location"]).expect(200).json["status"] == "valid", 60, pause=0.5)


def test_a_worker_out_of_descriptors_makes_room_and_keeps_some_for_its_own_work(own_sandbox):
    """Idle connections on one listener, many times the limit: others are served on every listener, a certificate is
    issued (DNS, Redis and signer need descriptors), and the loop does not spin."""
    with configured(own_sandbox), contextlib.ExitStack() as stack:
        worker, = own_sandbox.workers()
        before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        log_before = len(own_sandbox.log_text())
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (96, before[1]))
        try:
            for source in many_sources(200):
                idle(stack, own_sandbox, "http", "finished", source)
            for listener in LISTENERS:
                must_serve(own_sandbox, listener)
            must_issue(own_sandbox)
            used = cpu_seconds(worker)
            time.sleep(1)
            assert cpu_seconds(worker) - used < 0.5, "the loop spins"
            said = own_sandbox.log_text()[log_before:].count("out of file descriptors")
            assert said == 1, "once a minute"
        finally:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, before)


def test_a_worker_without_any_descriptor_refuses_waits_and_recovers(own_sandbox):
    """A limit below what is in use: nothing can be given up, and the listening socket stays readable."""
    with configured(own_sandbox), contextlib.ExitStack() as stack:
        worker, = own_sandbox.workers()
        before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        log_before = len(own_sandbox.log_text())
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            for _ in range(20):
                stack.enter_context(plain_socket(own_sandbox, "http"))
            used = cpu_seconds(worker)
            time.sleep(1)
            assert cpu_seconds(worker) - used < 0.5, "the loop spins"
            said = own_sandbox.log_text()[log_before:].count("out of file descriptors")
            assert said == 1, "once a minute"
        finally:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        assert wait_until(lambda: not is_refused(own_sandbox), WAIT)
        own_sandbox.wait_ready()  # a connection to the signer that broke meanwhile is made again
        own_sandbox.client().issue([own_sandbox.name()])


# Clients that break off


def signed_finalize(client, order):
    names = [identifier["value"] for identifier in order["identifiers"]]
    body = {"csr": b64(make_csr(make_key("p256"), names))}
    return compact(make_jws(client.key, order["finalize"], body, client.take_nonce(), client.kid)).decode()


def finalize_request(order, body):
    return request("POST", urlsplit(order["finalize"]).path, "Content-Type: application/jose+json",
                   f"Content-Length: {len(body)}", body=body)


def cut(text, share):
    """The first part of it; of a share below 0, all but so many bytes."""
    return text[:share] if share < 0 else text[:int(len(text) * share)]


BREAKS = {"connected": None, "half-a-hello": "hello", "a-hello": "hello", "handshake": 0.0, "half-a-head": 0.05,
          "half-a-body": 0.6, "all-but-a-byte": -1, "everything": 1.0, "half-a-reply": 1.0}


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("stage", BREAKS)
def test_a_client_that_breaks_off_a_finalize_finds_its_order_whole(sandbox, stage, how):
    """Ready or valid, and in the end there is one certificate; the server has lost nothing but a connection."""
    client = sandbox.client()
    name = sandbox.name()
    reply = client.new_order([name]).expect(201)
    order, url = reply.json, reply.headers["Location"]
    text = finalize_request(order, signed_finalize(client, order))
    if BREAKS[stage] in (None, "hello"):
        wire = Wire.__new__(Wire)
        wire.connection = plain_socket(sandbox)
        hello = client_hello()
        wire.connection.sendall({"connected": b"", "half-a-hello": hello[:100], "a-hello": hello}[stage])
    else:
        wire = Wire(sandbox)
        wire.send(cut(text, BREAKS[stage]))
        if stage == "half-a-reply":
            assert wire.connection.recv(20)
    getattr(wire, how)()

    def settled():
        now = client.post(url).expect(200).json
        return now if now["status"] != "processing" else None

    state = wait_until(settled, WAIT)
    assert state and state["status"] in ("ready", "valid"), state
    if stage == "half-a-reply":
        assert state["status"] == "valid"
    elif BREAKS[stage] != 1.0:
        assert state["status"] == "ready"
    if state["status"] == "ready":
        # A finalize that is still on its way may win; then this one is told so.
        client.finalize(order, make_csr(make_key("p256"), [name]))
        state = wait_until(settled, WAIT)
    assert state["status"] == "valid", state
    assert sum(name in item["names"] for item in sandbox.certificates(sandbox["ZONE"])) == 1
    client.close()


def test_clients_that_vanish_while_their_replies_are_made_harm_nobody(sandbox):
    """Each has a handler at work when its connection is reset; its answer finds nobody."""
    client = sandbox.client()
    orders = [client.new_order([sandbox.name()]).expect(201) for _ in range(20)]
    texts = [finalize_request(reply.json, signed_finalize(client, reply.json)) for reply in orders]
    wires = [Wire(sandbox) for _ in texts]
    for wire, text in zip(wires, texts):
        wire.send(text + get())
    for wire in wires:
        wire.reset()
    for reply in orders:
        url = reply.headers["Location"]
        assert wait_until(lambda: client.post(url).json["status"] in ("ready", "valid"), WAIT)  # noqa: B023
    client.issue([sandbox.name()])
    client.close()


def test_corrupt_records_end_the_connection_and_nothing_else(sandbox):
    for at, garbage in enumerate((b"\x17\x03\x03\x00\x40" + b"x" * 64, b"\x17\x03\x03\xff\xff" + b"x" * 65535,
                                  b"\x16\x03\x03\x00\x04\x00\x00\x00\x00", b"\x15\x03\x03\x00\x02\x02\x00", b"G" * 100,
                                  b"\x80\x2e\x01\x00\x02" + b"\0" * 60, b"\x17\x03\x03\x00\x00" * 50)):
        with Wire(sandbox, context=tls_context(sandbox, ssl.TLSVersion.TLSv1_3 if at % 2 else ssl.TLSVersion.TLSv1_2)) \
                as wire:
            assert wire.ask(get()).status == 200
            os.write(wire.connection.fileno(), garbage)  # below TLS
            plain = socket.socket(fileno=wire.connection.detach())
            plain.settimeout(WAIT)
            with plain:
                assert is_ended(plain)
        must_serve(sandbox)


GARBAGE = {
    "noise": lambda noise: noise.randbytes(4096),
    "noise-in-lines": lambda noise: b"\r\n".join(noise.randbytes(20) for _ in range(100)) + b"\r\n\r\n",
    "letters": lambda noise: bytes(noise.choices(b"GET /:HTP1.\r\n ", k=4096)) + b"\r\n\r\n",
    "broken-request": lambda noise: bytes(
        byte if noise.random() > 0.05 else noise.randrange(256) for byte in post("http", "hello").encode() * 20),
    "broken-hello": lambda noise: bytes(
        byte if noise.random() > 0.02 else noise.randrange(256) for byte in client_hello()),
    "hello-and-noise": lambda noise: client_hello() + noise.randbytes(4096),
    "tls-records": lambda noise: b"".join(
        bytes([noise.choice((20, 21, 22, 23, 24, 99)), 3, noise.randrange(5)]) + noise.randrange(300).to_bytes(2, "big")
        + noise.randbytes(200) for _ in range(20)),
}


@pytest.mark.parametrize("listener", LISTENERS)
def test_200_connections_of_garbage_leave_the_others_served(own_sandbox, listener):
    noise = random.Random(f"garbage for {listener}")
    with configured(own_sandbox), contextlib.ExitStack() as stack:
        connections = [stack.enter_context(plain_socket(own_sandbox, listener)) for _ in range(200)]
        for at, connection in enumerate(connections):
            with contextlib.suppress(ConnectionError):
                connection.sendall(list(GARBAGE.values())[at % len(GARBAGE)](noise))
            if at % 50 == 0:
                must_serve(own_sandbox, listener)
        own_sandbox.client().issue([own_sandbox.name()])
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            assert is_ended(connection)


def test_200_tls_clients_that_talk_garbage_leave_the_others_served(own_sandbox):
    noise = random.Random("garbage inside TLS")
    context = tls_context(own_sandbox)
    kinds = [GARBAGE[name] for name in ("noise", "noise-in-lines", "letters", "broken-request")]
    with configured(own_sandbox), contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(own_sandbox, context=context)) for _ in range(200)]
        for at, wire in enumerate(wires):
            wire.send(kinds[at % len(kinds)](noise))
        own_sandbox.client().issue([own_sandbox.name()])
        for wire in wires:
            assert wire.reply().status in (400, 404, 405, 413, 431, 501, 505)


def test_silent_and_half_open_admin_connections_leave_the_admin_served(own_sandbox):
    with configured(own_sandbox), contextlib.ExitStack() as stack:
        for at in range(200):
            connection = stack.enter_context(plain_socket(own_sandbox, "admin"))
            connection.sendall(("", "G", "GET /healthz HTTP/1.1\r\n", post("admin", "{}")[:-1])[at % 4].encode())
        name, _ = new_customer()
        assert own_sandbox.admin.post("customers", {"name": name})["name"] == name
        must_serve(own_sandbox, "admin")


def test_descriptors_sent_over_the_admin_socket_are_not_kept(sandbox):
    """A stream socket in AF_UNIX may carry descriptors; who receives them must ask for them."""
    with Wire(sandbox, "admin") as wire:
        for _ in range(50):
            socket.send_fds(wire.connection, [get("admin").encode()], [0, 1, 2])
            assert wire.reply().status == 200
    must_serve(sandbox, "admin")

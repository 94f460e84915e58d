"""Tools of test_cli.py: running `originca` in a folder of its own, in a terminal, and behind a recorder that sees
every byte it sends."""

import base64
import datetime
import fcntl
import http.server
import json
import os
import pty
import re
import select
import shlex
import ssl
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from under_test import SANITIZER_MARKS

CREDENTIALS = ("CF_API_KEY", "CF_API_TOKEN", "CF_API_EMAIL", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY",
               "CLOUDFLARE_EMAIL", "CLOUDFLARE_API_EMAIL", "CLOUDFLARE_API_USER_SERVICE_KEY")


class Result:
    def __init__(self, status, out, err=""):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)


class Shell:
    """A user: a home, a working folder, an environment."""

    def __init__(self, directory, sandbox=None):
        self.directory = Path(directory) / "work"
        self.home = Path(directory) / "home"
        self.state = Path(directory) / "state"
        for each in (self.directory, self.home):
            each.mkdir()
        self.program = Path(os.environ["ORIGINCA_BUILD"]) / "cli" / "originca"
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith("ORIGINCA_") and name not in CREDENTIALS and name != "NO_COLOR"}
        self.environment |= {"HOME": str(self.home), "ORIGINCA_STATE_DIR": str(self.state), "TZ": "UTC"}
        self.environment.pop("XDG_CONFIG_HOME", None)
        if sandbox is not None:
            self.environment |= {"ORIGINCA_API_URL": sandbox["API_URL"], "ORIGINCA_CA_FILE": sandbox["CA_BUNDLE"],
                                 "CF_API_TOKEN": sandbox["API_TOKEN"]}

    def run(self, *arguments, status=0, stdin="", program=None, umask=0o022, **environment):
        command = [str(program or self.program), *map(str, arguments)]
        merged = {name: value for name, value in {**self.environment, **environment}.items() if value is not None}
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, cwd=self.directory,
                              env=merged, umask=umask)
        shown = f"{shlex.join(command)}\nexit {done.returncode}\n{done.stdout}{done.stderr}"
        assert not any(mark in done.stderr for mark in SANITIZER_MARKS), shown
        assert status is None or done.returncode == status, shown
        return Result(done.returncode, done.stdout, done.stderr)

    def terminal(self, *arguments, typed="", program=None, status=0, **environment):
        """Runs in a pseudo-terminal of 100 columns; `typed` is sent once the program asks (or begins)."""
        master, slave = pty.openpty()
        merged = {name: value for name, value in {**self.environment, **environment}.items() if value is not None}
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        process = subprocess.Popen([str(program or self.program), *map(str, arguments)], stdin=slave, stdout=slave,
                                   stderr=slave, cwd=self.directory, env=merged, start_new_session=True)
        os.close(slave)
        if typed:
            os.write(master, typed.encode())
        output, deadline = b"", time.monotonic() + 120
        while time.monotonic() < deadline:
            if select.select([master], [], [], 1)[0]:
                try:
                    piece = os.read(master, 65536)
                except OSError:  # EIO: the other side is closed
                    break
                if not piece:
                    break
                output += piece
        os.close(master)
        done = process.wait(30)
        text = output.decode(errors="replace")
        assert not any(mark in text for mark in SANITIZER_MARKS), text
        assert status is None or done == status, text
        return Result(done, text)

    def path(self, name):
        return self.directory / name

    def write(self, name, text):
        (self.directory / name).write_text(text)
        return name

    def files(self):
        return sorted(entry.name for entry in self.directory.iterdir())

    def certificate(self, name):
        return x509.load_pem_x509_certificate(self.path(name).read_bytes())

    def key(self, name):
        return serialization.load_pem_private_key(self.path(name).read_bytes(), None)

    def known(self, name):
        return json.loads((self.state / f"{name}.json").read_text())

    def remember(self, name, **changes):
        path = self.state / f"{name}.json"
        path.write_text(json.dumps({**self.known(name), **changes}))


def mode(path):
    return os.stat(path).st_mode & 0o7777


def spki(key):
    public = key.public_key() if hasattr(key, "public_key") else key
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_numbers(key):
    """The secret numbers of a key as big-endian bytes."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        values = [numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp]
    else:
        values = [key.private_numbers().private_value]
    return [value.to_bytes((value.bit_length() + 7) // 8, "big") for value in values]


def spellings(secret):
    """How bytes may look in traffic: raw, hex, and base64 at each of the three alignments."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + secret)
        found.append(whole[4:-4])
    return found


def signed_by(certificate, issuer_file):
    with open(issuer_file, "rb") as file:
        issuer = x509.load_pem_x509_certificate(file.read())
    key = issuer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(),
                   certificate.signature_hash_algorithm)
    else:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes,
                   ec.ECDSA(certificate.signature_hash_algorithm))


def names_of(certificate):
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName)


class Recorder:
    """A TLS server on localhost that notes each request and passes it on to the API, unless told to answer itself:
    `answers` maps (method, path prefix) to a list of callables or (status, headers, body), used up in order."""

    def __init__(self, directory, sandbox):
        self.target = sandbox["API_URL"].removesuffix("/client/v4")
        self.ca = sandbox["CA_BUNDLE"]
        self.requests, self.answers, self.lock = [], {}, threading.Lock()
        self.certificate = Path(directory) / "recorder.pem"
        key_file = Path(directory) / "recorder.key"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.timezone.utc)
        leaf = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
                .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
        self.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key_file)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}/client/v4"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)

    @property
    def environment(self):
        return {"ORIGINCA_API_URL": self.url, "ORIGINCA_CA_FILE": str(self.certificate)}

    def sent(self, method):
        return [each for each in self.requests if each["method"] == method]

    def traffic(self):
        """Every byte of every request, the same without line breaks in PEM, and what its base64 decodes to."""
        whole = b"\n".join(each["head"] + each["body"] for each in self.requests)
        decoded = b"".join(base64.b64decode(re.sub(rb"\\n|\s", b"", block) + b"==")
                           for block in re.findall(rb"-----BEGIN [A-Z ]+-----(.*?)-----END", whole, re.S))
        return whole + b"\n" + re.sub(rb"\\n|\s", b"", whole) + b"\n" + decoded

    def answer(self, method, prefix, *answers):
        self.answers[(method, prefix)] = list(answers)

    def _next_answer(self, method, path):
        with self.lock:
            for (wanted, prefix), answers in self.answers.items():
                if wanted == method and path.startswith(prefix) and answers:
                    return answers.pop(0)
        return None

    def _pass_on(self, method, path, headers, body):
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        reply = requests.request(method, self.target + path, headers=kept, data=body, verify=self.ca, timeout=60)
        return reply.status_code, {"Content-Type": reply.headers.get("Content-Type", "")}, reply.content

    def _handler(recorder):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                recorder.requests.append({"method": self.command, "path": self.path, "body": body,
                                          "headers": {name.lower(): value for name, value in self.headers.items()},
                                          "head": self.raw_requestline + bytes(self.headers)})
                planned = recorder._next_answer(self.command, self.path)
                if callable(planned):
                    planned = planned(lambda: recorder._pass_on(self.command, self.path, self.headers, body))
                status, headers, content = planned or recorder._pass_on(self.command, self.path, self.headers, body)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True  # the client has gone: some tests make it go

            do_GET = do_POST = do_DELETE = serve

        return Handler

"""The signer's frame protocol, spoken by the tests themselves (server/signer/wire.h): what a worker that was taken over can send."""

import hashlib
import json
import secrets
import socket
import struct
import time
from pathlib import Path

(SIGN, REVOKE, ATTEMPT, READ, STATUS, SET_SIGNING, CONFIRM_LOSS, CHECK_POSITION, RETRY_TOKEN, CHANGE_RIGHTS, LIST_ZONES, CRL_BEGIN,
 CRL_ENTRIES, CRL_SIGN, SIGN_OCSP, LIST_CRLS) = range(1, 17)
OK, INVALID, NOT_FOUND, CONFLICT, REFUSED, LIMIT, UNAVAILABLE = range(7)
STOPPED = 9


def u8(value):
    return struct.pack(">B", value)


def u32(value):
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return u32(len(data)) + data


def texts(values):
    return u32(len(values)) + b"".join(map(text, values))


def change(kind, subject="", name="", customer="", detail="", by="admin:test", at_ms=0):
    return b"".join(map(text, (kind, subject, name, customer, detail, by))) + u64(at_ms)


def position(ledger_id="", applied=0, highest=0, issuers=bytes(32)):
    """Of Redis; `issuers`: the hash of those that who asks has compared, zeros for none."""
    return text(ledger_id) + u64(applied) + text("") + u64(highest) + text("") + text(issuers)


def any_serial():
    """Of a certificate that the CA could have issued."""
    return b"\x11" + secrets.token_bytes(15)


def revocation(serial, reason, by, issuer="ecc", not_after=0, crl_url=""):
    return text(serial) + text(issuer) + u32(reason) + text(by) + u64(not_after) + text(crl_url)


def sign_request(spki, names, zones, customer, method="dns-delegation", issuer="ecc", profile="origin", attempt=None, **others):
    """The fields of a request that is right in all but what a test makes wrong."""
    now = time.time()
    evidence = b"".join(text(name) + u64(int(now)) + text(method) for name in names)
    tag = attempt or f"att-{time.monotonic_ns()}"
    return b"".join((text(tag), text(others.get("order", f"ord{time.monotonic_ns()}")), text(others.get("account", "")), text(customer),
                     texts(names), texts(zones), text(spki), text(profile), text(issuer), u64(0), u32(7 * 86400),
                     u64(int(now * 1000)), u32(len(names)), evidence, text(bytes(32)), text("test")))


def ocsp_request(statuses, issuer="ecc", known_at=None, nonce=b""):
    """Each status is (serial, form, is revoked, when, reason)."""
    known_at = int(time.time()) if known_at is None else known_at
    return b"".join((text(issuer), u64(known_at), text(nonce), u32(len(statuses)),
                     *(text(serial) + u8(form) + u8(is_revoked) + u64(when) + u32(reason)
                       for serial, form, is_revoked, when, reason in statuses)))


def append_record(directory, **record):
    """One more record to a ledger that nobody writes, its chain right."""
    path = max(directory.glob("ledger-*.jsonl"))
    digest, _, last = path.read_bytes().splitlines()[-1].partition(b" ")
    text = json.dumps({"seq": json.loads(last)["seq"] + 1, "time": "2026-11-28T00:00:00.000Z"} | record, separators=(",", ":")).encode()
    digest = hashlib.sha256(bytes.fromhex(digest.decode()) + text).hexdigest().encode()
    with open(path, "ab") as ledger:
        ledger.write(digest + b" " + text + b"\n")


class Reply:
    def __init__(self, frame):
        self.id, self.code = struct.unpack(">QB", frame[:9])
        self.rest = frame[9:]
        self.message = self.take().decode() if self.code != OK else ""

    def take(self):
        length, = struct.unpack(">I", self.rest[:4])
        value, self.rest = self.rest[4:4 + length], self.rest[4 + length:]
        return value

    def number(self, size=8):
        value, self.rest = int.from_bytes(self.rest[:size]), self.rest[size:]
        return value


class SignerLink:
    def __init__(self, run_directory, is_operator=False, timeout=15):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(Path(run_directory) / ("signer-operator.sock" if is_operator else "signer.sock")))
        self.next_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def frame(self, kind, fields=b""):
        self.next_id += 1
        return u32(9 + len(fields)) + u64(self.next_id) + u8(kind) + fields

    def send(self, kind, fields=b""):
        self.socket.sendall(self.frame(kind, fields))

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the signer closed the connection")
            data += piece
        return data

    def receive(self):
        length, = struct.unpack(">I", self._exactly(4))
        return Reply(self._exactly(length))

    def ask(self, kind, fields=b""):
        self.send(kind, fields)
        reply = self.receive()
        assert reply.id == self.next_id
        return reply

    def change_rights(self, *changes):
        """The reply, and for each change sequence, moment and hash."""
        reply = self.ask(CHANGE_RIGHTS, u32(len(changes)) + b"".join(changes))
        results = []
        if reply.code == OK:
            results = [(reply.number(), reply.number(), reply.take().hex()) for _ in range(reply.number(4))]
        return reply, results

    def records(self, first=1, most=200):
        reply = self.ask(READ, u64(first) + u32(most))
        assert reply.code == OK, reply.message
        return json.loads(reply.take())

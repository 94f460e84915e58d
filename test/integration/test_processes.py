"""Which process does what: the admin process has no socket to the network and asks the workers, whatever becomes of them
or however they lie; health and readiness are the workers'."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import struct
import threading
from pathlib import Path

import pytest

from under_test import children, name_of, silent_name_servers, stopped, wait_until

SANDBOX_OPTIONS = ("--workers", "2", "--set", "signer.signer_timeout_ms=5000", "--set", "dns.dns_deadline_ms=4000")


@pytest.fixture
def box(own_sandbox):
    own_sandbox.wait_ready()
    yield own_sandbox
    own_sandbox.wait_ready()
    own_sandbox.client().issue([own_sandbox.name()])


def worker(box, slot):
    return next((pid for pid in children(box.supervisor) if name_of(pid) == f"oca-worker-{slot}"), None)


def sockets_of(pid):
    links = (os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    return {int(link[8:-1]) for link in links if link.startswith("socket:")}


def network_sockets():
    """Inodes of every TCP and UDP socket of the network namespace."""
    inodes = set()
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        with contextlib.suppress(FileNotFoundError):
            inodes |= {int(line.split()[9]) for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]}
    return inodes


def listening_on(path):
    """Inode of the socket that listens on the path."""
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and fields[7] == str(path) and fields[3] == "00010000":
            return int(fields[6])
    return None


def readiness(box):
    return json.loads(box.admin.readiness()[1])


# Who holds what


def test_the_admin_process_has_no_socket_to_the_network(box):
    zone = box.new_zone()
    with silent_name_servers(box):
        checking = threading.Thread(target=box.admin.post, args=(f"zones/{zone}/check",))
        checking.start()
        workers = [worker(box, 0), worker(box, 1)]
        assert wait_until(lambda: any(sockets_of(pid) & network_sockets() for pid in workers), 10)
        assert not sockets_of(box.admin_process()) & network_sockets()
        checking.join(30)


def test_only_the_admin_process_listens_on_the_admin_socket(box):
    inode = listening_on(box["ADMIN_SOCKET"])
    assert inode in sockets_of(box.admin_process())
    for pid in (*box.workers(), box.signer()):
        assert inode not in sockets_of(pid)


def test_each_worker_answers_the_admin_process_on_its_own_socket(box):
    for slot in (0, 1):
        inode = listening_on(Path(box["ADMIN_SOCKET"]).parent / f"worker-{slot}.sock")
        assert inode in sockets_of(worker(box, slot))
        assert inode not in sockets_of(box.admin_process()) | sockets_of(worker(box, 1 - slot))


# The admin process ends


def test_workers_issue_while_the_admin_process_is_away_and_it_comes_back(box):
    client, before = box.client(), box.admin_process()
    box.kill(before)
    client.issue([box.name()])
    assert wait_until(lambda: box.admin_process() not in (None, before), 20)
    box.wait_ready()
    assert box.admin.get("customers")["items"]


def test_a_replay_goes_on_where_the_admin_process_died(box):
    """What Redis lacks is there at last, however often the process that replays is killed."""
    client = box.client()
    for _ in range(3):
        client.issue([box.name()])
    for _ in range(3):
        box.kill(box.admin_process())
        assert wait_until(lambda: box.admin_process(), 20)
    box.wait_ready()
    assert box.admin.metrics()["originca_ledger_records_behind"] == 0


def test_a_reload_replaces_the_admin_process_and_drops_no_request(box):
    before, problems, stop = box.admin_process(), [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                box.admin.get("customers")
            except Exception as error:  # noqa: BLE001
                problems.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    os.kill(box.supervisor, signal.SIGHUP)
    try:
        assert wait_until(lambda: box.admin_process() not in (None, before), 20)
        assert wait_until(lambda: before not in children(box.supervisor), 40)
    finally:
        stop.set()
        asking.join(30)
    assert not problems, problems[:3]


# A worker ends, hangs, or is slow


def test_a_check_is_asked_of_another_worker_when_one_ends(box):
    zone, replies = box.new_zone(), []
    with silent_name_servers(box):
        checks = [threading.Thread(target=lambda: replies.append(box.admin.post(f"zones/{zone}/check")))
                  for _ in range(2)]
        for each in checks:
            each.start()
        box.kill(worker(box, 0))
    for each in checks:
        each.join(60)
    assert len(replies) == 2
    for reply in replies:
        assert reply["status"] == "active" and reply["evidence"]["queries"], reply


def test_a_hanging_worker_is_no_end_of_checks(box):
    zone = box.new_zone()
    for slot in (0, 1):
        with stopped(worker(box, slot)):
            for _ in range(3):
                reply = box.admin.post(f"zones/{zone}/check")
                assert reply["delegation"]["status"] == "delegated", reply


def test_a_check_without_any_worker_is_refused_and_changes_nothing(box):
    zone = box.new_zone()
    before = box.admin.get(f"zones/{zone}")
    with stopped(worker(box, 0), worker(box, 1)):
        status, _, text = box.admin.fetch("POST", f"/admin/v1/zones/{zone}/check")
        assert status == 503 and b"no worker answered" in text, text
    assert box.admin.get(f"zones/{zone}")["checked_at"] >= before["checked_at"]
    assert box.admin.get(f"zones/{zone}")["status"] == "active"


# Health and readiness


def test_readyz_names_the_worker_that_does_not_answer(box):
    for slot in (0, 1):
        with stopped(worker(box, slot)):
            assert wait_until(lambda slot=slot: readiness(box)["workers"].get("workers") == [slot], 10)
            assert readiness(box)["ready"] is False
            assert box.admin.fetch("GET", "/healthz")[0] == 200
        box.wait_ready()


def test_no_worker_at_all_is_neither_healthy_nor_ready(box):
    with stopped(worker(box, 0), worker(box, 1)):
        status, _, text = box.admin.fetch("GET", "/healthz")
        assert status == 503 and b"no worker answers" in text
        assert readiness(box)["redis"] == {"ok": False, "reason": "no worker answers"}
        assert box.admin.fetch("GET", "/metrics")[0] == 200


def test_readyz_answers_while_the_signer_hangs(box):
    with stopped(box.signer()):
        assert wait_until(lambda: "has not answered" in readiness(box)["signer"].get("reason", ""), 10)
        document = readiness(box)
    assert document["ready"] is False and document["signer"]["workers"] == [0, 1]
    assert document["dns"] == document["workers"] == {"ok": True}


def test_readyz_answers_while_redis_hangs(box):
    with stopped(box.processes.pid("redis")):
        assert wait_until(lambda: not readiness(box)["ready"], 20)
        document = readiness(box)
        assert document["workers"] == {"ok": True} and not document["redis"]["ok"], document


def test_readyz_says_which_worker_cannot_use_redis(box):
    """Each connection to Redis is its owner's: one that is cut is one worker's."""
    box.kill_redis()
    try:
        assert wait_until(lambda: readiness(box)["redis"].get("workers") == [0, 1], 20)
    finally:
        box.start_redis()


# A worker in foreign hands


class FakeWorker:
    """Answers in a worker's place, on its path in the run directory; `behave(connection)` is what it does."""

    def __init__(self, box, slot, behave):
        self.box, self.behave = box, behave
        self.path = Path(box["ADMIN_SOCKET"]).parent / f"worker-{slot}.sock"
        self.aside = self.path.with_suffix(".aside")
        self.connections, self.threads, self.ends = 0, [], False

    def __enter__(self):
        self.path.rename(self.aside)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()
        self._renew()
        return self

    def _renew(self):
        """A new admin process connects to whoever is there now; one that ends by itself is followed at once."""
        before = self.box.admin_process()
        os.kill(before, signal.SIGTERM)
        assert wait_until(lambda: self.box.admin_process() not in (None, before), 20)

    def _accept(self):
        while not self.ends:
            if not select.select([self.listener], [], [], 0.1)[0]:
                continue
            connection, _ = self.listener.accept()
            connection.settimeout(5)
            self.connections += 1
            self.threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self.threads[-1].start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError, struct.error):
            self.behave(self, connection)

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()
        self.listener.close()
        for each in self.threads:
            each.join()
        self.path.unlink()
        self.aside.rename(self.path)
        self._renew()


def receive(connection):
    head = connection.recv(4, socket.MSG_WAITALL)
    length, = struct.unpack(">I", head)
    return json.loads(connection.recv(length, socket.MSG_WAITALL))


def send(connection, document):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    connection.sendall(struct.pack(">I", len(text)) + text)


def finding(**changed):
    return {"verdict": "ok", "reason": "ok", "text": "", "secure": False, "heard_parent": True, "delegated_to": [],
            **changed}


def result(question, **changed):
    return {"id": question["id"], "zones": [finding() for _ in question["zones"]],
            "names": [finding() for _ in question["names"]], "checked_at": 1, "queries": 1, "duration_ms": 1,
            "evidence": {}, **changed}


def answers(make):
    """Is there at once, and answers each check with what `make` says."""
    def behave(fake, connection):
        while not fake.ends:
            question = receive(connection)
            if question["ask"] == "publish":
                send(connection, {"id": question["id"]})
            elif question["ask"] == "readiness":
                send(connection, {"id": question["id"], **{part: {"ok": True, "reason": ""} for part in
                                                           ("redis", "ledger", "signer", "dns")}})
            else:
                send(connection, make(question))
    return behave


def sends(*pieces):
    """Is there at once, and sends the pieces whatever it is asked."""
    def behave(fake, connection):
        send(connection, {"id": receive(connection)["id"]})
        for piece in pieces:
            connection.sendall(piece)
        while connection.recv(65536):
            pass
    return behave


def never_reads(fake, connection):
    while not fake.ends:
        select.select([], [], [], 0.1)


def frame(text):
    return struct.pack(">I", len(text)) + text


LIES = {
    "a-frame-without-end": sends(struct.pack(">I", 0xFFFFFFFF)),
    "a-frame-of-nothing": sends(struct.pack(">I", 0)),
    "no-json": sends(frame(b"\0" * 64)),
    "deep-json": sends(frame(b"[" * 200000)),
    "many-values": sends(frame(b"[" + b"0," * 500000 + b"0]")),
    "answers-nobody-asked-for": sends(*[frame(b'{"id": 7}')] * 1000),
    "half-a-frame": sends(struct.pack(">I", 1000) + b"{"),
    "silence": never_reads,
    "other-zones": answers(lambda question: result(question, zones=[finding(), finding()])),
    "no-zones": answers(lambda question: result(question, zones=[])),
    "no-evidence": answers(lambda question: result(question, evidence=None)),
    "no-verdict": answers(lambda question: result(question, zones=[finding(verdict="yes")])),
    "a-reason-that-is-no-word": answers(lambda question: result(question, zones=[finding(reason="a b\n")])),
    "delegated-to-no-names": answers(lambda question: result(question, zones=[finding(delegated_to=["a\nb"])])),
    "delegated-to-many": answers(lambda question: result(question, zones=[finding(delegated_to=["a"] * 1000)])),
    "an-error": answers(lambda question: {"id": question["id"], "error": "internal", "text": "x" * 100000}),
    "busy": answers(lambda question: {"id": question["id"], "error": "busy", "text": "later"}),
    "another-id": answers(lambda question: {**result(question), "id": question["id"] + 1}),
    "not-an-object": answers(lambda question: [question["id"]]),
}


@pytest.mark.parametrize("behave", LIES.values(), ids=LIES.keys())
def test_a_worker_that_breaks_the_protocol_is_passed_over(box, behave):
    zone = box["ZONE"]
    with FakeWorker(box, 0, behave) as fake:
        victim = box.admin_process()
        assert wait_until(lambda: fake.connections > 0, 20)
        for _ in range(3):
            reply = box.admin.post(f"zones/{zone}/check")
            assert reply["status"] == "active" and reply["delegation"]["status"] == "delegated", reply
            assert reply["evidence"]["queries"], reply
        assert box.admin_process() == victim


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def test_a_worker_that_sends_without_end_makes_the_admin_process_no_larger(box):
    def behave(fake, connection):
        send(connection, {"id": receive(connection)["id"]})
        connection.sendall(struct.pack(">I", 2_000_000))
        while not fake.ends:
            connection.sendall(b"[" * 65536)

    with FakeWorker(box, 0, behave) as fake:
        assert wait_until(lambda: fake.connections > 0, 20)
        box.admin.get("customers")
        before = resident_kib(box.admin_process())
        assert wait_until(lambda: fake.connections > 3, 30)
        assert resident_kib(box.admin_process()) < before + 64 * 1024  # sanitizers keep what was freed for a while


def test_a_lie_is_about_the_zone_that_was_asked_and_stays_printable(box):
    """What a worker in foreign hands can do is lie in its answer: here about the text and the time."""
    zone = box.new_zone()
    text = "\x1b[31m" + "x" * 5000

    def lie(question):
        return result(question, zones=[finding(verdict="refused", reason="lame", text=text, heard_parent=False)],
                      checked_at=4102444800, evidence={"zones": [], "queries": []})

    with FakeWorker(box, 0, answers(lie)), stopped(worker(box, 1)):
        replies = [box.admin.post(f"zones/{zone}/check") for _ in range(2)]
    for reply in replies:
        assert reply["name"] == zone and reply["status"] == "active", reply  # one negative moves nothing
        assert "\x1b" not in reply["delegation"]["text"] and len(reply["delegation"]["text"]) <= 1024
        assert reply["checked_at"] < "2090"

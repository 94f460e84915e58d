"""SIGHUP changes configuration and certificate without a dropped request; SIGTERM lets requests finish."""

import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

import pytest

from acme_raw import AcmeClient
from under_test import ROOT, start_time, wait_end, wait_until

sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from certificates import make_listener_certificate  # noqa: E402


def hup(sandbox):
    """Reloads and returns when the supervisor says that the new generation serves."""
    before = sandbox.log_text().count("reload complete")
    os.kill(sandbox.supervisor, signal.SIGHUP)
    assert wait_until(lambda: sandbox.log_text().count("reload complete") > before, 30), sandbox.log_text()[-3000:]


def tls_connection(sandbox):
    context = ssl.create_default_context(cafile=sandbox["CA_BUNDLE"])
    raw = socket.create_connection(("127.0.0.1", sandbox.port_base), timeout=30)
    return context.wrap_socket(raw, server_hostname="localhost")


def served_certificate(sandbox):
    with tls_connection(sandbox) as connection:
        return connection.getpeercert()["serialNumber"]


class Traffic:
    """Threads that ask all the time; `errors` holds what went wrong, `count` what went well."""

    def __init__(self, sandbox, keeps_connection):
        self.sandbox, self.keeps_connection = sandbox, keeps_connection
        self.is_over = threading.Event()
        self.count, self.errors = 0, []
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        client = AcmeClient(self.sandbox["DIRECTORY_URL"], self.sandbox["CA_BUNDLE"])
        while not self.is_over.is_set():
            try:
                client.request("GET", self.sandbox["DIRECTORY_URL"]).expect(200)
                self.count += 1
            except Exception as error:  # noqa: BLE001: everything counts
                self.errors.append(repr(error))
            if not self.keeps_connection:
                client.close()
        client.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join(30)


@pytest.mark.parametrize("keeps_connection", [True, False], ids=["keep-alive", "new-connections"])
def test_reload_drops_no_request(own_sandbox, keeps_connection):
    with Traffic(own_sandbox, keeps_connection) as first, Traffic(own_sandbox, keeps_connection) as second:
        for _ in range(3):
            assert wait_until(lambda: first.count and second.count, 20)
            hup(own_sandbox)
            time.sleep(0.3)
        reached = first.count
        assert wait_until(lambda: first.count > reached + 5, 20)
    assert not first.errors + second.errors, (first.errors + second.errors)[:3]


def test_reload_during_issuances_loses_none(own_sandbox):
    client = own_sandbox.client()
    done, errors, is_over = [], [], threading.Event()

    def issue():
        while not is_over.is_set():
            try:
                done.append(client.issue([own_sandbox.name()]))
            except BaseException as error:  # noqa: BLE001
                errors.append(repr(error))

    thread = threading.Thread(target=issue)
    thread.start()
    for _ in range(3):
        reached = len(done)
        assert wait_until(lambda: len(done) > reached or errors, 30)
        hup(own_sandbox)
    is_over.set()
    thread.join(60)
    assert not errors, errors[:3]
    assert len(done) >= 3


def test_reload_takes_a_new_certificate(own_sandbox):
    before = served_certificate(own_sandbox)
    make_listener_certificate(own_sandbox.directory / "tls")
    hup(own_sandbox)
    assert served_certificate(own_sandbox) != before


def test_reload_with_a_mistake_keeps_the_former_configuration(own_sandbox):
    path = Path(own_sandbox["CONFIG"])
    good = path.read_text()
    assert wait_until(lambda: len(own_sandbox.workers()) == 2, 20)
    workers = own_sandbox.workers()
    path.write_text(re.sub(r"workers = \d+", "workers = 9999", good))
    os.kill(own_sandbox.supervisor, signal.SIGHUP)
    assert wait_until(lambda: "reload refused" in own_sandbox.log_text(), 20)
    path.write_text(good)
    assert own_sandbox.workers() == workers
    own_sandbox.client().issue([own_sandbox.name()])


def test_reload_changes_the_number_of_workers(own_sandbox):
    path = Path(own_sandbox["CONFIG"])
    good = path.read_text()
    path.write_text(re.sub(r"workers = \d+", "workers = 3", good))
    hup(own_sandbox)
    assert wait_until(lambda: len(own_sandbox.workers()) == 3, 20)
    path.write_text(good)
    hup(own_sandbox)
    assert wait_until(lambda: len(own_sandbox.workers()) == 2, 20)
    assert wait_until(lambda: list(own_sandbox.readiness_of_workers().values()) == [True, True], 20)
    own_sandbox.client().issue([own_sandbox.name()])


def test_a_worker_that_dies_is_seen_in_the_metrics_until_it_is_back(own_sandbox):
    own_sandbox.wait_ready()
    steady = own_sandbox.workers()[0]
    for _ in range(4):  # each time it is started later
        victims = []
        assert wait_until(lambda: victims.extend(set(own_sandbox.workers()) - {steady}) or victims, 20)  # noqa: B023
        own_sandbox.kill(victims[0])
    assert wait_until(lambda: not all(own_sandbox.readiness_of_workers().values()), 20, pause=0.01)
    assert wait_until(lambda: list(own_sandbox.readiness_of_workers().values()) == [True, True], 20)


def test_a_dead_worker_and_a_dead_signer_are_replaced(own_sandbox):
    victim = own_sandbox.workers()[0]
    own_sandbox.kill(victim)
    assert wait_until(lambda: len(own_sandbox.workers()) == 2 and victim not in own_sandbox.workers(), 20)
    signer = own_sandbox.signer()
    own_sandbox.kill(signer)
    assert wait_until(lambda: own_sandbox.signer() not in (None, signer), 20)
    own_sandbox.wait_ready()
    own_sandbox.client().issue([own_sandbox.name()])


class BegunRequest:
    """A request of which the server has seen only the first bytes of the body when it is told to stop."""

    body = b'{"protected":"","payload":"","signature":""}'

    def __init__(self, sandbox):
        self.connection = tls_connection(sandbox)
        self.connection.sendall(b"POST /acme/new-account HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                                b"application/jose+json\r\nContent-Length: %d\r\n\r\n" % len(self.body)
                                + self.body[:10])
        time.sleep(0.2)
        self.pid = sandbox.supervisor
        self.started = start_time(self.pid)
        os.kill(self.pid, signal.SIGTERM)
        time.sleep(0.5)

    def finish(self):
        self.connection.sendall(self.body[10:])
        reply = self.connection.recv(4096)
        self.connection.close()
        return reply


@pytest.fixture
def stopping(own_sandbox):
    """A server that drains; it runs again afterwards."""
    request = BegunRequest(own_sandbox)
    yield request
    request.connection.close()
    assert wait_end(request.pid, request.started, 20)
    own_sandbox.up()
    own_sandbox.client().issue([own_sandbox.name()])


def test_sigterm_finishes_a_request_that_has_begun(stopping):
    reply = stopping.finish()
    assert reply.startswith(b"HTTP/1.1 4"), reply
    assert b"connection: close" in reply.lower(), reply
    assert wait_end(stopping.pid, stopping.started, 10)


def test_a_draining_server_refuses_new_connections_at_once(own_sandbox, stopping):
    """Otherwise they would wait in a queue that nobody serves any more, and be reset at its end."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own_sandbox.port_base), timeout=5).close()
    assert stopping.finish().startswith(b"HTTP/1.1 4")

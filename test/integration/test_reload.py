"""A reload changes configuration and certificate without a dropped request, or changes nothing; SIGTERM lets requests
finish."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from acme_raw import AcmeClient
from under_test import ROOT, children, name_of, run, silent_name_servers, start_time, stopped, wait_end, wait_until

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
    signer = own_sandbox.signer()
    hup(own_sandbox)
    assert wait_until(lambda: len(own_sandbox.workers()) == 2, 20)
    # It takes as many connections as there are workers, so it is started again too.
    assert wait_until(lambda: own_sandbox.signer() not in (None, signer), 20)
    own_sandbox.wait_ready()
    assert wait_until(lambda: list(own_sandbox.readiness_of_workers().values()) == [True, True], 20)
    own_sandbox.client().issue([own_sandbox.name()])


# A reload that fails


def reload(sandbox):
    return sandbox.server_tool("reload", check=False)


@contextlib.contextmanager
def replaced(path, content):
    path = Path(path)
    before, mode = path.read_bytes(), path.stat().st_mode
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)
        path.chmod(mode)


def configured(sandbox, section, line):
    key = line.split()[0]
    lines = [each for each in Path(sandbox["CONFIG"]).read_text().splitlines() if not each.strip().startswith(f"{key} =")]
    lines.insert(lines.index(f"{section} {{") + 1, f"    {line}")
    return replaced(sandbox["CONFIG"], ("\n".join(lines) + "\n").encode())


def processes(sandbox):
    """Workers that are not on their way out, and the signer."""
    return sorted(sandbox.workers()), sandbox.signer()


def settled(sandbox):
    """Only those in force are there, none of them on its way out (a signer takes 0.2 s for that)."""
    seen = []

    def is_settled():
        time.sleep(0.4)
        seen.append(processes(sandbox))
        return (len(seen) > 1 and seen[-1] == seen[-2] and len(seen[-1][0]) == 2 and seen[-1][1] and
                all(sandbox.readiness_of_workers().values()))

    assert wait_until(is_settled, 30), seen[-1]
    return seen[-1]


@contextlib.contextmanager
def another_tls_key(sandbox):
    with replaced(sandbox.directory / "tls" / "server.pem", (sandbox.directory / "tls" / "ca.pem").read_bytes()):
        yield "server.pem"


@contextlib.contextmanager
def certificate_before_its_key(sandbox):
    """The first half of a renewal."""
    tls = sandbox.directory / "tls"
    key = (tls / "server-key.pem").read_bytes()
    old = (tls / "server.pem").read_bytes()
    make_listener_certificate(tls)
    with replaced(tls / "server-key.pem", key):
        yield "server-key.pem"
    (tls / "server.pem").write_bytes(old)
    (tls / "server-key.pem").write_bytes(key)


@contextlib.contextmanager
def malformed_secret(sandbox):
    with replaced(sandbox.directory / "secret", b"no hex digits\n"):
        yield "64 hex digits"


@contextlib.contextmanager
def missing_issuing_certificate(sandbox):
    with replaced(sandbox["ISSUER_ECC"], None):
        yield "issuer-ecc.pem"


@contextlib.contextmanager
def issuing_certificate_of_another_key(sandbox):
    with replaced(sandbox["ISSUER_ECC"], Path(sandbox["ISSUER_RSA"]).read_bytes()):
        yield "the ledger knows another key"


@contextlib.contextmanager
def wrong_pin(sandbox):
    with replaced(sandbox["PKCS11_PIN_FILE"], b"00000000\n"):
        yield "refused the PIN"


@contextlib.contextmanager
def missing_pin_file(sandbox):
    with configured(sandbox, "signer", 'pkcs11_pin_file = "/nonexistent/pin"'):
        yield "/nonexistent/pin"


@contextlib.contextmanager
def another_redis(sandbox):
    with configured(sandbox, "server", "ready_wait_seconds = 2"), \
            configured(sandbox, "redis", 'redis_socket = "/nonexistent/redis.sock"'):
        yield "does not serve, although the former ones do"


@contextlib.contextmanager
def dns_port_that_nobody_serves(sandbox):
    with configured(sandbox, "dns", "dns_port = 5353"):
        yield "cannot use DNS, although the former ones can: "


@contextlib.contextmanager
def root_servers_that_are_not_there(sandbox):
    hints = sandbox.directory / "dead.hints"
    hints.write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.6.6\n")
    with configured(sandbox, "dns", f'root_hints_file = "{hints}"'):
        yield "cannot use DNS, although the former ones can: "


@contextlib.contextmanager
def mistake(sandbox):
    with configured(sandbox, "server", "workers = 9999"):
        yield "server.workers"


@contextlib.contextmanager
def another_run_directory(sandbox):
    with configured(sandbox, "signer", 'host_name = "another"'):
        yield "signer.host_name cannot change"


@contextlib.contextmanager
def port_of_somebody_else(sandbox):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with configured(sandbox, "server", f'http_listen = {{"127.0.0.1:{port}"}}'):
            yield f"127.0.0.1:{port}"


@pytest.mark.parametrize("broken", [another_tls_key, certificate_before_its_key, malformed_secret,
                                    missing_issuing_certificate, issuing_certificate_of_another_key, wrong_pin,
                                    missing_pin_file, another_redis, mistake, another_run_directory,
                                    port_of_somebody_else, dns_port_that_nobody_serves,
                                    root_servers_that_are_not_there])
def test_a_reload_that_would_not_serve_changes_nothing_and_says_so(own_sandbox, broken):
    before = settled(own_sandbox)
    serial = served_certificate(own_sandbox)
    failures = own_sandbox.admin.metrics()["originca_reload_failures_total"]
    with Traffic(own_sandbox, False) as traffic:
        with broken(own_sandbox) as reason:
            result = reload(own_sandbox)
            assert result.returncode == 1, result
            assert "reload failed, the former configuration stays in force" in result.stderr, result
            assert reason in result.stderr, result.stderr
            assert settled(own_sandbox) == before
            metrics = own_sandbox.admin.metrics()
            assert metrics["originca_reload_failures_total"] == failures + 1
            assert metrics["originca_last_reload_successful"] == 0
            assert abs(metrics["originca_last_reload_timestamp_seconds"] - time.time()) < 60
            own_sandbox.client().issue([own_sandbox.name()])
            assert served_certificate(own_sandbox) == serial
        result = reload(own_sandbox)
        assert result.returncode == 0 and "in force" in result.stdout, result
    assert not traffic.errors, traffic.errors[:3]
    metrics = own_sandbox.admin.metrics()
    assert metrics["originca_reload_failures_total"] == failures + 1
    assert metrics["originca_last_reload_successful"] == 1
    settled(own_sandbox)
    own_sandbox.client().issue([own_sandbox.name()])


def test_a_port_that_was_tried_refuses_connections_again(own_sandbox):
    """Nobody may wait in a queue that no worker will ever serve."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with configured(own_sandbox, "server", f'http_listen = {{"127.0.0.1:{port}"}}'):
        with malformed_secret(own_sandbox):
            assert reload(own_sandbox).returncode == 1
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
        assert reload(own_sandbox).returncode == 0
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert reload(own_sandbox).returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_a_redis_that_is_away_for_both_does_not_count_against_the_new_configuration(own_sandbox):
    settled(own_sandbox)
    with configured(own_sandbox, "server", "ready_wait_seconds = 2"):
        before = set(own_sandbox.workers())
        own_sandbox.kill_redis()
        try:
            assert wait_until(lambda: not any(own_sandbox.readiness_of_workers().values()), 20)
            result = reload(own_sandbox)
            assert result.returncode == 0, result
            assert wait_until(lambda: not before & set(own_sandbox.workers()), 20)
        finally:
            own_sandbox.start_redis()
        own_sandbox.wait_ready()
        own_sandbox.client().issue([own_sandbox.name()])
    assert reload(own_sandbox).returncode == 0


def test_a_dns_that_is_away_for_both_does_not_count_against_the_new_configuration(own_sandbox):
    """A mend of the root's servers must get in as well."""
    before = set(settled(own_sandbox)[0])
    with contextlib.ExitStack() as stack:
        for group in ("root", "tld", "provider", "foreign"):
            stack.enter_context(silent_name_servers(own_sandbox, group))
        result = reload(own_sandbox)
        assert result.returncode == 0, result
        assert wait_until(lambda: not before & set(own_sandbox.workers()), 20)
    assert reload(own_sandbox).returncode == 0
    own_sandbox.wait_ready()
    own_sandbox.client().issue([own_sandbox.name()])


def test_the_signer_takes_a_renewed_issuing_certificate(own_sandbox):
    _, signer = settled(own_sandbox)
    with replaced(own_sandbox["ISSUER_ECC"], Path(own_sandbox["ISSUER_ECC"]).read_bytes() + b"\n"):
        assert reload(own_sandbox).returncode == 0
        assert wait_until(lambda: own_sandbox.signer() not in (None, signer), 20)
    own_sandbox.wait_ready()
    own_sandbox.client().issue([own_sandbox.name()])
    assert reload(own_sandbox).returncode == 0
    settled(own_sandbox)


# What comes in the middle of one


def child(sandbox, name):
    return next((pid for pid in children(sandbox.supervisor) if name_of(pid) == name), None)


@contextlib.contextmanager
def reload_in_the_middle(sandbox):
    """The check of the signer's settings is stopped; yields it and the waiting command."""
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    found = []
    command = subprocess.Popen([program, "-c", sandbox["CONFIG"], "reload"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(20000):  # it lives for a tenth of a second
            found = [pid for pid in children(sandbox.supervisor) if name_of(pid) == "oca-check"]
            if found:
                break
        assert found, sandbox.log_text()[-2000:]
        with stopped(found[0]):
            yield found[0], command
        command.wait(60)
    finally:
        if command.poll() is None:
            command.kill()
        command.stdout.close()
        command.wait()


def test_sighups_in_a_row_end_with_the_newest_configuration(own_sandbox):
    settled(own_sandbox)
    with reload_in_the_middle(own_sandbox) as (_, command):
        with configured(own_sandbox, "server", "workers = 3"):
            before = own_sandbox.log_text().count("reload complete")
            for _ in range(5):
                os.kill(own_sandbox.supervisor, signal.SIGHUP)
                time.sleep(0.05)
            os.kill(child(own_sandbox, "oca-check"), signal.SIGCONT)
            assert wait_until(lambda: own_sandbox.log_text().count("reload complete") == before + 2, 30)
            assert command.wait(30) == 0
            assert wait_until(lambda: len(own_sandbox.workers()) == 3, 30)
    assert reload(own_sandbox).returncode == 0
    settled(own_sandbox)


def test_the_check_of_the_signer_dies(own_sandbox):
    before = settled(own_sandbox)
    with reload_in_the_middle(own_sandbox) as (check, command):
        os.kill(check, signal.SIGKILL)
        assert command.wait(30) == 1
        assert "signal 9" in command.stdout.read()
    assert settled(own_sandbox) == before


def test_a_worker_and_the_signer_in_force_die_during_a_reload(own_sandbox):
    workers, signer = settled(own_sandbox)
    with reload_in_the_middle(own_sandbox) as (check, command):
        own_sandbox.kill(workers[0])
        own_sandbox.kill(signer)
        assert wait_until(lambda: len(own_sandbox.workers()) == 2 and own_sandbox.signer(), 20)
        own_sandbox.wait_ready()
        own_sandbox.client().issue([own_sandbox.name()])
        os.kill(check, signal.SIGCONT)
        assert command.wait(60) == 0, command.stdout.read()
    settled(own_sandbox)
    own_sandbox.client().issue([own_sandbox.name()])


def test_a_new_worker_dies_before_it_serves(own_sandbox):
    before = settled(own_sandbox)
    with reload_in_the_middle(own_sandbox) as (check, command):
        with stopped(own_sandbox.processes.pid("redis")):
            os.kill(check, signal.SIGCONT)
            assert wait_until(lambda: set(own_sandbox.workers()) - set(before[0]), 20, pause=0.01)
            own_sandbox.kill(min(set(own_sandbox.workers()) - set(before[0])))
            assert command.wait(30) == 1
        assert "ended (signal 9)" in command.stdout.read()
    assert settled(own_sandbox) == before
    own_sandbox.client().issue([own_sandbox.name()])


def test_a_check_that_hangs_is_given_up(own_sandbox):
    with configured(own_sandbox, "server", "ready_wait_seconds = 1"):
        before = settled(own_sandbox)
        with reload_in_the_middle(own_sandbox) as (_, command):
            assert command.wait(30) == 1
            assert "in 2 seconds" in command.stdout.read()
        assert settled(own_sandbox) == before


def test_a_reload_while_no_server_runs_says_so(own_sandbox, tmp_path):
    text = Path(own_sandbox["CONFIG"]).read_text()
    path = tmp_path / "originca.conf"
    path.write_text(re.sub(r'run_directory = ".*"', f'run_directory = "{tmp_path}"', text))
    program = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    (tmp_path / "originca-server.pid").write_text(f"{os.getpid()}\n")  # left behind; the number is somebody else's
    result = run([program, "-c", path, "reload"], check=False)
    assert result.returncode == 1 and "no server runs" in result.stderr, result


# Deaths


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


def test_a_stop_ends_a_reload_and_its_command_hears_it(own_sandbox):
    settled(own_sandbox)
    pid = own_sandbox.supervisor
    started = start_time(pid)
    with reload_in_the_middle(own_sandbox) as (_, command):
        os.kill(pid, signal.SIGTERM)
        assert command.wait(30) == 1
        assert "being stopped" in command.stdout.read()
    assert wait_end(pid, started, 30)
    own_sandbox.up()
    own_sandbox.client().issue([own_sandbox.name()])

"""Clients as they are shipped finish an order through an outage: of the signer for 20 seconds, of Redis for 6, and of every
process that serves. All four are under way at once, each at another place of its order."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from clients import check
from test_client_acme_client import AcmeClientJs, eab
from test_client_certbot import Certbot
from test_client_dehydrated import Dehydrated
from test_client_lego import Lego
from under_test import children, name_of, run, stopped, wait_until

SANDBOX_OPTIONS = ("--workers", "2", "--set", "signer.signer_timeout_ms=3000")
SIGNER_AWAY, REDIS_AWAY = 20, 6  # seconds
FINISHED = 150


class Run(threading.Thread):
    """One client that obtains one certificate."""

    def __init__(self, sandbox, tool):
        super().__init__()
        self.sandbox, self.tool = sandbox, tool
        self.names, self.problem, self.got = [sandbox.name()], None, None
        self.start()

    def run(self):
        try:
            self.got = self.tool.obtain(self.names, "p256")
        except BaseException as problem:  # noqa: BLE001: told by the main thread
            self.problem = problem

    def check(self):
        self.join(FINISHED)
        assert not self.is_alive(), f"{type(self.tool).__name__} is not finished"
        assert self.problem is None, f"{type(self.tool).__name__}: {self.problem}\n{self.sandbox.log_text()[-3000:]}"
        check(self.sandbox, *self.got, self.names, "p256")


@pytest.fixture(scope="module")
def tools(own_sandbox, npm_modules, tmp_path_factory):
    """Registered, and each with a certificate already, so that nothing but the order is left."""
    tools = [Certbot(own_sandbox, tmp_path_factory.mktemp("certbot")),
             Dehydrated(own_sandbox, tmp_path_factory.mktemp("dehydrated")),
             Lego(own_sandbox, tmp_path_factory.mktemp("lego")),
             AcmeClientJs(own_sandbox, npm_modules, tmp_path_factory.mktemp("acme-client"), eab(own_sandbox))]
    tools[0].register()
    tools[1]("--register", "--accept-terms")
    for tool in tools:
        tool.obtain([own_sandbox.name()], "p256")
    return tools


@pytest.fixture
def runs(own_sandbox, tools):
    own_sandbox.wait_ready()
    return lambda but=(): [Run(own_sandbox, tool) for tool in tools if not isinstance(tool, but)]


def check_all(runs):
    for each in runs:
        each.check()


@pytest.mark.parametrize("ends_by", ["waking up", "dying"])
def test_clients_finish_through_a_loss_of_the_signer(own_sandbox, runs, ends_by):
    signer = own_sandbox.signer()
    with stopped(signer):
        begun = runs()
        time.sleep(SIGNER_AWAY)
        if ends_by == "dying":
            own_sandbox.kill(signer)
    check_all(begun)


def all_are_processing(sandbox, count):
    return wait_until(lambda: len(sandbox.listing("orders?status=processing")) >= count, 60, pause=0.1)


def unreachable(sandbox):
    """Nobody reaches Redis, which loses nothing."""
    path = Path(sandbox["REDIS_SOCKET"])
    hidden = path.with_suffix(".away")
    path.rename(hidden)
    run(["redis-cli", "-s", hidden, "CLIENT", "KILL", "TYPE", "normal"])
    time.sleep(REDIS_AWAY)
    hidden.rename(path)


def restarted(sandbox):
    sandbox.kill_redis()
    time.sleep(REDIS_AWAY)
    sandbox.start_redis()


def wait_for_a_pause(of):
    """dehydrated has just begun to sleep between two polls: it holds no nonce for two seconds."""
    def sleeps():
        waiting = children(os.getpid(), of.native_id)  # the thread's
        while waiting:
            pid = waiting.pop()
            if name_of(pid) == "sleep":
                return True
            waiting += children(pid)
        return False

    assert wait_until(lambda: not sleeps(), 30, pause=0.01)
    assert wait_until(sleeps, 30, pause=0.01)


@pytest.mark.parametrize("lose", [unreachable, restarted])
def test_clients_finish_through_a_loss_of_redis(own_sandbox, runs, lose):
    """After a restart of Redis nonces of before count no more, and dehydrated never sends a request again: it takes a
    new one before each request, and none is given out while Redis is away."""
    with stopped(own_sandbox.signer()):
        begun = runs()
        assert all_are_processing(own_sandbox, len(begun))
        wait_for_a_pause(next(each for each in begun if isinstance(each.tool, Dehydrated)))
        lose(own_sandbox)
    check_all(begun)


def test_no_nonce_is_given_out_while_redis_is_away(own_sandbox):
    """It waits for Redis as a request does, and counts after the restart."""
    own_sandbox.wait_ready()
    client = own_sandbox.client()
    own_sandbox.kill_redis()
    nonces = []
    asked = threading.Thread(target=lambda: nonces.append(client.twin().take_nonce()))
    asked.start()
    time.sleep(1.5)  # more than a second older than the new Redis
    assert not nonces
    own_sandbox.start_redis()
    asked.join(60)
    client.nonce = nonces[0]
    client.post(client.kid, header={}).expect(200)  # sent once


def test_clients_finish_while_every_process_is_replaced(own_sandbox, runs):
    """The supervisor keeps the sockets: who connects meanwhile waits."""
    with stopped(own_sandbox.signer()):
        begun = runs()
        assert all_are_processing(own_sandbox, len(begun))
    os.kill(own_sandbox.supervisor, signal.SIGHUP)
    own_sandbox.kill(own_sandbox.signer())
    check_all(begun)


def test_a_request_that_redis_did_not_answer_is_sent_again_by_its_client(own_sandbox):
    own_sandbox.wait_ready()
    client = own_sandbox.client()
    with stopped(own_sandbox.processes.pid("redis")):
        asked = threading.Thread(target=lambda: replies.append(client.post(client.kid, {})))
        replies = []
        asked.start()
        time.sleep(REDIS_AWAY)
    asked.join(60)
    assert replies and replies[0].status == 200, replies
    assert "it is not known whether a nonce was spent" in own_sandbox.log_text()

"""What breaks inside is told to the log. Clients of ACME and REST get a neutral sentence and the id to ask with."""

import re

import pytest

from acme_raw import make_csr, make_key
from rest_client import make_csr as make_rest_csr
from rest_client import rest
from under_test import run, stopped
from verify import der_of, load_chain

SANDBOX_OPTIONS = ("--workers", "1", "--set", "signer.signer_timeout_ms=1500", "--set", "redis.redis_command_timeout_ms=1500")
INSIDE = re.compile(r"redis|script|lua|ledger|signer|token|\boom\b|maxmemory|wrongtype|sequence|socket|user_script|attempt\b|"
                    r"change happened|nothing was sent|connected|disk|/tmp|[0-9a-f]{40}", re.IGNORECASE)


def redis(sandbox, *command):
    return run(["redis-cli", "-s", sandbox["REDIS_SOCKET"], *command]).stdout.strip()


class Clients:
    """Everything that a client may ask for, prepared while all is well."""

    def __init__(self, sandbox):
        self.sandbox, self.acme, self.rest = sandbox, sandbox.client(), rest(sandbox)
        self.account = self.acme.kid.rpartition("/")[2]
        self.own = [der_of(load_chain(self.acme.issue([sandbox.name()])[1])[0]) for _ in range(2)]
        self.zone = sandbox.admin.get(f"zones/{sandbox['ZONE']}")["id"]
        self.made = self.rest.create([sandbox.name()], make_rest_csr()).result["id"]
        self.name = sandbox.name()
        created = self.acme.new_order([self.name]).expect(201)
        self.url, self.order = created.headers["Location"], created.json
        self.acme.close()

    def ask_all(self):
        """The replies that are no success."""
        acts = [lambda: self.acme.new_order([self.sandbox.name()]),
                lambda: self.acme.finalize(self.order, make_csr(make_key("p256"), [self.name])),
                lambda: self.acme.post(self.url),
                lambda: self.acme.revoke(self.own[0], 4),
                lambda: self.acme.post(self.acme.kid, {"contact": []}),
                lambda: self.rest.create([self.sandbox.name()], make_rest_csr()),
                lambda: self.rest.list(self.zone),
                lambda: self.rest.get(self.made),
                lambda: self.rest.revoke(self.made)]
        return [reply for reply in (act() for act in acts) if reply.status >= 400]


def text_of(reply):
    return reply.body if isinstance(reply.body, str) else reply.body.decode()


def check_outward(sandbox, replies, told_inside, at_least=1):
    """Each reply has its request's id, under which the log says what was wrong."""
    broken = [reply for reply in replies if reply.status >= 500]
    assert len(broken) >= at_least, [text_of(reply) for reply in replies]
    for reply in replies:
        assert not INSIDE.search(text_of(reply)), text_of(reply)
    for reply in broken:
        assert reply.headers["X-Request-Id"] in text_of(reply), text_of(reply)
        assert reply.status == 500 or reply.headers["Retry-After"].isdigit()
    ids = {reply.headers["X-Request-Id"] for reply in broken}
    told = [line for line in sandbox.log_text().splitlines() if any(f"request={each}" in line for each in ids)]
    assert any(told_inside in line for line in told), told


@pytest.fixture
def clients(own_sandbox):
    own_sandbox.wait_ready()
    yield Clients(own_sandbox)
    own_sandbox.wait_ready()


def test_failing_script(own_sandbox, clients):
    keys = [f"zone-orders:{clients.zone}", f"zone-certificates:{clients.zone}"]
    for key in keys:
        redis(own_sandbox, "RENAME", key, f"kept-{key}")
        redis(own_sandbox, "SET", key, "no index")
    try:
        replies = clients.ask_all()
    finally:
        for key in keys:
            redis(own_sandbox, "RENAME", f"kept-{key}", key)
    check_outward(own_sandbox, replies, "WRONGTYPE", 2)


def test_redis_without_memory(own_sandbox, clients):
    redis(own_sandbox, "CONFIG", "SET", "maxmemory", "1")
    try:
        replies = clients.ask_all()
    finally:
        redis(own_sandbox, "CONFIG", "SET", "maxmemory", "0")
    check_outward(own_sandbox, replies, "maxmemory", 4)


def test_redis_that_does_not_answer(own_sandbox, clients):
    with stopped(own_sandbox.processes.pid("redis")):
        replies = clients.ask_all()
    check_outward(own_sandbox, replies, "Redis did not answer in time", 4)


def test_redis_that_is_away(own_sandbox, clients):
    own_sandbox.kill_redis()
    replies = clients.ask_all()
    own_sandbox.start_redis()
    check_outward(own_sandbox, replies, "Redis", 4)


def test_signer_that_does_not_answer(own_sandbox, clients):
    with stopped(own_sandbox.signer()):
        replies = clients.ask_all()
    check_outward(own_sandbox, replies, "the signer did not answer in time", 2)


def test_signer_that_is_told_to_stop(own_sandbox, clients):
    own_sandbox.admin_command("signing", "stop", "--this-host")
    try:
        replies = clients.ask_all()
    finally:
        own_sandbox.admin_command("signing", "allow", "--this-host")
    check_outward(own_sandbox, replies, "stopped by an operator")


def test_signer_that_refuses(own_sandbox, clients):
    """A profile that the signer alone does not know: its problem is the order's, and what the client reads later too."""
    redis(own_sandbox, "HSET", f"order:{clients.url.rpartition('/')[2]}", "profile", "gone")
    refused = clients.acme.finalize(clients.order, make_csr(make_key("p256"), [clients.name])).expect(400)
    kept = clients.acme.post(clients.url).expect(200)
    assert kept.json["status"] == "invalid"
    for text in (text_of(refused), kept.json["error"]["detail"]):
        assert not INSIDE.search(text), text
    assert refused.headers["X-Request-Id"] in kept.json["error"]["detail"]
    told = [line for line in own_sandbox.log_text().splitlines() if refused.headers["X-Request-Id"] in line]
    assert any("profile" in line for line in told), told

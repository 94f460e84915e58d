"""What makes Redis unfit while it runs is found without a restart, said in readyz, and forgiven when it is mended."""

import pytest

from fence_kit import wait_not_ready
from test_outward_texts import redis
from under_test import wait_until

SANDBOX_OPTIONS = ("--workers", "2", "--set", "redis.redis_check_seconds=1", "--set", "server.outage_wait_ms=0")


@pytest.mark.parametrize("setting, bad, good, words", [
    ("appendonly", "no", "yes", ("appendonly yes",)),
    ("appendfsync", "everysec", "always", ("appendfsync always",)),
    ("maxmemory-policy", "allkeys-lru", "noeviction", ("noeviction",)),
    ("maxmemory", "1", "0", ("no memory left", "maxmemory"))])
def test_redis_that_becomes_unfit_is_not_served_until_it_is_mended(own_sandbox, setting, bad, good, words):
    own_sandbox.wait_ready()
    redis(own_sandbox, "CONFIG", "SET", setting, bad)
    try:
        wait_not_ready(own_sandbox, "redis", *words)
        client = own_sandbox.client(is_registered=False)
        reply = client.register(own_sandbox["EAB_KID"], own_sandbox["EAB_HMAC"])
        assert reply.status == 503 and reply.headers["Retry-After"].isdigit(), reply.text
    finally:
        redis(own_sandbox, "CONFIG", "SET", setting, good)
    own_sandbox.wait_ready()
    own_sandbox.client().issue([own_sandbox.name()])


@pytest.mark.parametrize("bad, good, words", [
    (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0"), "NOREPLICAS"),
    (("ACL", "SETUSER", "default", "-evalsha"), ("ACL", "SETUSER", "default", "+@all"), "evalsha"),
    (("ACL", "SETUSER", "default", "-hset"), ("ACL", "SETUSER", "default", "+@all"), "may not run HSET"),
    (("ACL", "SETUSER", "default", "resetkeys", "~ledger*", "~nonce*"), ("ACL", "SETUSER", "default", "~*"),
     "may not use keys like account"),
], ids=["replicas", "script", "command", "keys"])
def test_redis_that_takes_no_change_is_not_ready(own_sandbox, bad, good, words):
    """It may be read, and the connection stays; but nothing can be issued."""
    client = own_sandbox.client()
    own_sandbox.wait_ready()
    redis(own_sandbox, *bad)
    try:
        assert wait_until(lambda: words in own_sandbox.admin.readiness()[1], 20), own_sandbox.admin.readiness()
        assert not own_sandbox.admin.readiness()[0]
        reply = client.new_order([own_sandbox.name()])
        is_passing = reply.status == 503 and reply.headers["Retry-After"].isdigit()
        assert is_passing or reply.problem == "badNonce", reply.text
    finally:
        redis(own_sandbox, *good)
    own_sandbox.wait_ready()
    client.issue([own_sandbox.name()])

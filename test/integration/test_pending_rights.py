"""What an operator gives or takes while Redis takes no change stands in the ledger: he hears that it will take effect, and it does,
also when he never says it again."""

from types import SimpleNamespace

import pytest

from admin_api import AdminError
from fence_kit import RECOVERY, box, redis, release, wait_well  # noqa: F401
from under_test import wait_until

SANDBOX_OPTIONS = ("--workers", "1", "--set", "redis.redis_check_seconds=3600")


@pytest.fixture
def made(box):  # noqa: F811
    """A customer with a key of each kind, and a zone that is not his only one."""
    customer = box.new_customer()
    keys = [box.admin.post(f"customers/{customer.id}/{kind}", body) for kind, body in
            (("api-keys", {"kind": "service-key"}), ("eab-keys", {}))]
    client = box.client(is_registered=False)
    client.register(keys[1]["kid"], keys[1]["hmac"]).expect(201)
    return SimpleNamespace(account=client.kid.rpartition("/")[2], customer=customer.id, api_key=keys[0]["id"],
                           eab_key=keys[1]["kid"], zone=customer.zone, zone_id=box.admin.get(f"zones/{customer.zone}")["id"], issuer="ecc")


def is_revoked(box, keys, member, key):  # noqa: F811
    return [each["revoked"] for each in box.admin.get(keys)["items"] if each[member] == key] == [True]


def is_deactivated(box, made):  # noqa: F811
    return box.admin.get(f"acme-accounts/{made.account}")["status"] == "deactivated"


def is_stopped(box, issuer=None):  # noqa: F811
    issuance = box.admin.get("issuance")
    if issuer is None:
        return issuance["stopped"]
    return any(each["of"] == "issuer" and each["name"] == issuer for each in issuance["items"])


# What is done before with a Redis that takes it, the act, the kind of its record, and whether Redis has it.
ACTS = {
    "API key delete": (None, ("DELETE", "customers/{0.customer}/api-keys/{0.api_key}"), "api-key-ended",
                       lambda box, made: is_revoked(box, f"customers/{made.customer}/api-keys", "id", made.api_key)),
    "EAB key delete": (None, ("DELETE", "customers/{0.customer}/eab-keys/{0.eab_key}"), "eab-key-ended",
                       lambda box, made: is_revoked(box, f"customers/{made.customer}/eab-keys", "kid", made.eab_key)),
    "account deactivate": (None, ("POST", "acme-accounts/{0.account}/deactivate"), "account-deactivated",
                           lambda box, made: is_deactivated(box, made)),
    # The key alone has ended before.
    "bound accounts end": (("DELETE", "customers/{0.customer}/eab-keys/{0.eab_key}"), ("DELETE", "customers/{0.customer}/eab-keys/{0.eab_key}?accounts=deactivate"),
                           "account-deactivated", lambda box, made: is_deactivated(box, made)),
    "zone pause": (None, ("POST", "zones/{0.zone}/pause"), "zone-paused",
                   lambda box, made: box.admin.get(f"zones/{made.zone}")["status"] == "paused"),
    "zone resume": ("zones/{0.zone}/pause", ("POST", "zones/{0.zone}/resume"), "zone-resumed",
                    lambda box, made: box.admin.get(f"zones/{made.zone}")["status"] != "paused"),
    "zone delete": (None, ("DELETE", "zones/{0.zone_id}"), "zone-ended",
                    lambda box, made: redis(box, "HGET", f"zone:{made.zone_id}", "status") == "deleted"),
    "customer suspend": (None, ("POST", "customers/{0.customer}/suspend"), "customer-suspended",
                         lambda box, made: "suspended_at" in box.admin.get(f"customers/{made.customer}")),
    "customer resume": ("customers/{0.customer}/suspend", ("POST", "customers/{0.customer}/resume"), "customer-resumed",
                        lambda box, made: "suspended_at" not in box.admin.get(f"customers/{made.customer}")),
    "issuance stop": (None, ("POST", "issuance/stop"), "issuance-stopped", lambda box, made: is_stopped(box)),
    "issuance allow": ("issuance/stop", ("POST", "issuance/allow"), "issuance-allowed",
                       lambda box, made: not is_stopped(box)),
    "issuer stop": (None, ("POST", "issuers/{0.issuer}/stop"), "issuer-stopped",
                    lambda box, made: is_stopped(box, made.issuer)),
    "issuer allow": ("issuers/{0.issuer}/stop", ("POST", "issuers/{0.issuer}/allow"), "issuer-allowed",
                     lambda box, made: not is_stopped(box, made.issuer)),
}


@pytest.mark.parametrize("act", ACTS)
def test_what_the_ledger_has_is_said_to_be_pending_and_takes_effect(box, made, act):  # noqa: F811
    before, (method, target), kind, is_done = ACTS[act]
    if before is not None:
        earlier, path = before if isinstance(before, tuple) else ("POST", before)
        box.admin.call(earlier, path.format(made))
    assert not is_done(box, made)
    count = len(box.ledger(kind))
    redis(box, "CONFIG", "SET", "min-replicas-to-write", "1")
    try:
        with pytest.raises(AdminError, match="recorded in the ledger and will take effect") as refused:
            box.admin.call(method, target.format(made))
    finally:
        release(box)
    try:
        assert refused.value.status == 503 and refused.value.code == "pending"
        assert wait_until(lambda: is_done(box, made), RECOVERY)
        assert len(box.ledger(kind)) == count + 1
        wait_well(box)
        box.admin.call(method, target.format(made))  # the same call again confirms it
    finally:
        for each in ("issuance/allow", f"issuers/{made.issuer}/allow"):
            box.admin.post(each)

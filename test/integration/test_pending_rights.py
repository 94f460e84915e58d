"""What an operator ends while Redis takes no change stands in the ledger: he hears that it will take effect, and it does."""

import pytest

from admin_api import AdminError
from fence_kit import box, redis, release, wait_well  # noqa: F401

SANDBOX_OPTIONS = ("--workers", "1", "--set", "redis.redis_check_seconds=3600")


def test_what_the_ledger_has_is_said_to_be_pending(box):  # noqa: F811
    customer = box.new_customer()
    key = box.admin.post(f"customers/{customer.id}/api-keys", {"kind": "service-key"})
    calls = (lambda: box.admin.call("DELETE", f"customers/{customer.id}/api-keys/{key['id']}"),
             lambda: box.admin.post(f"customers/{customer.id}/suspend"))
    for call in calls:
        redis(box, "CONFIG", "SET", "min-replicas-to-write", "1")
        try:
            with pytest.raises(AdminError, match="recorded in the ledger and will take effect") as refused:
                call()
        finally:
            release(box)
        assert refused.value.status == 503 and refused.value.code == "pending"
        wait_well(box)
        call()

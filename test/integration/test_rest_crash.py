"""kill -9 in the middle of a create of the REST API: the client sends the same request again and gets the one certificate."""

import contextlib
import threading

import pytest

from rest_client import make_csr, rest
from test_crash import BROKEN, kill_workers, restart_redis, stopped
from under_test import SandboxUnderTest, wait_until

SANDBOX_OPTIONS = ("--workers", "2")


def order_of(sandbox, zone):
    return next(iter(sandbox.listing(f"orders?zone={zone}")), {"status": "none"})


def kill_signer(sandbox):
    sandbox.kill(sandbox.signer())


@pytest.mark.parametrize("kill", [kill_workers, kill_signer, restart_redis], ids=["worker", "signer", "redis"])
def test_create_interrupted_after_its_claim_yields_one_certificate_when_sent_again(own_sandbox, kill):
    own_sandbox.wait_ready()
    api, zone, csr = rest(own_sandbox), own_sandbox.new_zone(), make_csr()

    def send():
        with contextlib.suppress(*BROKEN):
            return api.create([zone], csr)

    with stopped(own_sandbox.signer()):
        first = threading.Thread(target=send)
        first.start()
        assert wait_until(lambda: order_of(own_sandbox, zone)["status"] == "processing", 20)
        kill(own_sandbox)
    first.join(60)
    own_sandbox.wait_ready()
    answers = []

    def is_made():
        answers[:] = [send()]
        return answers[0] is not None and answers[0].status == 200

    assert wait_until(is_made, 60, pause=0.5), answers[0] and answers[0].body
    made = [each for each in own_sandbox.certificates(zone) if each["status"] != "void"]
    assert [each["serial"] for each in made] == [answers[0].result["id"]] and made[0]["status"] == "valid"
    found = api.get(answers[0].result["id"]).result
    assert found == answers[0].result and found["csr"] == csr and found["requested_validity"] == 7
    own_sandbox.server_tool("ledger", "verify")


@pytest.fixture
def sandbox_without_window(tmp_path_factory):
    sandbox = SandboxUnderTest(tmp_path_factory.mktemp("own"), "--workers", "1", "--set", "rest.rest_retry_window_seconds=0",
                               "--set", "signer.claim_timeout_seconds=2", "--set", "signer.signer_timeout_ms=1000")
    try:
        yield sandbox.up()
    finally:
        sandbox.down()


def test_an_order_that_nobody_would_fetch_ends_without_a_certificate(sandbox_without_window):
    """Its create was answered, and without a window the next one stands for itself; a stop of issuance keeps it no longer."""
    box = sandbox_without_window
    api, zone, csr = rest(box), box.new_zone(), make_csr()
    with stopped(box.signer()):
        assert api.create([zone], csr).status == 503
        assert order_of(box, zone)["status"] == "processing"
        kill_signer(box)
    box.wait_ready()
    box.admin.post("issuance/stop")
    assert wait_until(lambda: order_of(box, zone)["status"] == "invalid", 40)
    assert "no later request gets one" in str(box.admin.get(f"orders/{order_of(box, zone)['id']}"))
    box.admin.post("issuance/allow")
    assert wait_until(lambda: api.create([zone], csr).status == 200, 20)
    assert len([each for each in box.certificates(zone) if each["status"] != "void"]) == 1

"""What workers may have revoked in a day (signer_worker_revocations_per_day): the guard is the signer's, outlives it, and
holds no administrator."""

import time
from pathlib import Path

import pytest

from rest_client import RestClient, make_csr, service_key
from signer_link import OK, REVOKE, UNAVAILABLE, SignerLink, any_serial, revocation
from under_test import wait_until

A_DAY = 30
SANDBOX_OPTIONS = ("--workers", "1", "--set", f"signer.signer_worker_revocations_per_day={A_DAY}")


@pytest.fixture
def box(own_sandbox):
    return own_sandbox


def revoke(link):
    return link.ask(REVOKE, revocation(any_serial(), 4, "account:a1"))


def folder_of(box):
    return Path(box["ADMIN_SOCKET"]).parent


def test_a_day_has_its_worth_for_all_workers_also_over_restarts(box):
    customer = box.new_customer()
    rest = RestClient(box["API_URL"], box["CA_BUNDLE"], service_key(customer.api_key))
    serials = [rest.create([box.name(customer.zone)], make_csr()).result["id"] for _ in range(2)]
    with SignerLink(folder_of(box)) as first, SignerLink(folder_of(box)) as second:
        replies = [revoke((first, second)[at % 2]) for at in range(A_DAY)]
        assert {reply.code for reply in replies} == {OK}, [reply.message for reply in replies if reply.code != OK]
        beyond = revoke(first)
        assert beyond.code == UNAVAILABLE and f"more than {A_DAY} revocations a day" in beyond.message
    assert "what=signer_worker_revocations_per_day" in box.log_text()
    metrics = box.admin.metrics()
    assert metrics["originca_signer_revocations_day_full_total"] == 1 and metrics["originca_signer_worker_revocations_left"] == 0
    refused = rest.revoke(serials[0])
    assert refused.status == 503 and int(refused.headers["Retry-After"]) > 0, refused.body
    signer = box.signer()
    kept = box.directory / "ledger" / "worker-revocations"
    assert wait_until(lambda: kept.exists() and kept.read_text().split()[0] == "0", 20), "written in a moment"
    box.kill(signer)
    assert wait_until(lambda: box.signer() not in (None, signer), 20)
    box.wait_ready()
    with SignerLink(folder_of(box)) as again:
        assert revoke(again).code == UNAVAILABLE
    with SignerLink(folder_of(box), is_operator=True) as operator:
        assert {operator.ask(REVOKE, revocation(any_serial(), 4, "admin:test")).code for _ in range(2 * A_DAY)} == {OK}
    box.admin_command("cert", "revoke", serials[0], "--reason", "superseded")
    assert rest.get(serials[1]).status == 200
    # Half a day passes: as much room again.
    box.script("down", "--keep")
    kept.write_text(f"0 {int((time.time() - 43200) * 1000)}\n")
    box.script("up", "--port-base", box.port_base, *box.options, timeout=600)
    box.wait_ready()
    assert rest.revoke(serials[1]).status == 200
    with SignerLink(folder_of(box)) as later:
        codes = [revoke(later).code for _ in range(A_DAY)]
    assert codes.count(OK) in (A_DAY // 2 - 1, A_DAY // 2) and codes[-1] == UNAVAILABLE

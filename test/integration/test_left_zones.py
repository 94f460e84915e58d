"""By policy the certificates of a zone that moved away or was deleted are revoked after a while; those of a zone that came back
before are not, and nobody else's."""

import time

from crl_kit import load, path_of, plain_url
from ocsp_kit import cert_id, issuer_of, request, responder_of
from under_test import wait_until
from verify import load_chain

HOLD = 6
SANDBOX_OPTIONS = ("--set", "dns.zone_pending_interval_seconds=1", "--set", "dns.zone_sweep_interval_seconds=1",
                   "--set", "dns.zone_moved_after=2", "--set", "dns.moved_zone_certificates=revoke",
                   "--set", f"dns.left_zone_revoke_after_seconds={HOLD}", "--workers", "1", "--set", "revocation.crl_delay_ms=1000",
                   "--set", "limits.ocsp_signed_per_address=0")


def certificates(sandbox, zone):
    return sandbox.admin.get(f"certificates?zone={zone}&limit=100")["items"]


def outside(sandbox, serials):
    """What OCSP says of them, and whether the lists have them."""
    responder, base = responder_of(sandbox), plain_url(sandbox["DIRECTORY_URL"].removesuffix("/acme/directory"))
    found = set()
    for serial in serials:
        leaf = load_chain(sandbox.admin.get(f"certificates/{serial}")["pem"])[0]
        listed = load(base, path_of(leaf)).get_revoked_certificate_by_serial_number(leaf.serial_number)
        found.add((responder.post(request(cert_id(issuer_of(sandbox), leaf.serial_number))).status, listed is not None))
    responder.close()
    return found


def statuses(sandbox, serials):
    return {sandbox.admin.get(f"certificates/{serial}")["status"] for serial in serials}


def issue(sandbox, client, zone, count=3):
    """Serials of certificates in the zone."""
    before = {each["serial"] for each in certificates(sandbox, zone)}
    for at in range(count):
        client.issue([f"n{at}-{time.monotonic_ns()}.{zone}"])
    return {each["serial"] for each in certificates(sandbox, zone)} - before


def status(sandbox, zone):
    return sandbox.admin.get(f"zones/{zone}")["status"]


def test_zones_that_moved_or_were_deleted_lose_their_certificates_and_others_do_not(own_sandbox):
    client = own_sandbox.client()
    left, deleted, stays, returns = (own_sandbox.new_zone() for _ in range(4))
    made = {zone: issue(own_sandbox, client, zone) for zone in (left, deleted, stays, returns)}
    assert all(len(serials) == 3 for serials in made.values())
    own_sandbox.dns("undelegate", returns)
    assert wait_until(lambda: status(own_sandbox, returns) == "moved", 60, pause=0.1)
    own_sandbox.dns("delegate", returns)
    assert wait_until(lambda: status(own_sandbox, returns) == "active", 60, pause=0.1)
    own_sandbox.dns("undelegate", left)
    own_sandbox.admin.call("DELETE", f"zones/{deleted}")
    assert statuses(own_sandbox, made[left] | made[deleted]) == {"valid"}  # not at once
    for zone in (left, deleted):
        assert wait_until(lambda: statuses(own_sandbox, made[zone]) == {"revoked"}, 90, pause=0.5), zone
    for serial in made[left] | made[deleted]:
        shown = own_sandbox.admin.get(f"certificates/{serial}")
        assert shown["reason"] == "cessationOfOperation" and shown["revoked_by"].startswith("admin:policy zone-left bulk:")
    assert wait_until(lambda: outside(own_sandbox, made[left] | made[deleted]) == {("revoked", True)}, 30, pause=0.5)
    time.sleep(HOLD + 6)  # a look behind the end of what the others would have had
    assert statuses(own_sandbox, made[stays] | made[returns]) == {"valid"}
    assert outside(own_sandbox, made[stays] | made[returns]) == {("good", False)}
    jobs = [job for job in own_sandbox.admin.get("revocations?limit=100")["items"] if job["by"].startswith("admin:policy")]
    assert len(jobs) == 2 and {job["state"] for job in jobs} == {"done"} and {job["done"] for job in jobs} == {3}
    client.close()

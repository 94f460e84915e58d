"""Certificates of a zone that ended for their holder, or went to another customer: what bulk revocation, mass replacement,
renewal information, OCSP and revocation lists make of them, under `moved_zone_certificates = keep`. (test_left_zones.py: the
policies that revoke.)"""

import datetime
from types import SimpleNamespace

import pytest

from acme_raw import certificate_id
from admin_api import AdminError
from crl_kit import load, path_of, plain_url
from ocsp_kit import cert_id, issuer_of, request, responder_of
from test_acme_renewal_info import renewal_info, window_of
from under_test import wait_until
from verify import load_chain

from box import Sandbox

SANDBOX_OPTIONS = ("--workers", "1", "--set", "revocation.crl_delay_ms=1000", "--set", "dns.zone_moved_after=1", "--set",
                   "dns.zone_pending_interval_seconds=3600", "--set", "dns.dns_share_ms=0", "--set", "dns.dns_referral_max_ttl=0",
                   "--set", "limits.ocsp_signed_per_address=0")
GIVEN_AWAY = ("deleted", "taken")
ENDS = (*GIVEN_AWAY, "moved", "paused", "suspended")


def issue(customer, name):
    return load_chain(customer.client.issue([name])[1])[0]


def zone_id(box, zone, customer):
    return box.admin.get(f"zones/{zone}?customer={customer.id}")["id"]


def delegate(box, zone, customer, expected="active"):
    tree = Sandbox(box.directory).tree
    tree.delegate(zone, box.admin.get(f"zones/{zone}?customer={customer.id}")["name_servers"])
    tree.commit()
    assert wait_until(lambda: box.admin.post(f"zones/{zone}/check?customer={customer.id}")["status"] == expected, 20, pause=0.3)


def come_to(end, box, zone, former, owner):
    if end == "deleted":
        box.admin.delete(f"zones/{zone}?customer={former.id}")
    if end in GIVEN_AWAY:
        box.admin.post("zones", {"name": zone, "customer": owner.id})
        delegate(box, zone, owner)
    if end == "moved":
        box.dns("undelegate", zone)
        assert wait_until(lambda: box.admin.post(f"zones/{zone}/check")["status"] == "moved", 20, pause=0.3)
    if end == "paused":
        box.admin.post(f"zones/{zone}/pause")
    if end == "suspended":
        box.admin.post(f"customers/{former.id}/suspend")


@pytest.fixture(params=ENDS)
def world(own_sandbox, request):
    box, end = own_sandbox, request.param
    former, owner = box.new_customer(), box.new_customer()
    zone = former.zone
    name = f"www.{zone}"
    leaf, identity = issue(former, name), zone_id(box, zone, former)
    usual = window_of(renewal_info(former.client, certificate_id(leaf)).expect(200))
    come_to(end, box, zone, former, owner)
    new = issue(owner, name) if end in GIVEN_AWAY else None
    yield SimpleNamespace(box=box, end=end, former=former, owner=owner, zone=zone, name=name, leaf=leaf, new=new, usual=usual,
                          id=identity, new_id=zone_id(box, zone, owner) if new else None)
    for each in box.listing("replacements"):
        if each["state"] == "running":
            box.admin.post(f"replacements/{each['id']}/cancel")


def ocsp(box, leaf):
    responder = responder_of(box)
    try:
        return responder.post(request(cert_id(issuer_of(box), leaf.serial_number))).status
    finally:
        responder.close()


def is_listed(box, leaf):
    base = plain_url(box["DIRECTORY_URL"].removesuffix("/acme/directory"))
    return load(base, path_of(leaf)).get_revoked_certificate_by_serial_number(leaf.serial_number) is not None


def selected(box, entrance, **selection):
    """Serials of a dry run."""
    shown = box.admin.post(entrance, {"selection": selection, "dry_run": True})
    assert shown["count"] == len(shown["sample"])
    return {int(each["serial"]) for each in shown["sample"]}


def test_status_and_renewal_information_stay(world):
    for leaf in filter(None, (world.leaf, world.new)):
        assert ocsp(world.box, leaf) == "good" and not is_listed(world.box, leaf)
    reply = renewal_info(world.former.client, certificate_id(world.leaf)).expect(200)
    assert window_of(reply) == world.usual and "explanationURL" not in reply.json


@pytest.mark.parametrize("entrance", ["revocations", "replacements"])
def test_a_selection_takes_no_others_certificates(world, entrance):
    box, mine, others = world.box, {world.leaf.serial_number}, {world.new.serial_number} if world.new else set()
    assert selected(box, entrance, customer=world.former.id) == mine
    assert selected(box, entrance, zone=world.id) == mine
    if not others:
        assert selected(box, entrance, zone=world.zone) == mine
        return
    assert selected(box, entrance, customer=world.owner.id) == others
    assert selected(box, entrance, zone=world.new_id) == others
    assert selected(box, entrance, zone=world.zone, customer=world.owner.id) == others
    with pytest.raises(AdminError) as caught:  # whose?
        selected(box, entrance, zone=world.zone)
    assert caught.value.status == 409 and world.id in str(caught.value) and world.new_id in str(caught.value), caught.value
    shown = box.admin_command(*(("cert", "revoke") if entrance == "revocations" else ("replace",)), "--zone", world.zone, "--dry-run", check=False)
    assert shown.returncode != 0 and world.id in shown.stderr, (shown.stdout, shown.stderr)


def test_a_replacement_asks_for_the_zones_own_and_is_not_done_by_anothers(world):
    box = world.box
    made = box.admin.post("replacements", {"selection": {"zone": world.id}, "over_seconds": 600})
    start, _ = window_of(renewal_info(world.former.client, certificate_id(world.leaf)).expect(200))
    assert start <= datetime.datetime.utcnow() + datetime.timedelta(seconds=601) and start < world.usual[0]
    if world.new:
        start, _ = window_of(renewal_info(world.owner.client, certificate_id(world.new)).expect(200))
        assert start > datetime.datetime.utcnow() + datetime.timedelta(days=1)
        issue(world.owner, world.name)
    shown = box.admin.get(f"replacements/{made['id']}")
    assert (shown["replaced"], shown["waiting"], shown["ended"]) == (0, 1, 0)
    reply = world.former.client.new_order([world.name], replaces=certificate_id(world.leaf))
    assert reply.status in (400, 403, 503), reply.text


def test_a_bulk_revocation_by_the_zones_id_ends_its_own_alone(world):
    box = world.box
    made = box.admin.post("revocations", {"selection": {"zone": world.id}, "reason": "superseded", "confirm": 1})
    assert wait_until(lambda: box.admin.get(f"revocations/{made['id']}")["state"] == "done", 30)
    assert ocsp(box, world.leaf) == "revoked"
    assert wait_until(lambda: is_listed(box, world.leaf), 30)
    start, end = window_of(renewal_info(world.former.client, certificate_id(world.leaf)).expect(200))
    assert start < end <= datetime.datetime.utcnow()
    if world.new:
        assert ocsp(box, world.new) == "good" and not is_listed(box, world.new)

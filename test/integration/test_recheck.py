"""Ownership is checked again for every name before a certificate is signed: one name that went bad, whichever it is, stops
the whole certificate (the CAA recheck incident of 2020 checked one name N times)."""

import pytest

from acme_raw import make_csr, make_key

SANDBOX_OPTIONS = ("--set", "acme.recheck_after_seconds=0", "--set", "dns.dns_share_ms=0")
COUNT = 8


@pytest.mark.parametrize("bad", range(COUNT))
def test_one_bad_name_of_many_stops_the_certificate(own_sandbox, bad):
    zone = own_sandbox.new_zone()
    names = [f"n{at}.{zone}" for at in range(COUNT)]
    client = own_sandbox.client()
    order = client.new_order(names).expect(201).json
    own_sandbox.dns("gray", names[bad])
    reply = client.finalize(order, make_csr(make_key("p256"), names))
    assert reply.problem == "unauthorized" and names[bad] in reply.text, reply.text
    assert own_sandbox.certificates(zone) == []


def test_all_good_names_get_their_certificate(own_sandbox):
    zone = own_sandbox.new_zone()
    names = [f"n{at}.{zone}" for at in range(COUNT)]
    own_sandbox.client().issue(names)
    assert len(own_sandbox.certificates(zone)) == 1

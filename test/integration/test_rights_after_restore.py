"""A Redis that goes back, by a restored copy or a fail-over, gives nobody back what another's ownership of a name had ended."""

import time

import pytest

from test_going_back import RECOVERY, box, copy_now  # noqa: F401
from test_hidden_zones import A, B
from test_rights_do_not_return import Place, delete, give_back, pause

SANDBOX_OPTIONS = ("--workers", "1", "--set", "acme.recheck_after_seconds=600", "--set", "signer.evidence_max_age_seconds=600",
                   "--set", "dns.zone_moved_after=1", "--set", "dns.zone_sweep_interval_seconds=3600", "--set", "dns.dns_share_ms=0",
                   "--set", "dns.dns_referral_max_ttl=0", "--set", "dns.zone_pending_interval_seconds=3600",
                   "--set", "server.retire_idle_seconds=0")


def restore(place, copy):
    copy.put_back()
    place.box.wait_ready(RECOVERY)
    for client in place.clients.values():
        client.close()


def test_a_ready_order_of_whoever_lost_the_name_since_the_copy_asks_dns(box, copy_now):  # noqa: F811
    with Place(box) as place:
        copy = copy_now()
        place.give(B)
        leaf = place.issue(B)
        restore(place, copy)
        place.check_ended(leaf)
        assert place.check(B) == "active"
        assert place.issue(B)
        place.check_ended(leaf)


def test_a_ready_order_of_before_asks_dns_once_more(box, copy_now):  # noqa: F811
    """Whatever happened to the name since: neither Redis nor a record tells."""
    with Place(box) as place:
        copy = copy_now()
        box.dns("undelegate", place.zone)
        restore(place, copy)
        reply = place.finalize()
        assert (reply.status, reply.problem) == (403, "unauthorized"), reply.text
        place.delegate(A)
        assert place.finalize().expect(200).json["status"] == "valid"


@pytest.mark.parametrize("happens", [delete, pause, give_back])
def test_what_anothers_time_ended_stays_ended_where_the_copy_knows_nothing_of_it(box, copy_now, happens):  # noqa: F811
    """She has the name again when Redis goes back to before he had it."""
    with Place(box) as place:
        copy = copy_now()
        place.give(B)
        leaf = place.issue(B)
        time.sleep(1.1)
        happens(place)
        time.sleep(1.1)
        place.give(A)
        restore(place, copy)
        place.give(A)
        place.check_ended(leaf)
        assert place.clients[A].new_order([place.name]).expect(201).json["status"] == "ready"

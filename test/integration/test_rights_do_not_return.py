"""What another's ownership of a name has ended stays ended: it does not come back because he loses the name again, is paused, or
the former holder's zone is resumed. And who has lost a name does not act on it before the next sweep finds out."""

import time

import pytest

from acme_raw import make_csr, make_key
from box import Sandbox
from test_going_back import OldCopy
from test_hidden_zones import A, B
from under_test import run, silent_name_servers, wait_until
from verify import der_of, load_chain

SANDBOX_OPTIONS = ("--workers", "2", "--set", "acme.recheck_after_seconds=600", "--set", "signer.evidence_max_age_seconds=600",
                   "--set", "dns.zone_moved_after=1", "--set", "dns.zone_sweep_interval_seconds=3600", "--set", "dns.dns_share_ms=0",
                   "--set", "dns.dns_referral_max_ttl=0")


class Place:
    """A has a zone with a ready order, an authorization and a certificate; B has it as well, still to be delegated to him."""

    def __init__(self, box):
        self.box, self.tree = box, Sandbox(box.directory).tree
        self.zone = box.new_zone()
        self.customers = {A: box["CUSTOMER"], B: box["CUSTOMER_2"]}
        self.clients = {A: box.client(), B: box.client(2)}
        self.name = f"www.{self.zone}"
        created = self.clients[A].new_order([self.name]).expect(201)
        self.order, self.order_url = created.json, created.headers["Location"]
        time.sleep(1.1)  # proofs are told apart by the second
        box.admin.post("zones", {"name": self.zone, "customer": self.customers[B]})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients.values():
            client.close()

    def servers(self, who):
        return self.box.admin.get(f"zones/{self.zone}?customer={self.customers[who]}")["name_servers"]

    def check(self, who):
        return self.box.admin.post(f"zones/{self.zone}/check?customer={self.customers[who]}")["status"]

    def delegate(self, who):
        self.tree.delegate(self.zone, self.servers(who))
        self.tree.commit()

    def call(self, who, verb):
        return self.box.admin.post(f"zones/{self.zone}/{verb}?customer={self.customers[who]}")["status"]

    def give(self, who):
        self.delegate(who)
        assert self.check(who) == "active"

    def issue(self, who):
        _, chain, _ = self.clients[who].issue([self.name])
        return load_chain(chain)[0]

    def finalize(self):
        return self.clients[A].finalize(self.order, make_csr(make_key("p256"), [self.name]))

    def revoke(self, who, leaf):
        return self.clients[who].revoke(der_of(leaf))

    def check_ended(self, leaf):
        """A can nothing by what she proved before B had the name."""
        reply = self.finalize()
        assert (reply.status, reply.problem) == (403, "unauthorized"), reply.text
        reply = self.revoke(A, leaf)
        assert (reply.status, reply.problem) == (403, "unauthorized"), reply.text


def delete(place):
    place.box.admin.delete(f"zones/{place.zone}?customer={place.customers[B]}")


def pause(place):
    assert place.call(B, "pause") == "paused"


def lose(place):
    place.box.dns("undelegate", place.zone)
    time.sleep(1.1)
    assert place.check(B) == "moved"


def give_back(place):
    time.sleep(1.1)
    place.give(A)


@pytest.mark.parametrize("happens", [delete, pause, lose, give_back])
def test_what_anothers_ownership_ended_does_not_come_back_with_his_end(own_sandbox, happens):
    with Place(own_sandbox) as place:
        place.give(B)
        leaf = place.issue(B)
        happens(place)
        place.check_ended(leaf)
        time.sleep(1.1)
        place.give(A)
        assert place.clients[A].issue([f"new.{place.zone}"])
        place.check_ended(leaf)
        assert place.clients[A].new_order([place.name]).expect(201).json["status"] == "ready"
        assert place.revoke(A, leaf).status == 200, "by a new authorization"


@pytest.mark.parametrize("happens", [delete, pause, lose])
def test_a_zone_that_is_resumed_takes_nothing_from_who_had_it_meanwhile(own_sandbox, happens):
    with Place(own_sandbox) as place:
        place.call(A, "pause")
        place.give(B)
        leaf = place.issue(B)
        happens(place)
        assert place.call(A, "resume") in ("moved", "paused")
        place.check_ended(leaf)


def test_a_resumed_zone_moves_with_its_first_check_that_denies_it(own_sandbox):
    with Place(own_sandbox) as place:
        leaf = place.issue(A)
        assert place.call(A, "pause") == "paused"
        place.box.dns("undelegate", place.zone)
        time.sleep(1.1)
        assert place.call(A, "resume") == "active", "DNS has not said anything else yet"
        assert wait_until(lambda: place.box.admin.get(f"zones/{place.zone}?customer={place.customers[A]}")["status"] == "moved", 30)
        assert place.revoke(A, leaf).status == 200, "one's own stays"


def test_a_resumed_zone_that_dns_confirms_stays_active(own_sandbox):
    with Place(own_sandbox) as place:
        assert place.call(A, "pause") == "paused"
        assert place.call(A, "resume") == "active"
        assert place.finalize().expect(200).json["status"] == "valid"


def test_whoever_owned_a_name_once_does_not_revoke_by_authorization_what_dns_gives_to_another(own_sandbox):
    """No sweep has looked yet: A's zone is active, DNS leads elsewhere."""
    with Place(own_sandbox) as place:
        other = own_sandbox.client()
        _, chain, _ = other.issue([place.name])
        leaf = load_chain(chain)[0]
        place.clients[A].new_order([place.name]).expect(201)
        place.box.dns("undelegate", place.zone)
        reply = place.revoke(A, leaf)
        assert (reply.status, reply.problem) == (403, "unauthorized") and place.zone in reply.text, reply.text
        assert own_sandbox.admin.get(f"zones/{place.zone}?customer={place.customers[A]}")["status"] == "active"
        place.delegate(A)
        assert wait_until(lambda: place.revoke(A, leaf).status == 200, 90, pause=3), "paced, but possible"
        other.close()


def test_an_authorization_that_cannot_be_read_any_more_revokes_nothing(own_sandbox):
    with Place(own_sandbox) as place:
        other = own_sandbox.client()
        leaf = load_chain(other.issue([place.name])[1])[0]
        created = place.clients[A].new_order([place.name]).expect(201)
        url = created.headers["Location"]
        for order in (url, place.order_url):  # as if their time had come; the sweep takes them away
            run(["redis-cli", "-s", own_sandbox["REDIS_SOCKET"], "ZADD", "orders-by-expiry", "1", order.rsplit("/", 1)[1]])
        assert wait_until(lambda: place.clients[A].post(created.json["authorizations"][0]).status == 404, 60)
        reply = place.revoke(A, leaf)
        assert (reply.status, reply.problem) == (403, "unauthorized"), reply.text
        other.close()


def test_a_redis_of_before_gives_the_former_holders_ready_order_no_certificate(own_sandbox, tmp_path):
    """The ledger tells it that A's zone moved: her order was shown before that. DNS tells her zone's next check nothing yet."""
    with Place(own_sandbox) as place:
        copy = OldCopy(own_sandbox, tmp_path)
        place.give(B)
        with silent_name_servers(own_sandbox, "tld"):
            copy.put_back()
            own_sandbox.wait_ready(60)
            reply = place.finalize()
            assert reply.status in (400, 403), reply.text
        assert place.finalize().status in (400, 403)

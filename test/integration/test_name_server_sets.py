"""A delegation that a customer left behind is nobody else's proof, however many others add the name. Small pool, two workers."""

import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from admin_api import AdminError
from rest_client import RestClient, bearer
from under_test import run, silent_name_servers, wait_until

POOL = [f"ns{number}.provider.test" for number in (1, 2, 3, 4)]  # six pairs
SANDBOX_OPTIONS = (*(part for server in POOL for part in ("--name-server", server)),
                   "--set", "dns.zone_pending_interval_seconds=1", "--set", "dns.zone_sweep_interval_seconds=1",
                   "--set", "dns.name_server_look_seconds=2", "--set", "dns.name_server_release_seconds=10",
                   "--set", "dns.dns_deadline_ms=4000", "--workers", "2")


def new_name():
    return f"n{secrets.token_hex(4)}.test"


class Customer:
    def __init__(self, sandbox):
        self.sandbox, self.name = sandbox, f"c{secrets.token_hex(4)}"
        sandbox.admin.post("customers", {"name": self.name})

    def add(self, zone):
        return self.sandbox.admin.post("zones", {"name": zone, "customer": self.name})

    def drop(self, zone):
        return self.sandbox.admin.delete(f"zones/{zone}?customer={self.name}")

    def check(self, zone):
        return self.sandbox.admin.post(f"zones/{zone}/check?customer={self.name}")

    def assert_gets_nothing(self, zone):
        """By ACME and by REST."""
        eab = self.sandbox.admin.post(f"customers/{self.name}/eab-keys")
        client = self.sandbox.client(is_registered=False)
        client.register(eab["kid"], eab["hmac"]).expect(201)
        reply = client.new_order([f"www.{zone}"])
        assert reply.status == 403 and reply.problem == "unauthorized", reply.text
        key = self.sandbox.admin.post(f"customers/{self.name}/api-keys", {"kind": "token"})["key"]
        rest = RestClient(self.sandbox["API_URL"], self.sandbox["CA_BUNDLE"], bearer(key))
        answer = rest.create([f"www.{zone}"])
        assert answer.status in (400, 403), answer.body
        assert self.sandbox.listing(f"certificates?zone={zone}&customer={self.name}") == []

    def assert_gets_a_certificate(self, zone):
        key = self.sandbox.admin.post(f"customers/{self.name}/api-keys", {"kind": "token"})["key"]
        rest = RestClient(self.sandbox["API_URL"], self.sandbox["CA_BUNDLE"], bearer(key))
        assert rest.create([f"www.{zone}"]).result["certificate"]


@pytest.fixture
def customer(own_sandbox):
    return lambda: Customer(own_sandbox)


def kept(sandbox, zone):
    return run(["redis-cli", "-s", sandbox["REDIS_SOCKET"], "HGETALL", f"name-sets:{zone}"]).stdout.strip()


def leave_behind(sandbox, owner, zone):
    """The owner's name servers, still delegated to after the zone went."""
    servers = owner.add(zone)["name_servers"]
    sandbox.dns("delegate", zone, ",".join(servers))
    assert wait_until(lambda: owner.check(zone)["status"] == "active", 20, pause=0.3)
    owner.drop(zone)
    return servers


def test_what_an_owner_left_behind_proves_nothing_for_those_who_come(own_sandbox, customer):
    zone, owner = new_name(), customer()
    servers = leave_behind(own_sandbox, owner, zone)
    others = [customer() for _ in range(5)]
    for other in others:
        added = other.add(zone)
        assert added["status"] == "pending" and set(added["name_servers"]) != set(servers), added
        assert added["delegation"]["name_servers"] == sorted(servers)
    for other in others:
        assert other.check(zone)["status"] == "pending"
    others[0].assert_gets_nothing(zone)
    others[4].assert_gets_nothing(zone)
    with pytest.raises(AdminError, match="needs a pool of 5 .dns.name_server_pool"):  # all six pairs are somebody's
        customer().add(zone)
    back = owner.add(zone)
    assert set(back["name_servers"]) == set(servers) and back["status"] == "active", back
    owner.assert_gets_a_certificate(zone)


def test_what_was_left_behind_stays_taken_while_it_is_away_for_a_while(own_sandbox, customer):
    """As a registry's hold, which brings the old delegation back."""
    zone, owner, other = new_name(), customer(), customer()
    servers = leave_behind(own_sandbox, owner, zone)
    own_sandbox.dns("undelegate", zone)
    squatters = [customer() for _ in range(5)]
    for squatter in squatters:
        assert set(squatter.add(zone)["name_servers"]) != set(servers)
    with pytest.raises(AdminError, match="needs a pool"):
        other.add(zone)
    own_sandbox.dns("delegate", zone, ",".join(servers))
    for squatter in squatters:
        assert squatter.check(zone)["status"] == "pending"
    squatters[0].assert_gets_nothing(zone)


def test_what_was_left_behind_is_given_up_after_long_enough_elsewhere(own_sandbox, customer):
    zone, owner = new_name(), customer()
    leave_behind(own_sandbox, owner, zone)
    time.sleep(5)  # looks go on, and the delegation stands
    assert kept(own_sandbox, zone)
    own_sandbox.dns("undelegate", zone)
    assert wait_until(lambda: not kept(own_sandbox, zone), 45, pause=0.5)


def test_adding_and_dropping_a_name_under_many_accounts_uses_up_nothing(own_sandbox, customer):
    zone = new_name()
    for _ in range(8):
        passer = customer()
        assert passer.add(zone)["delegation"] | {"text": ""} == {"status": "does-not-exist", "name_servers": [], "text": ""}
        passer.drop(zone)
    for _ in range(6):
        customer().add(zone)
    owner = customer()
    with pytest.raises(AdminError, match="6 .* needs a pool of 5"):
        owner.add(zone)


def test_delegation_that_is_made_after_the_zone_went_is_seen(own_sandbox, customer):
    """Nobody looked between: the look after the deletion finds it."""
    zone, owner, other = new_name(), customer(), customer()
    servers = owner.add(zone)["name_servers"]
    own_sandbox.dns("delegate", zone, ",".join(servers))
    owner.drop(zone)
    added = other.add(zone)
    assert set(added["name_servers"]) != set(servers)
    other.assert_gets_nothing(zone)


def test_partial_delegation_takes_every_set_that_it_fits(own_sandbox, customer):
    """One server alone is delegated to: it fits three pairs, and proves none of them for a newcomer."""
    zone, owner = new_name(), customer()
    first = owner.add(zone)["name_servers"][0]
    squatters = [customer() for _ in range(5)]
    for squatter in squatters:
        squatter.add(zone)
    own_sandbox.dns("delegate", zone, first)
    answers = [each.check(zone) for each in (owner, *squatters)]
    assert {answer["status"] for answer in answers} == {"pending"}
    assert [answer["delegation"]["status"] for answer in answers].count("ambiguous") == 3
    assert "all of" in answers[0]["reason"], answers[0]["reason"]
    next(each for each, answer in zip(squatters, answers[1:]) if first in answer["name_servers"]).assert_gets_nothing(zone)
    owner.assert_gets_nothing(zone)


def test_zone_added_while_dns_is_away_is_proven_by_a_change_only(own_sandbox, customer):
    zone, owner = new_name(), customer()
    servers = leave_behind(own_sandbox, owner, zone)
    run(["redis-cli", "-s", own_sandbox["REDIS_SOCKET"], "DEL", f"name-sets:{zone}"])  # as left before sets were kept
    every = [customer() for _ in range(6)]
    with silent_name_servers(own_sandbox, "tld"):  # none fails, and none takes longer than one check
        started = time.monotonic()
        added = list(ThreadPoolExecutor(6).map(lambda each: each.add(zone), every))
        assert time.monotonic() - started < 20
    same = next(each for each, zone_ in zip(every, added) if set(zone_["name_servers"]) == set(servers))
    checked = {}

    def was_looked_at():
        checked.update(same.check(zone))
        return checked["delegation"]["name_servers"]

    assert wait_until(was_looked_at, 20, pause=0.5)
    assert checked["status"] == "pending" and checked["delegation"]["status"] == "ambiguous", checked
    assert "delete the zone here and add it again" in checked["reason"]
    same.assert_gets_nothing(zone)


def test_zone_add_tells_to_whom_the_name_is_delegated(own_sandbox, customer):
    zone = new_name()
    own_sandbox.dns("undelegate", zone)
    owner = customer()
    text = own_sandbox.admin_command("zone", "add", zone, "--customer", owner.name).stdout
    assert "elsewhere.test" in text and "set its name servers to ns" in text, text
    shown = json.loads(own_sandbox.admin_command("zone", "check", zone, "--customer", owner.name, "--json").stdout)
    assert shown["delegation"]["status"] == "delegated-elsewhere" and shown["delegation"]["name_servers"], shown


def test_a_zone_that_a_stranger_added_below_a_name_does_not_keep_its_owner_out(own_sandbox, customer):
    """Its name servers answer for the names below it, and would be the owner's too."""
    for _ in range(6):
        zone = new_name()
        strays = customer().add(f"www.{zone}")["name_servers"]
        owner = customer()
        servers = owner.add(zone)["name_servers"]
        assert not set(servers) & set(strays), (servers, strays)
    own_sandbox.dns("delegate", zone, ",".join(servers))
    assert wait_until(lambda: owner.check(zone)["status"] == "active", 20, pause=0.3)
    owner.assert_gets_a_certificate(zone)


@pytest.mark.parametrize("is_below", [False, True])
def test_strangers_zones_above_do_not_make_an_owner_share_his_name_servers(own_sandbox, customer, is_below):
    """They have used up the pool, so whatever is assigned next shares a server with one of them; not with who showed a zone to be his."""
    for _ in range(6):
        above = new_name()
        zone = f"shop.{above}"
        owner = customer()
        servers = owner.add(zone)["name_servers"]
        own_sandbox.dns("delegate", zone, ",".join(servers))
        assert wait_until(lambda: owner.check(zone)["status"] == "active", 20, pause=0.3)
        strangers = {server for _ in range(4) for server in customer().add(above)["name_servers"]}
        assert strangers == set(POOL)
        added = customer().add(f"www.{zone}" if is_below else zone)["name_servers"]
        assert not set(added) & set(servers), (added, servers)


def test_strangers_zones_below_leave_an_active_zone_a_server_of_its_own(own_sandbox, customer):
    """Where all of its servers had a zone of strangers of a name that it has not delegated away, its owner would be refused that name."""
    zone, owner = new_name(), customer()
    servers = set(owner.add(zone)["name_servers"])
    own_sandbox.dns("delegate", zone, ",".join(sorted(servers)))
    assert wait_until(lambda: owner.check(zone)["status"] == "active", 20, pause=0.3)
    below, taken = f"www.{zone}", set()
    with pytest.raises(AdminError, match="needs a pool"):
        for _ in range(8):
            taken |= set(customer().add(below)["name_servers"])
            assert servers - taken, (servers, taken)
    assert len(owner.add(below)["name_servers"]) == 2


def test_what_a_name_is_partly_delegated_to_is_assigned_to_nobody_else(own_sandbox, customer):
    """Never proven: a server of somebody else's stands beside the assigned ones, and may be taken out any day."""
    zone, owner = new_name(), customer()
    servers = owner.add(zone)["name_servers"]
    own_sandbox.dns("delegate", zone, ",".join([*servers, "ns1.elsewhere.test"]))
    assert wait_until(lambda: "ns1.elsewhere.test" in owner.check(zone)["reason"], 20, pause=0.3)
    owner.drop(zone)
    others = [customer() for _ in range(5)]
    for other in others:
        assert set(other.add(zone)["name_servers"]) != set(servers)
    with pytest.raises(AdminError, match="needs a pool"):
        customer().add(zone)
    own_sandbox.dns("undelegate", zone)
    own_sandbox.dns("delegate", zone, ",".join(servers))
    assert all(other.check(zone)["status"] == "pending" for other in others)

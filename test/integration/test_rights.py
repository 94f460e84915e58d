"""Every right × every end of it: the table of doc/rights.md, each cell tried through ACME or the REST API.

For each end a world of its own is laid out (a customer with zones, accounts, keys, orders, certificates, two issuances
held between claim and signature), the end comes, and then every right is tried."""

import contextlib
import hashlib
import re
import secrets
import time

import pytest

from acme_kit import change_key
from acme_raw import AccountKey, b64, certificate_id, make_csr, make_key
from rest_client import RestClient, make_csr as make_pem_csr, service_key
from under_test import ROOT, wait_until
from verify import der_of, load_chain

from box import Sandbox

SANDBOX_OPTIONS = ("--no-eab", "--set", "acme.recheck_after_seconds=600", "--set", "signer.evidence_max_age_seconds=600",
                   "--set", "acme.resume_first_seconds=1", "--set", "acme.resume_longest_seconds=2",
                   "--set", "dns.zone_moved_after=1", "--set", "dns.dns_share_ms=0", "--set", "dns.dns_referral_max_ttl=0")
SETTLED = 15  # an order that waits for longer waits for its right
IN_PROCESSING = "what is in processing"
# An order's check makes its zone active: where the zone's state is the end, each of these has a zone to itself.
WITH_A_CHECK = ("order by ACME", "order with `replaces`", "create by REST", "create by a key limited to the zone",
                "finalize a ready order", IN_PROCESSING)
REPLACING = ("order with `replaces`", "be given such an order again")


def read_table():
    """{right: {end: "stays", "ends" or "waits"}} of doc/rights.md."""
    lines = (ROOT / "doc" / "rights.md").read_text().splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("| right | zone deleted"))
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[first:]
            if line.startswith("|")][: next(n for n, line in enumerate(lines[first:]) if not line.startswith("|"))]
    ends = rows[0][1:]
    return {right: dict(zip(ends, cells, strict=True)) for right, *cells in rows[2:]}


TABLE = read_table()
ENDS = list(next(iter(TABLE.values())))


class World:
    def __init__(self, sandbox, end):
        self.sandbox, self.end, self.admin = sandbox, end, sandbox.admin
        tag = secrets.token_hex(3)
        self.customer = self.admin.post("customers", {"name": f"rights-{tag}"})["id"]
        self.eab = self.admin.post(f"customers/{self.customer}/eab-keys")
        self.tree = Sandbox(sandbox.directory).tree
        self.zone = f"r{tag}.test"
        self.zones = {right: f"r{tag}-{at}.test" for at, right in enumerate(WITH_A_CHECK)} if "moved" in end else {}
        self.every_zone = [self.zone, *self.zones.values()]
        self.delegate(self.every_zone)
        self.keys = {"all": self.new_key(), "limited": self.new_key(self.zone_of("create by a key limited to the zone"))}
        self.accounts = [sandbox.client(is_registered=False) for _ in range(3)]
        self.main, self.other, self.lonely = self.accounts
        for client in (self.main, self.other):
            client.register(self.eab["kid"], self.eab["hmac"]).expect(201)
        self.lonely.register().expect(201)
        self.new_keys = {client: AccountKey() for client in (self.main, self.lonely)}
        self.lay_out_lonely()
        self.lay_out()

    # What there is before the end

    def zone_of(self, right):
        return self.zones.get(right, self.zone)

    def servers(self, zone, customer=None):
        return self.admin.get(f"zones/{zone}?customer={customer or self.customer}")["name_servers"]

    def delegate(self, zones):
        for zone in zones:
            self.admin.post("zones", {"name": zone, "customer": self.customer})
            self.tree.delegate(zone, self.servers(zone))
        self.tree.commit()
        for zone in zones:
            self.check(zone, "active")

    def check(self, zone, expected, customer=None):
        shown = {}

        def is_there():
            shown.update(self.admin.post(f"zones/{zone}/check?customer={customer or self.customer}"))
            return shown["status"] == expected

        assert wait_until(is_there, 20, pause=0.3), shown

    def new_key(self, *zones):
        limits = {"zones": list(zones)} if zones else {}
        return self.admin.post(f"customers/{self.customer}/api-keys", {"kind": "service-key", **limits})

    def rest(self, key="all"):
        return RestClient(self.sandbox["API_URL"], self.sandbox["CA_BUNDLE"], service_key(self.keys[key]["key"]))

    def lay_out_lonely(self):
        """Three orders without a customer, one still to be proven. The texts hold for the old and the new key."""
        self.proofs = {}
        for label in ("pending", "ready", "held"):
            name = f"lonely-{label}.{self.zone}"
            order = self.lonely.new_order([name]).expect(201).json
            challenge = self.lonely.post(order["authorizations"][0]).json["challenges"][0]
            self.proofs[label] = (name, order, challenge["url"])
            self.tree.proxy(name)
            for key in (self.lonely.key, self.new_keys[self.lonely]):
                digest = hashlib.sha256(f"{challenge['token']}.{key.thumbprint}".encode()).digest()
                self.tree.add(f"_acme-challenge.{name}", "TXT", f'"{b64(digest)}"')
        self.tree.commit()
        for label in ("ready", "held"):
            assert self.prove(label), label

    def prove(self, label):
        _, order, challenge = self.proofs[label]
        reply = self.lonely.post(challenge, {})
        is_stopped = reply.status == 503 and "Issuance is stopped" in reply.json["detail"]
        assert is_stopped or reply.status < 500, reply.text
        authorization = self.lonely.post(order["authorizations"][0])
        return reply.status == 200 and authorization.status == 200 and authorization.json["status"] == "valid"

    def issue(self, client, label, right=None):
        """(key, leaf, order URL) of a certificate that was there before the end."""
        key, chain, url = client.issue([f"{label}.{self.zone_of(right)}"])
        return key, load_chain(chain)[0], url

    def lay_out(self):
        self.ready = self.main.new_order([f"ready.{self.zone_of('finalize a ready order')}"]).expect(201).json
        self.processing = self.main.new_order([f"processing.{self.zone_of(IN_PROCESSING)}"]).expect(201).json
        self.main.new_order([f"held.{self.zone}"]).expect(201)
        self.own = {label: self.issue(self.main, f"own-{label}") for label in ("account", "key", "kept")}
        self.replaced = {right: self.issue(self.main, f"old-{at}", right)[1]
                         for at, right in enumerate(REPLACING)}
        self.first_time = self.replace(REPLACING[1]).expect(201).headers["Location"]
        self.request = {"hostnames": [f"rest.{self.zone}"], "csr": make_pem_csr()}
        self.created = [self.rest().create(**self.request).result,
                        self.rest().create([f"rest-own.{self.zone}"]).result]
        self.targets = {"held": self.issue(self.other, "held")[1], "lonely": self.issue(self.other, "lonely-held")[1]}

    def replace(self, right):
        leaf = self.replaced[right]
        name = f"old-{REPLACING.index(right)}.{self.zone_of(right)}"
        return self.main.new_order([name], replaces=certificate_id(leaf))

    # The end

    @contextlib.contextmanager
    def two_in_processing(self):
        """Claimed, not signed: signing is stopped until the end has come. (A signer that is away would keep the end itself
        away: it is a record of its ledger first.)"""
        csr = make_csr(make_key("p256"), [f"processing.{self.zone_of(IN_PROCESSING)}"])
        self.admin.post("signing", {"allowed": False, "only": "this-host"})
        try:
            assert self.main.finalize(self.processing, csr).expect(200).json["status"] == "processing"
            assert self.rest().create([f"rest-late.{self.zone_of(IN_PROCESSING)}"]).status == 503
            waiting = self.sandbox.listing(f"orders?status=processing&customer={self.customer}")
            self.late = {each["identifiers"][0].partition(".")[0]: each["id"] for each in waiting}
            assert set(self.late) == {"processing", "rest-late"}, waiting
            yield
        finally:
            self.admin.post("signing", {"allowed": True, "only": "this-host"})

    def come_to_an_end(self):
        with self.two_in_processing():
            {"zone deleted": self.delete_zones, "zone moved": self.move, "zone paused": lambda: self.pause("pause"),
             "name another's": self.give_away, "customer gone": self.off_board,
             "customer suspended": lambda: self.admin.post(f"customers/{self.customer}/suspend"),
             "account deactivated": self.deactivate, "account key changed": self.change_keys,
             "EAB key revoked": self.revoke_eab, "API key ended": self.end_keys}[self.end]()

    def delete_zones(self):
        for zone in self.every_zone:
            self.admin.delete(f"zones/{zone}?customer={self.customer}")

    def move(self):
        """Everything has moved; then the delegations are mended, and no check of the zones has seen it yet."""
        for zone in self.every_zone:
            self.tree.undelegate(zone)
        self.tree.commit()
        for zone in self.every_zone:
            self.check(zone, "moved")
        for zone in self.every_zone:
            self.tree.delegate(zone, self.servers(zone))
        self.tree.commit()
        time.sleep(1)  # checks of one second do not tell which came first: the zone's own counts

    def pause(self, verb):
        self.admin.post(f"zones/{self.zone}/{verb}?customer={self.customer}")

    def give_away(self):
        rival = self.sandbox["CUSTOMER_2"]
        self.admin.post("zones", {"name": self.zone, "customer": rival})
        self.tree.delegate(self.zone, self.servers(self.zone, rival))
        self.tree.commit()
        self.check(self.zone, "active", rival)

    def take_rivals_certificates(self):
        """What the former holder's authorizations must not reach: certificates of who has the name now."""
        client = self.sandbox.client(2)
        self.targets = {"held": self.issue(client, "held")[1], "lonely": self.issue(client, "lonely-held")[1]}
        client.close()

    def off_board(self):
        self.delete_zones()
        self.end_keys()
        self.revoke_eab()

    def deactivate(self):
        for client in (self.main, self.lonely):
            twin = client.twin()
            twin.post(client.kid, {"status": "deactivated"}).expect(200)
            twin.close()

    def change_keys(self):
        for client, key in self.new_keys.items():
            change_key(client, key).expect(200)
            assert client.post(client.kid).status in (400, 401), "the old key still signs for the account"
            client.key = key

    def revoke_eab(self):
        self.admin.delete(f"customers/{self.customer}/eab-keys/{self.eab['kid']}")

    def end_keys(self):
        for key in self.keys.values():
            self.admin.delete(f"customers/{self.customer}/api-keys/{key['id']}")

    # The rights: each says whether it is there

    def by_acme(self, reply):
        self.last_reply = f"{reply.status} {reply.text}"
        if reply.status == 503 and "Issuance is stopped" in reply.text:
            return False
        assert reply.status in (200, 201) or (reply.status in (400, 401, 403) and reply.problem in (
            "unauthorized", "rejectedIdentifier", "orderNotReady", "accountDoesNotExist", "externalAccountRequired")), reply.text
        return reply.status < 300

    def by_rest(self, reply):
        self.last_reply = f"{reply.status} {reply.body}"
        if reply.status == 503 and b"Issuance is stopped" in reply.body:
            return False
        assert reply.status == 200 or reply.status in (400, 403, 404), reply.body
        return reply.status == 200

    def finalize(self, client, order, name):
        """What is in processing since an earlier try is finished by itself, or is not."""
        url = order["finalize"].replace("/finalize/", "/order/")
        if client.post(url).status == 200 and client.post(url).json["status"] == "processing":
            return wait_until(lambda: client.post(url).json["status"] == "valid", SETTLED, pause=0.5)
        reply = client.finalize(order, make_csr(make_key("p256"), [name]))
        return self.by_acme(reply) and reply.json["status"] == "valid"

    def status_of(self, name):
        """Of the certificates for it, by the admin API."""
        found = self.sandbox.listing(f"certificates?customer={self.customer}")
        return {each["status"] for each in found if each["names"] == [name]}

    def was_made(self, label):
        """What became of an issuance that was in processing; nothing valid is left where it was refused."""
        def settled():
            status = self.admin.get(f"orders/{self.late[label]}")["status"]
            return status if status != "processing" else None

        is_made = wait_until(settled, SETTLED, pause=0.5) == "valid"
        found = self.status_of(f"{label}.{self.zone_of(IN_PROCESSING)}")
        assert is_made == (found == {"valid"}), found
        return is_made

    def ordered(self):
        return self.by_acme(self.main.new_order([f"new.{self.zone_of('order by ACME')}"]))

    def given_again(self):
        reply = self.replace(REPLACING[1])
        if reply.status == 201:
            assert reply.headers["Location"] == self.first_time
        return self.by_acme(reply)

    def created_again(self):
        reply = self.rest().create(**self.request)
        if reply.status == 200:
            assert reply.result["id"] == self.created[0]["id"]
        return self.by_rest(reply)

    def listed(self):
        zone = self.zone_id
        reply = self.rest().list(zone)
        if reply.status == 200:
            assert self.created[0]["id"] in {each["id"] for each in reply.result}
        return self.by_rest(reply)

    def registers(self):
        client = self.sandbox.client(is_registered=False)
        reply = client.register(self.eab["kid"], self.eab["hmac"])
        client.close()
        return self.by_acme(reply)

    def revokes_by_key(self):
        key, leaf, _ = self.own["key"]
        nobody = self.sandbox.client(is_registered=False)
        reply = nobody.revoke(der_of(leaf), 4, AccountKey("ES256", key))
        nobody.close()
        return self.by_acme(reply)

    def reads_orders(self):
        reply = self.main.post(self.own["kept"][2])
        authorization = reply.status == 200 and self.main.post(reply.json["authorizations"][0]).expect(200)
        return self.by_acme(reply) and authorization.json["status"] == "valid"

    def downloads(self):
        serial = self.own["kept"][1].serial_number
        base = self.sandbox["DIRECTORY_URL"].removesuffix("directory")
        return self.by_acme(self.main.post(f"{base}cert/{serial:032x}"))

    def renewal_information(self):
        url = f"{self.main.directory['renewalInfo']}/{certificate_id(self.own['kept'][1])}"
        return "suggestedWindow" in self.main.request("GET", url).expect(200).json

    @property
    def rights(self):
        """In the order in which they are tried: first what makes no zone active."""
        return {
            "prove a pending authorization, without customer": lambda: self.prove("pending"),
            "finalize a ready order, without customer":
                lambda: self.finalize(self.lonely, self.proofs["ready"][1], self.proofs["ready"][0]),
            "revoke by authorization, without customer":
                lambda: self.by_acme(self.lonely.revoke(der_of(self.targets["lonely"]))),
            "revoke by authorization": lambda: self.by_acme(self.main.revoke(der_of(self.targets["held"]))),
            "finalize a ready order": lambda: self.finalize(self.main, self.ready,
                                                            f"ready.{self.zone_of('finalize a ready order')}"),
            "get the certificate of an order in processing": lambda: self.was_made("processing"),
            "get the certificate of a create in processing": lambda: self.was_made("rest-late"),
            "be given a create again": self.created_again,
            "be given such an order again": self.given_again,
            "register an account by EAB": self.registers,
            "revoke one's own by ACME": lambda: self.by_acme(self.main.revoke(der_of(self.own["account"][1]))),
            "revoke by the certificate's key": self.revokes_by_key,
            "list by REST": self.listed,
            "read one by REST": lambda: self.by_rest(self.rest().get(self.created[0]["id"])),
            "revoke one's own by REST": lambda: self.by_rest(self.rest().revoke(self.created[1]["id"])),
            "read orders and authorizations": self.reads_orders,
            "download by ACME": self.downloads,
            "renewal information": self.renewal_information,
            "order by ACME": self.ordered,
            "order with `replaces`": lambda: self.by_acme(self.replace(REPLACING[0])),
            "create by REST": lambda: self.by_rest(self.rest().create([f"new.{self.zone_of('create by REST')}"])),
            "create by a key limited to the zone": lambda: self.by_rest(
                self.rest("limited").create([f"limited.{self.zone_of('create by a key limited to the zone')}"])),
        }

    def status(self, zone):
        return self.admin.get(f"zones/{zone}?customer={self.customer}")["status"]

    def try_all(self):
        """{right: (is it there, is it there again where it was to wait)}"""
        found = {}
        for right, is_there in self.rights.items():
            zone = self.zones.get(right)
            assert zone is None or self.status(zone) == "moved"
            found[right] = is_there()
            assert zone is None or self.status(zone) == "active", \
                f"a good check of an order makes its zone active again; is it there: {found[right]}; {self.last_reply}"
        assert self.end != "zone moved" or self.status(self.zone) == "moved", "somebody's check came in between"
        return found

    def resume(self):
        if self.end == "zone paused":
            self.pause("resume")
        elif self.end == "zone moved":
            self.check(self.zone, "active")
        elif self.end == "customer suspended":
            self.admin.post(f"customers/{self.customer}/resume")

    def close(self):
        for client in self.accounts:
            client.close()


@pytest.fixture(scope="module")
def worlds(own_sandbox):
    """{end: what was found of each right, and of those that wait again afterwards}, each laid out when first asked for."""
    found = {}

    def find(end):
        if end not in found:
            world = World(own_sandbox, end)
            shown = own_sandbox.admin.get(f"zones/{world.zone}?customer={world.customer}")
            world.zone_id = shown["id"]
            world.come_to_an_end()
            if end == "name another's":
                world.take_rivals_certificates()
            first, again = world.try_all(), {}
            if end in ("zone paused", "zone moved", "customer suspended"):
                world.resume()
                again = {right: world.rights[right]() for right, is_there in first.items() if not is_there}
            world.close()
            found[end] = first, again
        return found[end]

    return find


def test_the_table_and_the_tries_name_the_same_rights(own_sandbox):
    assert list(TABLE) and set(TABLE) == set(World.rights.fget(World.__new__(World)))
    assert {cell for row in TABLE.values() for cell in row.values()} == {"stays", "ends", "waits"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("right", TABLE)
def test_right_when(worlds, right, end):
    expected = TABLE[right][end]
    first, again = worlds(end)
    assert first[right] == (expected == "stays"), f"doc/rights.md says: {expected}"
    if expected == "waits":
        assert again[right], "it did not come back"


def ready_order(client, name):
    return client.new_order([name]).expect(201).json


def finalize(client, order, name):
    return client.finalize(order, make_csr(make_key("p256"), [name]))


@pytest.fixture
def world(own_sandbox):
    world = World(own_sandbox, "name another's")
    yield world
    world.close()


def test_a_zone_that_becomes_anothers_below_ones_own_ends_the_names_below_it_alone(own_sandbox, world):
    """The parent is delegated elsewhere for a moment, and that operator delegates the part below to the other customer;
    then the parent comes back. Ready orders of before are finalized within recheck_after_seconds."""
    below, rival = f"www.{world.zone}", own_sandbox["CUSTOMER_2"]
    names = [below, f"a.{below}", f"*.{below}", f"shop.{world.zone}"]
    orders = {name: ready_order(world.main, name) for name in names}
    own_sandbox.admin.post("zones", {"name": below, "customer": rival})
    world.tree.undelegate(world.zone)
    world.tree.delegate(below, world.servers(below, rival))
    world.tree.commit()
    world.check(below, "active", rival)
    client = own_sandbox.client(2)
    _, chain, _ = client.issue([f"a.{below}"])
    client.close()
    world.tree.delegate(world.zone, world.servers(world.zone))
    world.tree.commit()
    for name in names[:3]:
        reply = finalize(world.main, orders[name], name)
        assert reply.problem == "unauthorized" and below in reply.json["detail"], reply.text
    assert len(own_sandbox.certificates(below)) == 1
    assert world.main.revoke(der_of(load_chain(chain)[0])).problem == "unauthorized"
    time.sleep(1.1)  # its own zone has moved for a check of that second
    order, name = ready_order(world.main, f"more.{world.zone}"), f"more.{world.zone}"
    for order, name in ((order, name), (orders[names[3]], names[3])):
        assert finalize(world.main, order, name).expect(200).json["status"] == "valid"


def test_who_has_the_delegation_back_gets_the_zone_back_within_seconds_of_an_order(own_sandbox, world):
    """While the other's zone is active the order takes nothing by itself, but has the zone checked."""
    world.give_away()
    world.check(world.zone, "moved")  # so that it is not due for a check of the sweep's
    world.tree.delegate(world.zone, world.servers(world.zone))
    world.tree.commit()
    time.sleep(1.1)
    reply = world.main.new_order([f"back.{world.zone}"])
    assert reply.problem == "unauthorized" and "another customer's active zone" in reply.json["detail"], reply.text
    answer = RestClient(own_sandbox["API_URL"], own_sandbox["CA_BUNDLE"], service_key(world.keys["all"]["key"])).create(
        [f"back.{world.zone}"])
    assert answer.status == 200 or "another customer's active zone" in str(answer.errors)
    assert wait_until(lambda: world.main.new_order([f"back.{world.zone}"]).status == 201, 30, pause=0.5)
    rivals = own_sandbox.admin.get(f"zones/{world.zone}?customer={own_sandbox['CUSTOMER_2']}")
    assert rivals["status"] == "moved", rivals

"""Rule 2 of the ownership check through real orders, ACME and REST: aliases that do not stand alone, and name servers that do
not agree. No honest name server loads such zones, so those of dns_farm.py are the sandbox's DNS."""

import pytest

from acme_raw import AcmeClient
from dns_farm import EDGE, Farm, Server, World, Zone
from rest_client import rest
from test_hostile_dns import apart, also, below
from test_no_eab import challenge_of, settle, text_for
from under_test import SandboxUnderTest

OURS = ("ns1.provider.test", "ns2.provider.test")
ALIAS, ACME_TEXT = "alias.shop.test.", "_acme-challenge.www.shop.test."


class FarmSandbox(SandboxUnderTest):
    """A sandbox whose name servers are a farm's; shop.test is its first customer's."""

    def __init__(self, directory, *options):
        self.farm = Farm()
        self.bend(lambda world: world.tld.remove("shop.test.", "NS"))  # nobody is assigned what is delegated already
        hints = directory / "hints"
        hints.write_text(". 3600 NS a.root.\na.root. 3600 A 127.66.0.1\n")
        options = ["--root-hints", hints, "--dns-port", self.farm.port, "--set", "acme.recheck_after_seconds=0", "--set",
                   "dns.dns_share_ms=0", "--set", "dns.dns_query_timeout_ms=700", "--workers", 1, *options]
        for name in OURS:
            options += ["--name-server", name]
        for prefix in EDGE:
            options += ["--edge-prefix", prefix]
        super().__init__(directory / "box", *options)

    def up(self):
        super().up()
        self.bend(lambda world: None)
        self.check_zone("shop.test", "active")
        return self

    def down(self):
        try:
            super().down()
        finally:
            self.farm.close()

    def bend(self, function):
        world = World()
        function(world)
        self.farm.world = world


def started(factory, *options):
    sandbox = FarmSandbox(factory.mktemp("rule-two"), *options)
    try:
        return sandbox.up()
    except BaseException:
        sandbox.script("down", check=False)
        sandbox.farm.close()
        raise


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    sandbox = started(tmp_path_factory)
    yield sandbox
    sandbox.down()


@pytest.fixture(scope="module")
def open_box(tmp_path_factory):
    """Anybody registers; the text of dns-01 tells whose name it is."""
    sandbox = started(tmp_path_factory, "--no-eab")
    yield sandbox
    sandbox.down()


@pytest.fixture(scope="module")
def remembering_box(tmp_path_factory):
    """As above, with a cache."""
    sandbox = started(tmp_path_factory, "--no-eab", "--set", "dns.dns_referral_max_ttl=3600")
    yield sandbox
    sandbox.down()


def add_alias(world):
    world.shop.add(f"{ALIAS} CNAME edge.provider.test.")
    world.provider.add("edge.provider.test. A 203.0.113.1")
    world.foreign.add("gray.foreign.test. A 192.0.2.1")


def two_aliases(world):
    add_alias(world)
    world.hook(also(ALIAS, (ALIAS, "CNAME", "gray.foreign.test.")))


def an_address_beside_an_alias(world):
    add_alias(world)
    world.hook(also(ALIAS, (ALIAS, "A", "192.0.2.1")))


def an_address_or_an_alias(world):
    add_alias(world)
    world.shop.add(f"{ALIAS} A 203.0.113.9")


def two_dnames(world):
    world.shop.add("old.shop.test. DNAME shop.test.")
    world.hook(also("www.old.shop.test.", ("old.shop.test.", "DNAME", "foreign.test.")))


def one_server_says_gray(world):
    apart(world).remove("www.shop.test.").add("www.shop.test. A 192.0.2.1")


def one_server_denies(world):
    apart(world).remove("www.shop.test.")


def one_server_is_silent(world):
    world.ns2.hooks.append(lambda query, wire, transport, server: [] if query.question[0].name != world.shop.origin else None)


REFUSED, FAILED = "unauthorized", "dns"
CASES = [(two_aliases, "alias.shop.test", REFUSED, "two CNAME records"),
         (an_address_beside_an_alias, "alias.shop.test", REFUSED, "A records beside the CNAME"),
         (an_address_or_an_alias, "alias.shop.test", REFUSED, "RFC 1034 3.6.2"),
         (two_dnames, "www.old.shop.test", REFUSED, "two DNAME records"),
         (one_server_says_gray, "www.shop.test", FAILED, "ns2.provider.test: points to 192.0.2.1"),
         (one_server_denies, "www.shop.test", FAILED, "ns2.provider.test: does not exist"),
         (one_server_is_silent, "www.shop.test", FAILED, "ns2.provider.test, a name server of shop.test")]


@pytest.mark.parametrize("bend, name, expected, words", CASES, ids=[case[0].__name__ for case in CASES])
def test_what_breaks_the_rule_gets_no_certificate_and_what_mends_it_does(box, bend, name, expected, words):
    """The farm's servers are asked in a random order: three orders in a row must say the same."""
    box.bend(bend)
    client, api = box.client(), rest(box)
    before = len(box.certificates("shop.test"))
    for _ in range(3):
        reply = client.new_order([name])
        assert reply.problem == expected and words in reply.text, reply.text
    api.create([name]).expect_error(400, 1010, words)
    assert len(box.certificates("shop.test")) == before
    box.bend(add_alias)
    if name != "www.old.shop.test":
        client.issue([name])
        assert api.create([name]).result["id"]
    client.close()


def prove(box, put_text):
    """The authorization for www.shop.test when it is decided; `put_text` gets the world and the text."""
    client = AcmeClient(box["DIRECTORY_URL"], box["CA_BUNDLE"])
    reply = client.post(client.directory["newAccount"], {"termsOfServiceAgreed": True}, with_jwk=True).expect(201)
    client.kid = reply.headers["Location"]
    box.bend(lambda world: None)
    order = client.new_order(["www.shop.test"]).expect(201).json
    _, challenge = challenge_of(client, order)
    box.bend(lambda world: put_text(world, text_for(client, challenge)))
    client.post(challenge["url"], {}).expect(200)
    return settle(client, order["authorizations"][0])


def test_a_hidden_zone_on_one_of_the_name_servers_does_not_answer_for_the_text(open_box):
    """Somebody else's zone of the text's name, which nobody delegates, on a server that serves both."""

    def hide(world, text):
        world.shop.add(f'{ACME_TEXT} TXT "the owners own"')
        below(world, 12, origin=ACME_TEXT).add(f'{ACME_TEXT} TXT "{text}"')

    for _ in range(3):
        authorization = prove(open_box, hide)
        assert authorization["status"] == "invalid" and "do not agree" in str(authorization), authorization


def test_a_text_that_every_name_server_has_proves_the_name(open_box):
    authorization = prove(open_box, lambda world, text: world.shop.add(f'{ACME_TEXT} TXT "{text}"'))
    assert authorization["status"] == "valid", authorization


def lead_to(world, target):
    """The text's name is an alias to `target` in auth.test, which is on the name servers of shop.test too: (its owner's zone, a
    stranger's on the first of them)."""
    world.shop.add(f"{ACME_TEXT} CNAME {target}")
    records = "auth.test. NS ns1.provider.test.\nauth.test. NS ns2.provider.test."
    owners, strangers = Zone("auth.test.", records), Zone("auth.test.", records)
    for line in records.splitlines():
        world.tld.add(line)
    world.ns1.zones.append(strangers)
    world.ns2.zones.append(owners)
    return owners, strangers


def a_strangers_text(world, text):
    owners, strangers = lead_to(world, "text.auth.test.")
    owners.add('text.auth.test. TXT "the owners own"')
    strangers.add(f'text.auth.test. TXT "{text}"')


def a_strangers_alias(world, text):
    owners, strangers = lead_to(world, "text.auth.test.")
    owners.add('text.auth.test. TXT "the owners own"')
    strangers.add("text.auth.test. CNAME text.foreign.test.")
    world.foreign.add(f'text.foreign.test. TXT "{text}"')


def behind_the_same_alias(world, text):
    owners, strangers = lead_to(world, "text.auth.test.")
    for zone, value in ((owners, "the owners own"), (strangers, text)):
        zone.add("text.auth.test. CNAME more.auth.test.").add(f'more.auth.test. TXT "{value}"')


def refer(world, zone, child, last, value):
    """The zone refers CHILD to a server of its own, which has that text there."""
    host = f"ns{last}.foreign.test."
    zone.add(f"{child} NS {host}")
    world.foreign.add(f"{host} A 127.66.0.{last}")
    world.server(last, Zone(child, f'{child} NS {host}\ntext.{child} TXT "{value}"'))


def a_strangers_referral(world, text):
    owners, strangers = lead_to(world, "text.sub.auth.test.")
    refer(world, owners, "sub.auth.test.", 22, "the owners own")
    refer(world, strangers, "sub.auth.test.", 23, text)


def a_strangers_referral_within_the_zone(world, text):
    world.shop.add(f"{ACME_TEXT} CNAME text.sub.shop.test.")
    strangers = apart(world)
    refer(world, world.shop, "sub.shop.test.", 22, "the owners own")
    refer(world, strangers, "sub.shop.test.", 23, text)


@pytest.mark.parametrize("bend", [a_strangers_text, a_strangers_alias, behind_the_same_alias, a_strangers_referral,
                                  a_strangers_referral_within_the_zone])
def test_an_alias_to_where_a_stranger_has_a_zone_on_one_of_the_servers_proves_nothing(open_box, bend):
    """The server may be asked for his zone or the owner's: nobody knows."""
    for _ in range(8):
        authorization = prove(open_box, bend)
        assert authorization["status"] == "invalid", authorization


def test_an_alias_to_another_zone_of_the_providers_proves_the_name_where_all_its_servers_say_so(open_box):
    def bend(world, text):
        owners, strangers = lead_to(world, "text.sub.auth.test.")
        world.ns1.zones = [each if each is not strangers else owners for each in world.ns1.zones]
        refer(world, owners, "sub.auth.test.", 22, text)

    authorization = prove(open_box, bend)
    assert authorization["status"] == "valid", authorization


def have_vanity(world, origin, at, text):
    """shop.test's text is an alias into the zone, whose name servers go by names of its own with the addresses AT; the second
    of them has a stranger's zone of that name."""
    world.shop.add(f"{ACME_TEXT} CNAME text.{origin}")
    records = "\n".join(f"{origin} NS ns{n}.{origin}\nns{n}.{origin} A 127.66.0.{last}" for n, last in enumerate(at, 1))
    for line in records.splitlines():
        world.tld.add(line)
    for last, value in zip(at, ("the owners own", text)):
        zone = Zone(origin, f'{records}\ntext.{origin} TXT "{value}"')
        world.servers.setdefault(f"127.66.0.{last}", Server(f"127.66.0.{last}")).zones.append(zone)


def move_provider(world, *at):
    """Its name servers have other addresses now; what answers at the old ones says so too."""
    for number, (last, server) in enumerate(zip(at, (world.ns1, world.ns2)), 1):
        host = f"ns{number}.provider.test."
        for zone in (world.provider, world.tld):
            zone.remove(host, "A").add(f"{host} A 127.66.0.{last}")
        world.server(last, *server.zones)


def test_an_address_that_the_pool_has_had_for_a_moment_only_is_one_where_all_must_agree(remembering_box):
    """What is kept of the pool's addresses is older than its move."""
    settled = prove(remembering_box, lambda world, text: have_vanity(world, "elsewhere.test.", (27, 28), text))
    assert settled["status"] in ("valid", "invalid"), settled  # foreign servers: any one's word, and the pool is known now

    def move(world, text):
        move_provider(world, 14, 15)
        have_vanity(world, "auth.test.", (14, 15), text)

    for _ in range(8):
        authorization = prove(remembering_box, move)
        assert authorization["status"] == "invalid" and "do not agree" in str(authorization), authorization

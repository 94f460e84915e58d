"""Attacks on what proves a zone: certificates for names of a zone that is delegated to another customer's name servers."""

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from dns_farm import Zone
from test_hidden_zones import A, B, SERVERS, add, assert_refused, check, customers, farm, provider, sandbox  # noqa: F401


def new_name():
    return f"l{secrets.token_hex(4)}.test"


def test_a_zone_above_that_fits_a_delegation_to_fewer_servers_proves_nothing(sandbox, provider, customers):
    """B's active l is delegated to one of his servers by now. A has l too, pending and refused, with that server in its set."""
    while True:
        above = new_name()
        pair_b, pair_a = add(sandbox, B, above), add(sandbox, A, above)
        below = f"www.{above}"
        shared = set(pair_a) & set(pair_b)
        pair = add(sandbox, A, below)
        if len(shared) == 1 and shared <= set(pair):
            break
    provider.zone(above, pair_b)
    provider.delegate(provider.world.tld, above, pair_b)
    assert check(sandbox, B, above)["status"] == "active"
    provider.undelegate(provider.world.tld, above)
    provider.delegate(provider.world.tld, above, shared)
    assert check(sandbox, B, above)["status"] == "active"
    assert check(sandbox, A, above)["status"] == "pending"
    provider.zone(below, pair)
    assert_refused(customers, A, below, f"api.{below}", f"*.{below}")
    assert check(sandbox, A, below)["status"] == "pending"


def test_names_of_ones_own_and_a_hidden_zone_without_ns_records_prove_nothing(sandbox, provider, customers):
    """l has names of its own for the provider's servers; A's hidden app.l has no NS records at its top, and refers to y.app.l."""
    while True:
        above = new_name()
        app = f"app.{above}"
        below = f"y.{app}"
        pair, pair_below = add(sandbox, A, app), add(sandbox, A, below)
        if pair != pair_below:
            break
    names = [f"ns{at}.{above}" for at in (1, 2)]
    lines = [f"{above}. NS {name}." for name in names]
    lines += [f"{name}. A {SERVERS[server]}" for name, server in zip(names, pair)]
    zone = Zone(f"{above}.", "\n".join(lines))
    zone.add(f"{app}. A 203.0.113.10")
    for line in lines:
        provider.world.tld.add(line)
    hidden = Zone(f"{app}.", f"x.{app}. A 203.0.113.10")
    provider.delegate(hidden, below, pair_below)
    for server in pair:
        provider.world.servers[SERVERS[server]].zones += [zone, hidden]
    provider.zone(below, pair_below)
    assert_refused(customers, A, below)


def test_a_zone_of_the_same_name_on_one_of_the_servers_refers_to_nobody(sandbox, provider, customers):
    """A had l first: the server that her pair and B's share serves hers. Delegated is it to B's pair."""
    while True:
        above = new_name()
        pair_a, pair_b = add(sandbox, A, above), add(sandbox, B, above)
        below = f"www.{above}"
        pair = add(sandbox, A, below)
        if not set(pair_a) & set(pair_b) & set(pair):
            break
    zone = provider.zone(above, pair_a)
    provider.delegate(zone, below, pair)
    provider.zone(above, pair_b)
    provider.delegate(provider.world.tld, above, pair_b)
    provider.zone(below, pair)
    assert_refused(customers, A, below)


def test_a_zone_above_that_was_given_out_blindly_proves_nothing(sandbox, provider, customers):
    """l is delegated to two of the provider's servers, by whomever; A adds l while DNS is away and is assigned them. It is
    `ambiguous` for her."""
    while True:
        above = new_name()
        below = f"www.{above}"
        for server in provider.world.at(1, 2, 3):
            server.listens = False
        try:
            pair = add(sandbox, A, above)
        finally:
            for server in provider.world.at(1, 2, 3):
                server.listens = True
        pair_below = add(sandbox, A, below)
        if pair == pair_below:
            break
    provider.delegate(provider.world.tld, above, pair)
    provider.zone(above, pair)
    provider.zone(below, pair)
    assert check(sandbox, A, above)["delegation"]["status"] == "ambiguous"
    assert_refused(customers, A, above)
    assert_refused(customers, A, below)


def test_a_zone_above_that_was_sold_refers_to_nobody_any_more(sandbox, provider, customers):
    """The cache of referrals still knows the servers of who sold it."""
    above = new_name()
    below = f"www.{above}"
    pair_b, pair = add(sandbox, B, above), add(sandbox, A, below)
    old = Zone(f"{above}.", f"{above}. NS ns1.foreign.test.")
    provider.delegate(old, below, pair)
    provider.world.servers["127.66.0.21"].zones.append(old)
    provider.delegate(provider.world.tld, above, ["ns1.foreign.test"])
    provider.zone(below, pair)
    assert check(sandbox, A, below)["status"] == "active"
    provider.undelegate(provider.world.tld, above)
    provider.delegate(provider.world.tld, above, pair_b)
    provider.zone(above, pair_b)
    assert check(sandbox, B, above)["status"] == "active"
    assert_refused(customers, A, below)


def test_a_zone_on_a_server_that_somebody_left_the_name_delegated_to_refers_to_nobody(sandbox, provider, customers):
    """B's l is active; it delegates team.l to two of the provider's servers, which nobody has any more. A adds team.l, is assigned
    another set, and refers to x.team.l on the server that is in both."""
    while True:  # of three servers every two pairs share one
        above = new_name()
        team, below = f"team.{above}", f"x.team.{above}"
        pair_b = add(sandbox, B, above)
        provider.delegate(provider.world.tld, above, pair_b)
        zone = provider.zone(above, pair_b)
        provider.delegate(zone, team, dangling := sorted(SERVERS)[:2])
        pair_team = add(sandbox, A, team)
        hers = provider.zone(team, pair_team)  # it denies x.team.l until A has seen which name servers that gets
        pair_below = add(sandbox, A, below)
        if pair_team != pair_b and not set(pair_team) & set(dangling) & set(pair_below):
            break
    assert check(sandbox, B, above)["status"] == "active"
    provider.delegate(hers, below, pair_below)
    provider.zone(below, pair_below)
    assert_refused(customers, A, team)
    assert_refused(customers, A, below, f"www.{below}", f"*.{below}")


def test_a_former_owners_zone_refers_to_nobody_while_the_new_ones_is_pending(sandbox, provider, customers):
    """A sold l to B, whose set shares a server with hers; her zone is active until the next check."""
    while True:
        above = new_name()
        below = f"x.{above}"
        pair_a, pair_b, pair = add(sandbox, A, above), add(sandbox, B, above), add(sandbox, A, below)
        if not set(pair_a) & set(pair_b) & set(pair):
            break
    hers = provider.zone(above, pair_a)
    provider.delegate(provider.world.tld, above, pair_a)
    assert check(sandbox, A, above)["status"] == "active"
    provider.delegate(hers, below, pair)
    provider.zone(below, pair)
    provider.undelegate(provider.world.tld, above)
    provider.delegate(provider.world.tld, above, pair_b)
    provider.zone(above, pair_b)
    assert_refused(customers, A, below)


def contested(sandbox, provider):
    """(name, B's zone file, the server that has A's instead, A's zone file): B's l is active, and A has l too on a set that shares
    a server with his."""
    above = new_name()
    pair_b, pair_a = add(sandbox, B, above), add(sandbox, A, above)
    zone = provider.zone(above, pair_b)
    provider.delegate(provider.world.tld, above, pair_b)
    assert check(sandbox, B, above)["status"] == "active"
    (shared,) = set(pair_a) & set(pair_b)
    provider.world.servers[SERVERS[shared]].zones.remove(zone)
    return above, zone, shared, provider.zone(above, pair_a)


def test_a_strangers_zone_above_does_not_hide_what_a_new_zone_is_delegated_to(sandbox, provider, customers):
    """team.l is left behind with two of the provider's servers; A's zone l denies it until she has been assigned just these."""
    dangling, won = sorted(SERVERS)[:2], []
    for _ in range(24):
        above, zone, _, hers = contested(sandbox, provider)
        team = f"team.{above}"
        provider.delegate(zone, team, dangling)
        if add(sandbox, A, team) == dangling:
            won.append(team)
            for server in provider.world.servers.values():
                server.zones = [each for each in server.zones if each is not hers]
            provider.zone(team, dangling)
            assert_refused(customers, A, team)
    assert not won


def test_a_strangers_zone_does_not_say_where_a_name_server_is(sandbox, provider, customers):
    """p is delegated to ns.l without glue. A's zone l leads to a server of hers, which refers shop.p to her name servers."""
    for _ in range(6):
        above, zone, _, hers = contested(sandbox, provider)
        host, parent = f"ns.{above}", f"p{above}"
        shop = f"shop.{parent}"
        zone.add(f"{host}. A 127.66.0.21")
        hers.add(f"{host}. A 127.66.0.25")
        provider.world.tld.add(f"{parent}. NS {host}.")
        honest, evil = Zone(f"{parent}.", f"{parent}. NS {host}."), Zone(f"{parent}.", f"{parent}. NS {host}.")
        provider.world.servers["127.66.0.21"].zones.append(honest)
        provider.world.server(25, evil)
        pair = add(sandbox, A, shop)
        provider.delegate(evil, shop, pair)
        provider.zone(shop, pair)
        assert_refused(customers, A, shop)


def test_a_strangers_zone_that_was_deleted_refers_to_nobody_while_servers_still_have_it(sandbox, provider, customers):
    """As above, but A takes team.l out before she orders: name servers follow later than the list of zones."""
    while True:
        above = new_name()
        team, below = f"team.{above}", f"x.team.{above}"
        pair_b = add(sandbox, B, above)
        provider.delegate(provider.world.tld, above, pair_b)
        zone = provider.zone(above, pair_b)
        provider.delegate(zone, team, dangling := sorted(SERVERS)[:2])
        pair_team = add(sandbox, A, team)
        hers = provider.zone(team, pair_team)
        pair_below = add(sandbox, A, below)
        if pair_team != pair_b and not set(pair_team) & set(dangling) & set(pair_below):
            break
    assert check(sandbox, B, above)["status"] == "active"
    sandbox.admin.delete(f"zones/{team}?customer={sandbox['CUSTOMER']}")
    check(sandbox, A, below)  # it is not delegated to the name servers that she was assigned
    provider.delegate(hers, below, pair_below)
    provider.zone(below, pair_below)
    assert_refused(customers, A, below)


def give_away_during_check(sandbox, provider):
    """A's check has heard the parent and waits for a slow name server; meanwhile l is delegated to B's pair, and his zone is active.
    The name; None where A's check was done before that, or B's did not end in time, as on a busy machine."""
    above = new_name()
    pair_a = add(sandbox, A, above)
    hers = provider.zone(above, pair_a)
    provider.delegate(provider.world.tld, above, pair_a)
    shown = check(sandbox, A, above)
    assert shown["status"] == "active", shown
    pair_b = add(sandbox, B, above)
    (slow,) = set(pair_a) - set(pair_b)
    was_asked, server = threading.Event(), provider.world.servers[SERVERS[slow]]

    def delay(query, wire, transport, at):
        """Twice as long as one query is waited for, almost: a cut answer late, and the whole one late as well."""
        was_asked.set()
        answer = at.resolve(query)
        if transport == "udp":
            answer.is_truncated, answer.answer, answer.authority, answer.additional = True, [], [], []
        return [1.3, answer.to_wire()]

    time.sleep(1.1)  # checks are told apart by the second in which they began
    server.hooks.append(delay)
    with ThreadPoolExecutor(1) as pool:
        old = pool.submit(check, sandbox, A, above)
        assert was_asked.wait(10)
        time.sleep(1.1)
        for name in pair_b:
            zones = provider.world.servers[SERVERS[name]].zones
            zones[:] = [zone for zone in zones if zone is not hers]
        provider.undelegate(provider.world.tld, above)
        provider.delegate(provider.world.tld, above, pair_b)
        provider.zone(above, pair_b)
        is_in_time = check(sandbox, B, above)["status"] == "active" and not old.done()
        assert old.result(30)
    server.hooks.remove(delay)
    return above if is_in_time else None


def test_a_check_that_began_before_the_zone_went_to_somebody_else_takes_nothing_back(sandbox, provider, customers):
    above = next(filter(None, (give_away_during_check(sandbox, provider) for _ in range(5))))
    holders = {number: sandbox.admin.get(f"zones/{above}?customer={sandbox[key]}")["status"]
               for number, key in ((A, "CUSTOMER"), (B, "CUSTOMER_2"))}
    assert holders == {A: "moved", B: "active"}
    assert_refused(customers, A, above)

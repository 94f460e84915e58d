"""Many at once: one order, one certificate; nonces are spent once; the load is shared."""

from concurrent.futures import ThreadPoolExecutor

from acme_raw import b64, compact, make_csr, make_jws, make_key

PARALLEL = 32
ORDERS = 5


def prepared_finalizes(client, order, csr):
    """One connection and one signed request for each racer, so that they differ in nothing but luck."""
    racers = [client.twin() for _ in range(PARALLEL)]
    nonces = [racer.take_nonce() for racer in racers]
    bodies = [compact(make_jws(client.key, order["finalize"], {"csr": b64(csr)}, nonce, client.kid))
              for nonce in nonces]
    return racers, bodies


def test_32_parallel_finalizes_of_an_order_give_one_certificate(sandbox):
    client, zone = sandbox.client(), sandbox.new_zone()
    for number in range(ORDERS):
        name = f"n{number}.{zone}"
        created = client.new_order([name]).expect(201)
        csr = make_csr(make_key("p256"), [name])
        racers, bodies = prepared_finalizes(client, created.json, csr)
        with ThreadPoolExecutor(PARALLEL) as pool:
            replies = list(pool.map(lambda pair: pair[0].post_raw(created.json["finalize"], pair[1]),
                                    zip(racers, bodies)))
        winners = [reply for reply in replies if reply.status == 200]
        assert winners, [reply.text for reply in replies[:3]]
        for reply in replies:
            assert reply.status == 200 or reply.problem == "orderNotReady", reply.text
        order = client.post(created.headers["Location"]).expect(200).json
        assert order["status"] == "valid"
        urls = {reply.json["certificate"] for reply in winners if reply.json["status"] == "valid"}
        assert urls == {order["certificate"]}
        assert len(sandbox.certificates(zone)) == number + 1
        for racer in racers:
            racer.close()


def test_parallel_finalizes_with_different_keys_give_one_certificate(sandbox):
    client, zone = sandbox.client(), sandbox.new_zone()
    created = client.new_order([zone]).expect(201)
    racers = [client.twin() for _ in range(8)]
    requests = [make_csr(make_key("p256"), [zone]) for _ in racers]
    with ThreadPoolExecutor(len(racers)) as pool:
        replies = list(pool.map(lambda pair: pair[0].finalize(created.json, pair[1]), zip(racers, requests)))
    assert sum(reply.status == 200 and reply.json["status"] == "valid" for reply in replies) >= 1
    assert len(sandbox.certificates(zone)) == 1


def test_a_nonce_is_spent_once_however_many_use_it(sandbox):
    client = sandbox.client()
    racers = [client.twin() for _ in range(16)]
    nonce = client.take_nonce()
    body = compact(make_jws(client.key, client.kid, None, nonce, client.kid))
    with ThreadPoolExecutor(len(racers)) as pool:
        replies = list(pool.map(lambda racer: racer.post_raw(client.kid, body), racers))
    assert sorted(reply.status for reply in replies) == [200] + [400] * 15
    assert {reply.problem for reply in replies if reply.status == 400} == {"badNonce"}


def test_the_same_key_registered_in_parallel_is_one_account(sandbox):
    client = sandbox.client(is_registered=False)
    racers = [client.twin() for _ in range(16)]
    with ThreadPoolExecutor(len(racers)) as pool:
        replies = list(pool.map(lambda racer: racer.register(sandbox["EAB_KID"], sandbox["EAB_HMAC"]), racers))
    assert sorted(reply.status for reply in replies) == [200] * 15 + [201]
    assert len({reply.headers["Location"] for reply in replies}) == 1


def test_many_accounts_issue_side_by_side(sandbox):
    def issue(_):
        client = sandbox.client()
        _, chain, _ = client.issue([sandbox.name()])
        client.close()
        return chain

    with ThreadPoolExecutor(16) as pool:
        chains = list(pool.map(issue, range(64)))
    assert len(set(chains)) == 64

"""Signed OCSP answers are kept in a bounded part of each worker's memory, and none of them in Redis."""

import itertools

from acme_kit import issue_leaf
from ocsp_kit import HASHES, cert_id, issuer_of, request, responder_of
from test_outward_texts import redis
from under_test import wait_until
from verify import der_of

KEPT_BYTES = 6000  # some ten answers
CERTIFICATES = 8
SANDBOX_OPTIONS = ("--workers", "1", "--set", f"ocsp.ocsp_kept_bytes={KEPT_BYTES}")


def metric(box, name):
    return sum(value for key, value in box.admin.metrics().items() if key.partition("{")[0] == name)


def signatures(box):
    return metric(box, "originca_signer_ocsp_signatures_total")


def keys_about(box, leaves):
    return {key for leaf in leaves for key in redis(box, "KEYS", f"*{leaf.serial_number:032x}*").split()}


def test_a_reader_of_all_certificates_fills_neither_redis_nor_a_worker(own_sandbox):
    box = own_sandbox
    box.wait_ready()
    owner, issuer, responder = box.client(), issuer_of(box), responder_of(box)
    leaves = [issue_leaf(box, owner)[1] for _ in range(CERTIFICATES)]
    asked = [request(cert_id(issuer, leaf.serial_number, name, has_null))
             for leaf, name, has_null in itertools.product(leaves, HASHES, (True, False))]
    keys, before = keys_about(box, leaves), signatures(box)
    assert {responder.post(body).status for body in asked} == {"good"}
    assert wait_until(lambda: signatures(box) == before + len(asked), 20)
    assert keys_about(box, leaves) == keys
    assert wait_until(lambda: 0 < metric(box, "originca_ocsp_kept_bytes"), 20)
    assert metric(box, "originca_ocsp_kept_bytes") <= KEPT_BYTES
    newest = responder.post(asked[-1]).body
    assert responder.post(asked[-1]).body == newest
    assert responder.post(asked[0]).status == "good"  # long gone: signed again
    assert wait_until(lambda: signatures(box) == before + len(asked) + 1, 20)
    owner.revoke(der_of(leaves[-1]), 4).expect(200)
    assert responder.post(asked[-1]).status == "revoked" and responder.post(asked[-1]).body != newest
    responder.close()
    owner.close()

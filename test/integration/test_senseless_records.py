"""Ledger records whose chain is right and whose contents make no sense: they keep no other record from Redis."""

from signer_link import append_record
from verify import load_chain

SANDBOX_OPTIONS = ("--workers", "1")
SENSELESS = (
    {"type": "void", "attempt": "a1", "serial": "no serial"},
    {"type": "void", "attempt": "a2"},
    {"type": "issued", "attempt": "a3", "intent_seq": 1},
    {"type": "issued", "attempt": "a4", "intent_seq": 1, "serial": "11" * 16, "certificate": "!!!", "names": ["x.test"]},
    {"type": "issued", "attempt": "a5", "intent_seq": 1, "serial": "12" * 16, "certificate": "AAAA", "names": [1]},
    {"type": "issued", "attempt": "a6", "intent_seq": 1, "serial": "13" * 16, "certificate": "AAAA", "not_after": "never"},
)


def test_records_that_make_no_sense_keep_no_other_from_redis(own_sandbox):
    """Whoever wrote them had the signer's files. Each is an alarm; what follows them is replayed, and all is served."""
    box = own_sandbox
    client = box.client()
    leaf = load_chain(client.issue([box.name()])[1])[0]
    box.script("down", "--keep")
    for record in SENSELESS:
        append_record(box.directory / "ledger", **record)
    append_record(box.directory / "ledger", type="revoked", serial=f"{leaf.serial_number:032x}", issuer="ecc", reason=4,
                  revoked_at="2026-11-28T00:00:00Z", by="admin:test")
    box.script("up", "--port-base", box.port_base, *box.options, timeout=600)
    box.wait_ready()
    assert box.admin.get(f"certificates/{leaf.serial_number}")["status"] == "revoked", "what followed them"
    told = [line for line in box.log_text().splitlines() if "makes no sense and is passed over" in line]
    assert len(told) == len(SENSELESS) and all("seq=" in line and "reason=" in line for line in told), told
    assert box.admin.metrics()["originca_ledger_unreadable_total"] == len(SENSELESS)
    client.close()
    client.issue([box.name()])
    box.kill(box.signer())  # the next one reads them too, and nothing is told again
    box.wait_ready()
    client.close()
    client.issue([box.name()])
    assert box.log_text().count("makes no sense and is passed over") == len(SENSELESS)

"""What every ACME client must manage unmodified: obtain, renew, revoke; each certificate verified."""

import pytest

from verify import load_chain, verify_certificate

CASES = [
    pytest.param("single", "p256", id="single-p256"),
    pytest.param("several", "rsa2048", id="several-rsa2048"),
    pytest.param("wildcard", "p384", id="wildcard-p384"),
    pytest.param("single", "rsa4096", id="single-rsa4096"),
]


def names_for(sandbox, shape):
    """Fresh names of a shape; a wildcard stands beside its base name, as people order it."""
    if shape == "single":
        return [sandbox.name()]
    if shape == "several":
        return [sandbox.name(), sandbox.name(), sandbox.name(sandbox["ZONE_B"]), sandbox["ZONE"]]
    base = sandbox.name()
    return [base, f"*.{base}"]


def is_revoked(sandbox, leaf):
    return sandbox.admin.get(f"certificates/{leaf.serial_number}")["status"] == "revoked"


def check(sandbox, pem, key, names, kind):
    return verify_certificate(pem, key, names, sandbox["ISSUER_ECC"], kind=kind)


def obtain_renew_revoke(sandbox, tool, shape, kind):
    """`tool` has obtain(names, kind) and renew(names, kind), both to (PEM chain, key file), and revoke(names)."""
    names = names_for(sandbox, shape)
    first = check(sandbox, *tool.obtain(names, kind), names, kind)
    second = check(sandbox, *tool.renew(names, kind), names, kind)
    assert first.serial_number != second.serial_number
    assert not is_revoked(sandbox, second)
    tool.revoke(names)
    assert is_revoked(sandbox, second)
    assert not is_revoked(sandbox, first)
    return second


def serial_of(pem):
    return load_chain(pem)[0].serial_number

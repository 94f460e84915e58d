"""The certificates' reason to be small: what an edge reads in a handshake."""

import os
import sys
from pathlib import Path

from under_test import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from handshake_sizes import measure  # noqa: E402


SANDBOX_OPTIONS = ("--set", "rest.rest_profile=compact")


def read_by_an_edge(sandbox, tmp_path):
    rows = measure(Path(os.environ["ORIGINCA_BUILD"]) / "cli" / "originca", sandbox["API_URL"], sandbox["CA_BUNDLE"],
                   sandbox["API_KEY"], f"www.{sandbox['ZONE']}", tmp_path)
    return {title: size for title, _, size in rows}


def test_handshakes_of_the_default_profile_are_small(sandbox, tmp_path):
    """Which names a revocation list."""
    read = read_by_an_edge(sandbox, tmp_path)
    assert read["P-256 leaf, ECC issuer"] <= 715, read
    assert read["RSA-2048 leaf, RSA issuer"] <= 1289, read


def test_handshakes_of_compact_certificates_are_smaller(own_sandbox, tmp_path):
    read = read_by_an_edge(own_sandbox, tmp_path)
    assert read["P-256 leaf, ECC issuer"] < 700, read
    assert read["RSA-2048 leaf, ECC issuer"] < 1289 and read["RSA-2048 leaf, RSA issuer"] < 1289, read

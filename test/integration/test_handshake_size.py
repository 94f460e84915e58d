"""The certificates' reason to be small: what an edge reads in a handshake."""

import os
import sys
from pathlib import Path

from under_test import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from handshake_sizes import measure  # noqa: E402


SANDBOX_OPTIONS = ("--set", "rest.rest_profile=compact")


def test_handshakes_are_small(own_sandbox, tmp_path):
    sandbox = own_sandbox
    rows = measure(Path(os.environ["ORIGINCA_BUILD"]) / "cli" / "originca", sandbox["API_URL"], sandbox["CA_BUNDLE"],
                   sandbox["API_KEY"], f"www.{sandbox['ZONE']}", tmp_path)
    read = {title: size for title, _, size in rows}
    assert read["P-256 leaf, ECC issuer"] < 700, rows
    assert read["RSA-2048 leaf, ECC issuer"] < 1289 and read["RSA-2048 leaf, RSA issuer"] < 1289, rows

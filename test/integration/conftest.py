"""Fixtures of the integration tests. ORIGINCA_BUILD names the build whose programs are tested (scripts/test sets it)."""

import os
from pathlib import Path

import pytest

from under_test import ROOT, SandboxUnderTest, run


def pytest_configure(config):
    os.environ.setdefault("ORIGINCA_BUILD", str(ROOT / "build-asan"))
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    server = Path(os.environ["ORIGINCA_BUILD"]) / "server" / "originca-server"
    if not config.option.collectonly and not server.exists():
        raise pytest.UsageError(f"{server} is not built; run scripts/test --only integration, or set ORIGINCA_BUILD")


def _started(factory, name, *options):
    sandbox = SandboxUnderTest(factory.mktemp(name), *options)
    try:
        return sandbox.up()
    except BaseException:
        sandbox.script("down", check=False)
        raise


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    """The sandbox that all tests share which only add to it."""
    sandbox = _started(tmp_path_factory, "shared")
    yield sandbox
    sandbox.down()


@pytest.fixture(scope="module")
def own_sandbox(tmp_path_factory, request):
    """A sandbox for one module that breaks or reconfigures things; SANDBOX_OPTIONS of the module are given to `up`."""
    sandbox = _started(tmp_path_factory, "own", *getattr(request.module, "SANDBOX_OPTIONS", ()))
    yield sandbox
    sandbox.down()


@pytest.fixture
def admin(sandbox):
    return sandbox.admin


@pytest.fixture
def client(sandbox):
    """A registered account of the first customer."""
    client = sandbox.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def quick():
    """scripts/test --quick: the same tests with fewer rounds."""
    return os.environ.get("ORIGINCA_QUICK") == "1"


@pytest.fixture(scope="session")
def npm_modules():
    """node_modules with the clients at the versions of the lock file."""
    directory = ROOT / "test" / "integration" / "npm"
    wanted = ("acme-client", "cloudflare", "@seriousme/openapi-schema-validator")
    if not all((directory / "node_modules" / name).exists() for name in wanted):
        run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], directory=directory, timeout=300)
    return directory

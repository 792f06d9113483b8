"""One daemon for the session, and shelves on it over each path: local (mapped), copy (ring), tcp."""

import importlib.util
import itertools
import os
import pathlib
import subprocess

import pytest

import pmshelf

SYSTEM = pathlib.Path(__file__).resolve().parents[2] / "tests/system/conftest.py"
spec = importlib.util.spec_from_file_location("system_conftest", SYSTEM)
system = importlib.util.module_from_spec(spec)
spec.loader.exec_module(system)

PATHS = ["local", "copy", "tcp"]
names = itertools.count()


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    one = system.Daemon(tmp_path_factory.mktemp("daemon")).start()
    yield one
    one.kill()


@pytest.fixture(scope="session")
def token(daemon):
    cli = os.environ["PMSHELF_TEST_TOOL"]
    made = subprocess.run([cli, "--target", f"unix:{daemon.run}/data.sock", "token", "create", "tests"],
                          capture_output=True, text=True, check=True)
    return made.stdout.strip()


@pytest.fixture(params=PATHS)
def connect(request, daemon, token):
    """Makes clients on the path: connect() -> Client; all are closed at the end."""
    clients = []

    def make():
        if request.param == "tcp":
            target = f"127.0.0.1:{daemon.ports()[0]}"
            client = pmshelf.connect(target, token=token, path="tcp")
        else:
            client = pmshelf.connect(f"unix:{daemon.run}/data.sock", path="local")
        clients.append(client)
        return client

    make.same_host = "copy" if request.param == "copy" else "direct"
    make.path = request.param
    yield make
    for client in clients:
        client.close()


@pytest.fixture
def make_shelf(connect):
    """Makes shelves, each over a session of its own: make_shelf(size_mb=..., name=...) -> Shelf."""

    def make(size_mb=64, name=None, **more):
        name = name or f"s{next(names)}"
        return connect().shelf(name, size_mb=None if more.get("read_only") else size_mb,
                               same_host=connect.same_host, **more)

    return make


@pytest.fixture
def shelf(make_shelf):
    return make_shelf()


@pytest.fixture
def reconnect(make_shelf):
    """The same shelf through another session."""

    def again(shelf):
        return make_shelf(name=shelf.name)

    return again

"""Limits: each is an error that names it, nothing else suffers, and it is over when the cause is."""

import resource
import socket
import subprocess

import pytest

from conftest import PMSHELFD, wait_until
from wire import Closed, DataConnection, Refused, local_session, request_id

MIB = 1 << 20


def test_full_shelf_can_still_erase(daemon):
    one = daemon()
    session = local_session(one.run)
    session.create_shelf("s", 8 * MIB)
    handle = session.open_shelf("s")
    with DataConnection(f"{one.run}/data.sock", session) as data:
        count = 0
        with pytest.raises(Refused) as refused:
            while count < 100:
                data.put(handle, b"k%d" % count, b"x" * MIB)
                count += 1
        assert refused.value.code == "no_space"
        assert count >= 4
        session.call("Regions/Erase", {1: request_id(), 2: "s", 3: b"k0"})
        data.put(handle, b"again", b"x" * MIB)


def test_connections_beyond_the_limit_are_closed_and_the_others_work(daemon):
    one = daemon("[data]\nconnections_max = 8\n")
    session = local_session(one.run)
    port = one.ports()[1]
    with DataConnection(("127.0.0.1", port), session) as first:
        others = [DataConnection(("127.0.0.1", port)) for _ in range(7)]
        with pytest.raises((Closed, OSError)):
            DataConnection(("127.0.0.1", port))
        first.request("ping")
        for other in others:
            other.close()
        wait_until(lambda: can_connect(port))


def can_connect(port):
    try:
        DataConnection(("127.0.0.1", port)).close()
        return True
    except (Closed, OSError):
        return False


def test_sessions_beyond_the_limit_name_it(daemon):
    one = daemon("[session]\nmax = 3\n")
    sessions = [local_session(one.run) for _ in range(3)]
    with pytest.raises(Refused) as refused:
        local_session(one.run)
    assert refused.value.code == "resource_exhausted"
    sessions.pop().close()
    local_session(one.run)


def test_no_descriptors_left_is_survived(daemon):
    one = daemon(start=False)

    def few_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))

    with open(one.log_file, "ab") as log:
        one.process = subprocess.Popen(one.command(), stdout=log, stderr=log,
                                       preexec_fn=few_descriptors)
    wait_until(lambda: " ready: " in one.log())
    session = local_session(one.run)
    port = one.ports()[1]
    with DataConnection(("127.0.0.1", port), session) as data:
        crowd = []
        for _ in range(120):
            crowd.append(socket.create_connection(("127.0.0.1", port)))
        data.request("ping")
        for one_of_them in crowd:
            one_of_them.close()
        data.request("ping")
        wait_until(lambda: can_connect(port))
    assert one.process.poll() is None


def test_transactions_beyond_the_memory_limit_name_it(daemon):
    one = daemon('[data]\nbuffer_memory = "8MiB"\n')
    session = local_session(one.run)
    session.create_shelf("s", 64 * MIB)
    grant = session.create_region("s", b"r", 16 * MIB)
    from wire import OPS, header
    import struct
    with DataConnection(f"{one.run}/data.sock", session) as slow, \
            DataConnection(f"{one.run}/data.sock", session) as data:
        def meta(size):
            return (b"\0" * 16 + struct.pack("<II", 1, 0) + struct.pack("<QQ", *grant)
                    + struct.pack("<QQ", 0, size))

        slow.socket.sendall(header(OPS["transact"], tag=1, meta=40 + 16, payload=6 * MIB)
                            + meta(6 * MIB) + b"x" * 1000)  # holds 6 MiB while it dawdles
        wait_until(lambda: refuses(data, meta(4 * MIB), b"y" * (4 * MIB)), 9)
        slow.close()
        wait_until(lambda: not refuses(data, meta(4 * MIB), b"y" * (4 * MIB)), 20)


def refuses(data, meta, payload):
    try:
        data.request("transact", meta, payload)
        return False
    except Refused as refused:
        assert refused.code == "resource_exhausted" and "buffer_memory" in refused.message
        return True


def test_daemon_without_room_for_its_state_says_so():
    done = subprocess.run([PMSHELFD, "--config", "/dev/null"], capture_output=True, text=True,
                          env={"HOME": "/proc/none", "STATE_DIRECTORY": "/proc/none",
                               "RUNTIME_DIRECTORY": "/proc/none/run"}, timeout=30, check=False)
    assert done.returncode in (1, 2)
    assert "/proc/none" in done.stderr

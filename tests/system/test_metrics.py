"""Metrics: off unless asked for, valid text, and the figures are those of what happened."""

import re
import socket
import urllib.request

import pytest

from wire import DataConnection, Refused, local_session


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r'([a-z_]+(?:\{[^}]*\})?) (\S+)', line)
            assert match, line
            values[match[1]] = float(match[2])
    return values


def test_requests_bytes_errors_and_space_are_counted(daemon):
    port = free_port()
    one = daemon(f"[metrics]\nlisten = '127.0.0.1:{port}'\n")
    session = local_session(one.run)
    session.create_shelf("s", 64 << 20)
    handle = session.open_shelf("s")
    with DataConnection(f"{one.run}/data.sock", session) as data:
        for number in range(5):
            data.put(handle, b"k%d" % number, b"x" * 1000)
        with pytest.raises(Refused):
            data.get(handle, b"none")
        values = scrape(port)
        assert values['pmshelf_request_seconds_count{path="local",op="put"}'] == 5
        assert values['pmshelf_request_seconds_bucket{path="local",op="put",le="+Inf"}'] == 5
        assert values['pmshelf_payload_bytes_total{path="local",op="put"}'] == 5000
        assert values['pmshelf_request_errors_total{code="not_found"}'] == 1
        assert values["pmshelf_sessions"] == 1
        assert values['pmshelf_connections{path="local"}'] == 1
        space = {kind: values[f'pmshelf_shelf_bytes{{pool="default",shelf="s",kind="{kind}"}}']
                 for kind in ("capacity", "used", "free", "metadata")}
        assert space["capacity"] == space["used"] + space["free"] + space["metadata"]
        assert values['pmshelf_shelf_regions{pool="default",shelf="s"}'] == 5
        assert values['pmshelf_shelf_trouble{pool="default",shelf="s"}'] == 0
        assert values['pmshelf_control_calls_total{method="Shelves.Create"}'] == 1
        assert values["pmshelf_recovery_seconds"] >= 0


def test_buckets_rise_and_end_at_the_count(daemon):
    port = free_port()
    one = daemon(f"[metrics]\nlisten = '127.0.0.1:{port}'\n")
    session = local_session(one.run)
    with DataConnection(f"{one.run}/data.sock", session) as data:
        for _ in range(20):
            data.request("ping")
    buckets = [value for key, value in scrape(port).items()
               if key.startswith('pmshelf_request_seconds_bucket{path="local",op="ping"')]
    assert buckets == sorted(buckets) and buckets[-1] == 20


def test_counters_for_top_are_the_same_figures(daemon):
    one = daemon()
    session = local_session(one.run)
    with DataConnection(f"{one.run}/data.sock", session) as data:
        data.request("ping")
        data.request("ping")
    status = session.call("Admin/Status")
    from wire import parse
    counters = {parse(entry)[1][0].decode(): parse(entry).get(2, [0])[0] for entry in status[11]}
    assert counters["requests.local.ping"] == 2


def test_address_that_is_taken_names_the_setting(daemon):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        one = daemon(f"[metrics]\nlisten = '127.0.0.1:{port}'\n", start=False).spawn()
        assert one.wait() == 1
        assert f"[metrics] listen: '127.0.0.1:{port}'" in one.log()

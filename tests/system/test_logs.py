"""Logs: valid lines, re-opened on demand, and never a reason to stop serving."""

import json
import os
import signal

from conftest import wait_until
from wire import DataConnection, local_session


def test_json_lines_are_json(daemon):
    one = daemon("[log]\nformat = 'json'\nlevel = 'debug'\n", start=False)
    one.spawn()
    wait_until(lambda: "ready: " in one.log())
    local_session(one.run, 'client "quoted" \n new line')
    assert one.stop() == 0
    lines = [json.loads(line) for line in one.log().splitlines()]
    assert any("ready: " in line["message"] for line in lines)
    assert {"time", "level", "thread", "message"} <= set(lines[0])


def test_moved_log_is_opened_again_on_hup(daemon, tmp_path):
    log = tmp_path / "daemon.log"
    one = daemon(f"[log]\nfile = '{log}'\n", start=False)
    one.spawn()
    wait_until(lambda: log.exists() and " ready: " in log.read_text())
    os.rename(log, tmp_path / "old.log")
    one.signal(signal.SIGHUP)
    wait_until(lambda: log.exists() and "reload: done" in log.read_text())
    assert one.stop() == 0
    assert " ended" in log.read_text()


def test_full_disk_for_logs_stops_nothing(daemon):
    one = daemon("[log]\nfile = '/dev/full'\nlevel = 'debug'\n", start=False)
    one.spawn()
    wait_until(lambda: (one.run / "control.sock").exists())
    session = wait_until(lambda: try_session(one))
    session.create_shelf("s", 4 << 20)
    handle = session.open_shelf("s")
    with DataConnection(f"{one.run}/data.sock", session) as data:
        for number in range(50):
            data.put(handle, b"k%d" % number, b"v")
    assert one.stop() == 0
    complaint = one.log()  # standard error
    assert "log lines lost so far: No space left on device" in complaint
    assert len(complaint.splitlines()) <= 2


def try_session(one):
    try:
        return local_session(one.run)
    except OSError:
        return None


def test_log_that_cannot_be_opened_ends_the_start(daemon):
    one = daemon("[log]\nfile = '/no/such/folder/log'\n", start=False).spawn()
    assert one.wait() == 2
    assert "/no/such/folder/log" in one.log()


def test_no_secret_reaches_the_log(daemon):
    one = daemon("[log]\nlevel = 'trace'\n")
    with DataConnection(f"{one.run}/data.sock") as data:
        token = data.peer_token()
    session = local_session(one.run)
    stored = session.call("Admin/CreateToken", {1: "t", 2: "*", 3: 7})[1][0].decode()
    with DataConnection(f"{one.run}/data.sock", session) as data:
        data.request("ping")
    assert one.stop() == 0
    text = one.log()
    for secret in (token, stored, session.data_secret.hex(), session.ticket.hex()):
        assert secret not in text

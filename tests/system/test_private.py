"""Private daemons: started by whoever needs a directory, one at a time, gone when nobody does."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from conftest import PMSHELFD, is_alive, wait_until
from wire import DataConnection, local_session


class Starter:
    """Starts private daemons with their sockets below `runtime`, and ends those that are left."""

    def __init__(self, runtime):
        self.env = dict(os.environ, XDG_RUNTIME_DIR=str(runtime))
        self.pids = set()

    def spawn(self, directory, *more):
        read_fd, write_fd = os.pipe()
        process = subprocess.Popen(
            [PMSHELFD, "--private", str(directory), "--ready-fd", str(write_fd), *more],
            pass_fds=[write_fd], env=self.env, stderr=subprocess.PIPE, text=True)
        os.close(write_fd)
        return process, read_fd

    def finish(self, directory, started):
        """(exit status, line on the ready descriptor, standard error)."""
        process, read_fd = started
        _, complaint = process.communicate(timeout=60)
        with os.fdopen(read_fd) as ready:
            line = ready.read()
        if process.returncode == 0:
            self.pids.add(self.pid(directory))
        return process.returncode, line, complaint

    def start(self, directory, *more):
        return self.finish(directory, self.spawn(directory, *more))

    @staticmethod
    def pid(directory):
        return int(pathlib.Path(directory, "pmshelfd.lock").read_text().splitlines()[0])

    def end_all(self):
        for pid in self.pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def starter(tmp_path):
    (tmp_path / "run").mkdir(mode=0o700)
    made = Starter(tmp_path / "run")
    yield made
    made.end_all()


@pytest.fixture
def pool(tmp_path):
    (tmp_path / "pool").mkdir()
    return tmp_path / "pool"


def test_ready_line_names_the_socket_that_the_lock_file_names(starter, pool):
    status, line, _ = starter.start(pool)
    assert status == 0
    word, path = line.strip().split(" ", 1)
    assert word == "READY"
    assert pathlib.Path(pool, "pmshelfd.lock").read_text().splitlines()[1] == path
    folder = pathlib.Path(path).parent
    facts = os.stat(pool)
    assert folder.name == f"p-{facts.st_dev:x}-{facts.st_ino:x}"
    assert (folder / "control.sock").exists()
    session = local_session(folder)
    session.create_shelf("s", 4 << 20)
    handle = session.open_shelf("s")
    with DataConnection(path, session) as data:
        data.put(handle, b"k", b"v")
        assert data.get(handle, b"k") == b"v"


def test_runs_in_the_background_without_terminal_or_ports(starter, pool):
    starter.start(pool)
    pid = starter.pid(pool)
    assert os.getsid(pid) == pid
    for number in (0, 1, 2):
        assert os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/null"
    inodes = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except FileNotFoundError:
            pass
    listening = [line.split() for name in ("tcp", "tcp6")
                 for line in open(f"/proc/net/{name}").read().splitlines()[1:]]
    assert not [row for row in listening if f"socket:[{row[9]}]" in inodes]


def test_second_start_ends_with_75_and_names_the_first(starter, pool):
    starter.start(pool)
    pid = starter.pid(pool)
    status, line, complaint = starter.start(pool)
    assert status == 75
    assert line.startswith("ERROR ") and str(pid) in line and "data.sock" in line
    assert str(pid) in complaint
    assert starter.pid(pool) == pid and is_alive(pid)


def test_twenty_starts_at_once_leave_one_daemon(starter, pool):
    started = [starter.spawn(pool) for _ in range(20)]
    outcomes = [starter.finish(pool, one) for one in started]
    statuses = sorted(status for status, _, _ in outcomes)
    assert statuses == [0] + [75] * 19, outcomes
    lines = [line for _, line, _ in outcomes]
    assert sum(line.startswith("READY ") for line in lines) == 1
    assert all(line.endswith("\n") for line in lines)
    folder = pathlib.Path(pool, "pmshelfd.lock").read_text().splitlines()[1]
    assert local_session(pathlib.Path(folder).parent).principal


def test_ends_by_itself_after_the_last_session(starter, pool):
    _, line, _ = starter.start(pool, "--idle-exit", "1s")
    folder = pathlib.Path(line.split(" ", 1)[1].strip()).parent
    pid = starter.pid(pool)
    session = local_session(folder)
    time.sleep(3)
    assert is_alive(pid)  # a session keeps it
    session.close()
    wait_until(lambda: not is_alive(pid), 15, "the private daemon to end")
    assert not (folder / "data.sock").exists()
    assert starter.start(pool)[0] == 0  # and it can be started again


def test_ends_by_itself_after_a_session_shorter_than_a_look(starter, pool):
    _, line, _ = starter.start(pool, "--idle-exit", "1s")
    path = line.split(" ", 1)[1].strip()
    pid = starter.pid(pool)
    session = local_session(pathlib.Path(path).parent)
    session.create_shelf("s", 4 << 20)
    with DataConnection(path, session):
        pass
    session.close()
    wait_until(lambda: not is_alive(pid), 15, "the private daemon to end")


def test_killed_daemon_leaves_nothing_in_the_way(starter, pool):
    _, line, _ = starter.start(pool)
    folder = pathlib.Path(line.split(" ", 1)[1].strip()).parent
    session = local_session(folder)
    session.create_shelf("s", 4 << 20)
    handle = session.open_shelf("s")
    with DataConnection(f"{folder}/data.sock", session) as data:
        data.put(handle, b"k", b"v")
        os.kill(starter.pid(pool), signal.SIGKILL)
    wait_until(lambda: not is_alive(starter.pid(pool)))
    assert starter.start(pool)[0] == 0
    session = local_session(folder)
    with DataConnection(f"{folder}/data.sock", session) as data:
        assert data.get(session.open_shelf("s"), b"k") == b"v"


def test_directory_that_cannot_serve_is_named(starter, tmp_path):
    status, line, complaint = starter.start(tmp_path / "none")
    assert status == 2
    assert line.startswith("ERROR ") and str(tmp_path / "none") in line
    assert str(tmp_path / "none") in complaint
    (tmp_path / "plain").write_text("x")
    assert starter.start(tmp_path / "plain")[0] == 2


def test_directory_of_another_daemon_is_left_to_it(starter, pool, daemon):
    first = daemon(f"[[pool]]\npath = '{pool}'\n")
    status, line, _ = starter.start(pool)
    assert status == 75
    assert str(first.process.pid) in line and str(first.run / "data.sock") in line


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_strangers_get_no_token(starter, pool):
    _, line, _ = starter.start(pool)
    path = line.split(" ", 1)[1].strip()
    for part in (path, *map(str, list(pathlib.Path(path).parents)[:-1])):
        if os.stat(part).st_mode & 0o001 == 0:
            os.chmod(part, 0o777)  # only SO_PEERCRED is left to stop them
    script = ("import os, sys; os.setgid(4321); os.setuid(4321); from wire import *\n"
              "with DataConnection(sys.argv[1]) as c:\n"
              "    try: c.peer_token()\n"
              "    except Refused as r: print(r.code)\n")
    done = subprocess.run(["/usr/bin/python3", "-c", script, path], capture_output=True, text=True,
                          cwd=pathlib.Path(__file__).parent, timeout=30, check=False)
    assert done.stdout.strip() == "permission_denied", done.stderr


def test_log_lies_beside_the_sockets(starter, pool):
    _, line, _ = starter.start(pool)
    log = pathlib.Path(line.split(" ", 1)[1].strip()).parent / "pmshelfd.log"
    assert " ready: " in log.read_text()



"""Real daemons on temporary folders and free ports, ended by pid whatever a test does."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

PMSHELFD = os.environ["PMSHELF_TEST_DAEMON"]
START_TIMEOUT_S = 60
END_TIMEOUT_S = 60


def wait_until(condition, timeout_s=30, what="condition"):
    """The first true value of `condition`, which is asked every 10 ms."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"timed out waiting for {what}"
        time.sleep(0.01)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


class Daemon:
    """One pmshelfd of a folder: FOLDER/run, FOLDER/state, FOLDER/log, FOLDER/pmshelfd.toml."""

    def __init__(self, folder, sections="", arguments=(), env=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run = self.folder / "run"
        self.log_file = self.folder / "log"
        self.config = self.folder / "pmshelfd.toml"
        self.sections = sections
        self.arguments = list(arguments)
        self.env = env
        self.process = None
        self.write_config(sections)

    def write_config(self, sections=""):
        text = sections
        for section, lines in {
                "daemon": f'state_dir = "{self.folder}/state"\nruntime_dir = "{self.run}"\n',
                "control": 'listen = ["127.0.0.1:0"]\n',
                "data": 'listen = ["127.0.0.1:0"]\n'}.items():
            head = f"[{section}]\n"
            text = text.replace(head, head + lines) if head in text else text + head + lines
        self.config.write_text(text)

    def command(self):
        return [PMSHELFD, "--config", str(self.config), *self.arguments]

    def spawn(self):
        log = open(self.log_file, "ab")
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.env)
        log.close()
        return self

    def start(self):
        before = self.log().count(" ready: ")
        self.spawn()

        def ready():
            assert self.process.poll() is None, self.log()
            return self.log().count(" ready: ") > before

        wait_until(ready, START_TIMEOUT_S, "the daemon to be ready")
        return self

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def ports(self):
        """(control, data) of the last start."""
        line = re.findall(r"ready: control .*", self.log())[-1]
        control, data = line.split(", data ")
        return (int(re.search(r"127\.0\.0\.1:(\d+)", control)[1]),
                int(re.search(r"127\.0\.0\.1:(\d+)", data)[1]))

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout_s=END_TIMEOUT_S):
        return self.process.wait(timeout_s)

    def stop(self):
        """SIGTERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(END_TIMEOUT_S)


@pytest.fixture
def daemon(tmp_path):
    """Makes daemons: daemon(sections="", folder=..., arguments=...) starts one."""
    made = []

    def make(sections="", folder="d", start=True, **more):
        one = Daemon(tmp_path / folder, sections, **more)
        made.append(one)
        return one.start() if start else one

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def pmshelfd():
    """Runs pmshelfd to its end: pmshelfd("--version") -> CompletedProcess with text."""

    def run(*arguments, timeout=30, **more):
        return subprocess.run([PMSHELFD, *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout, check=False, **more)

    return run

#!/usr/bin/python3
"""Shows the promise: kills trainer and daemon with SIGKILL in mid-training, twice over.

First over TCP with a daemon of our own, then on the same host by mapping with no daemon configured.
Each time the model that comes back must be the last acknowledged one (or the one in flight, when
its acknowledgement was on the way), bit for bit what an uninterrupted run has at that step.
"""

import argparse
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.dirname(__file__))
import train_digits  # noqa: E402

import pmshelf  # noqa: E402

TRAINER = pathlib.Path(__file__).with_name("train_digits.py")
STEPS = 2000


def say(text):
    print(f"==> {text}", flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    """A pmshelfd on a directory pool, on loopback ports and a socket of its own."""

    def __init__(self, programs, folder):
        self.programs, self.folder = programs, folder
        self.control, self.data = free_port(), free_port()
        self.socket = folder / "run" / "data.sock"
        (folder / "pool").mkdir()
        (folder / "run").mkdir(mode=0o700)
        self.config = folder / "pmshelfd.toml"
        self.config.write_text(
            f"""
[daemon]
state_dir = "{folder}/state"
runtime_dir = "{folder}/run"
[control]
listen = ["127.0.0.1:{self.control}"]
[data]
listen = ["127.0.0.1:{self.data}"]
[[pool]]
name = "default"
path = "{folder}/pool"
"""
        )
        self.process = None

    def start(self):
        log = open(self.folder / "pmshelfd.log", "ab")
        self.process = subprocess.Popen(
            [self.programs / "pmshelfd", "--config", self.config], stdout=log, stderr=log
        )
        deadline = time.monotonic() + 20
        while subprocess.run([*self.cli(), "ping"], capture_output=True).returncode != 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit((self.folder / "pmshelfd.log").read_text())
            time.sleep(0.1)

    def cli(self):
        return [self.programs / "pmshelf", "--target", f"unix:{self.socket}"]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def run_trainer(arguments, kill_after_step=None):
    """Runs the trainer; returns (first step, last acknowledged step, output's last line)."""
    process = subprocess.Popen(
        [sys.executable, TRAINER, "--steps", str(STEPS), *arguments],
        stdout=subprocess.PIPE, text=True,
    )
    first, acknowledged, line = 0, 0, ""
    for line in process.stdout:
        words = line.split()
        if words[0] == "starting":
            first = acknowledged = int(words[-1])
        elif words[0] == "acknowledged":
            acknowledged = int(words[1])
            if acknowledged == kill_after_step:
                return first, acknowledged, process
    if process.wait() != 0:
        sys.exit(f"the trainer failed with code {process.returncode}")
    return first, acknowledged, line.strip()


def kill_trainer(process, acknowledged):
    """SIGKILL, then the acknowledgements that were already on their way to us."""
    process.send_signal(signal.SIGKILL)
    for line in process.stdout:
        if line.startswith("acknowledged") and line.endswith("\n"):
            acknowledged = int(line.split()[1])
    process.wait()
    return acknowledged


def check(stored, acknowledged):
    """The stored model is the last acknowledged step or the one in flight, and exactly that."""
    step = int(stored["step"])
    if not acknowledged <= step <= acknowledged + 1:
        sys.exit(f"LOST: step {acknowledged} was acknowledged, step {step} is on the shelf")
    pixels, labels = train_digits.digits()
    model = np.zeros((), train_digits.MODEL)
    while model["step"] < step:
        train_digits.train_step(model, pixels, labels)
    if model["weights"].tobytes() != stored["weights"].tobytes():
        sys.exit(f"DAMAGED: the weights of step {step} are not those of an uninterrupted run")
    note = "" if step == acknowledged else " (acknowledged, but the trainer died before saying so)"
    say(f"last acknowledged step {acknowledged}, on the shelf step {step}{note}: bit for bit right")


def remote(programs, folder):
    say("1. A daemon on a directory pool; the trainer connects over TCP")
    daemon = Daemon(programs, folder)
    daemon.start()
    token_file = folder / "token"
    token = subprocess.run([*daemon.cli(), "token", "create", "trainer"],
                           capture_output=True, text=True, check=True).stdout.strip()
    token_file.touch(mode=0o600)
    token_file.write_text(token)
    target = f"127.0.0.1:{daemon.control}"
    arguments = ["--target", target, "--token-file", str(token_file), "--path", "tcp"]
    _, acknowledged, trainer = run_trainer(arguments, kill_after_step=700)
    say("kill -9 of the trainer and of the daemon, in mid-training")
    daemon.kill()
    acknowledged = kill_trainer(trainer, acknowledged)
    daemon.start()
    with pmshelf.connect(target, token_file=str(token_file), path="tcp") as client:
        check(np.array(client.shelf("digits").model), acknowledged)
    first, _, last_line = run_trainer(arguments)
    say(f"training went on from step {first}: {last_line}")
    for command in (["shelf", "ls"], ["region", "ls", "digits"]):
        say("pmshelf " + " ".join(command))
        subprocess.run([*daemon.cli(), *command], check=True)
    daemon.stop()


def same_host(folder):
    say("2. The same on this host by mapping, with no daemon configured")
    pool = folder / "private"
    pool.mkdir()
    arguments = ["--dir", str(pool)]
    _, acknowledged, trainer = run_trainer(arguments, kill_after_step=700)
    say("kill -9 of the trainer and of the private daemon, in mid-training")
    os.kill(int((pool / "pmshelfd.lock").read_text().split()[0]), signal.SIGKILL)
    acknowledged = kill_trainer(trainer, acknowledged)
    with pmshelf.shelf("digits", pmem_path=pool, read_only=True) as shelf:
        say(f"path in use: {shelf.model.path}, storage class: {shelf.storage_class}")
        check(np.array(shelf.model), acknowledged)
    first, _, last_line = run_trainer(arguments)
    say(f"training went on from step {first}: {last_line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True,
                        help="folder of pmshelfd and pmshelf")
    options = parser.parse_args()
    os.environ["PMSHELFD"] = str(options.programs.resolve() / "pmshelfd")
    with tempfile.TemporaryDirectory(prefix="pmshelf-") as name:
        folder = pathlib.Path(name)
        (folder / "remote").mkdir()
        remote(options.programs.resolve(), folder / "remote")
        same_host(folder)
    say("nothing acknowledged was lost")


if __name__ == "__main__":
    main()

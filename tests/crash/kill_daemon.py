#!/usr/bin/python3
"""Kills the real daemon on mirror media, again and again, and looks for acknowledged bytes.

On mirror media only what was flushed and drained reaches the file, so that SIGKILL loses what a power cut
would lose. Two clients change shelves of their own over TCP and the same-host ring until the daemon dies under
them; after its restart every acknowledged change must be there, and the one in flight wholly or not at all.

    kill_daemon.py --kills N [--seed S] [--mutant NAME]     # with a seeded bug, a loss must be found
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import conftest as system  # noqa: E402

from pmshelf import _core, errors  # noqa: E402

SLOT_BYTES = 256
SLOTS = 64
LOST = (errors.UnavailableError, errors.UnknownOutcomeError, errors.DeadlineExceededError,
        errors.SessionExpiredError, errors.StaleGrantError)
ABSENT = None


def connect(target, token, path):
    return _core.connect(target=target, token=token, token_file="", ca_file="", cert_file="",
                         key_file="", path=path, timeout=20.0, reconnect_timeout=0.05,
                         client_name="kill_daemon", daemon_path="")


def content(tag, length):
    """Bytes that belong to this version of this name alone."""
    return random.Random(tag).randbytes(length)


class Client:
    """One client's shelf, what it was told is there, and the change that was not answered."""

    def __init__(self, name, path, seed):
        self.shelf_name, self.path = name, path
        self.random = random.Random(seed)
        self.values = {}                              # name -> bytes, acknowledged
        self.slots = [bytes(SLOT_BYTES)] * SLOTS      # of region "slots", written in place
        self.in_flight = {}                           # name -> bytes or ABSENT
        self.slot_in_flight = None                    # (index, bytes)
        self.acknowledged = 0
        self.made = False

    def work(self, target, token):
        """Changes until the daemon is gone."""
        try:
            client = connect(target, token, self.path)
            if not self.made:
                try:
                    client.create_shelf(self.shelf_name, 32 << 20, "", "copy")
                except errors.AlreadyExistsError:
                    pass
            shelf = client.open_shelf(self.shelf_name)
            if not self.made:
                try:
                    shelf.create_region("slots", SLOTS * SLOT_BYTES)
                except errors.AlreadyExistsError:
                    pass
                self.made = True
            region = shelf.open_region("slots")
            while True:
                self.change(shelf, region)
        except LOST:
            return

    def change(self, shelf, region):
        kind = self.random.random()
        tag = f"{self.shelf_name}:{self.acknowledged}:{self.random.random()}"
        if kind < 0.4:
            index = self.random.randrange(SLOTS)
            self.slot_in_flight = (index, content(tag, SLOT_BYTES))
            region.write(index * SLOT_BYTES, self.slot_in_flight[1])
            self.slots[index] = self.slot_in_flight[1]
            self.slot_in_flight = None
        else:
            self.change_names(shelf, kind, tag)
        self.acknowledged += 1

    def change_names(self, shelf, kind, tag):
        name = f"n{self.random.randrange(12)}"
        length = self.random.choice([0, 1, 64, 300, 4096, 9000, 40000])
        if kind < 0.7:
            self.in_flight = {name: content(tag, length)}
            shelf.put(name, self.in_flight[name])
        elif kind < 0.8 and name in self.values:
            self.in_flight = {name: ABSENT}
            shelf.erase_region(name)
        elif kind < 0.9 and name in self.values:
            new_name = f"n{self.random.randrange(12)}"
            if new_name == name:
                return
            self.in_flight = {name: ABSENT, new_name: self.values[name]}
            shelf.rename_region(name, new_name, True)
        else:
            names = [f"n{self.random.randrange(12)}" for _ in range(2)]
            self.in_flight = {one: content(tag + one, length) for one in names}
            items = []
            for one, value in self.in_flight.items():
                staged = shelf.stage(len(value))
                staged.write(0, value)
                items.append((staged, one, {}))
            shelf.commit(items)
        for one, value in self.in_flight.items():
            if value is ABSENT:
                self.values.pop(one, None)
            else:
                self.values[one] = value
        self.in_flight = {}

    def verify(self, target, token):
        """What is wrong after the restart, or None; the state found becomes the acknowledged one."""
        if not self.made:
            return None
        shelf = connect(target, token, self.path).open_shelf(self.shelf_name)
        page, more = shelf.list(limit=1000)
        assert not more
        found = {stat["name"]: shelf.get(stat["name"])[0] for stat in page}
        slots = found.pop("slots", None)
        if slots is None:
            return "region 'slots' is missing"
        before = dict(self.values)
        after = {**before, **{n: v for n, v in self.in_flight.items() if v is not ABSENT}}
        for name, value in self.in_flight.items():
            if value is ABSENT:
                after.pop(name, None)
        if found != before and found != after:
            wrong = [n for n in sorted({*found, *before}) if found.get(n) != before.get(n)]
            return f"{wrong} are neither as acknowledged nor as the change in flight makes them"
        for index in range(SLOTS):
            there = slots[index * SLOT_BYTES:(index + 1) * SLOT_BYTES]
            problem = self.slot_problem(index, there)
            if problem:
                return problem
            self.slots[index] = there
        self.values, self.in_flight, self.slot_in_flight = found, {}, None
        return None

    def slot_problem(self, index, there):
        if there == self.slots[index]:
            return None
        if self.slot_in_flight is None or self.slot_in_flight[0] != index:
            return f"slot {index} is not what was acknowledged"
        for word in range(0, SLOT_BYTES, 8):
            if there[word:word + 8] not in (self.slots[index][word:word + 8],
                                            self.slot_in_flight[1][word:word + 8]):
                return f"word {word} of slot {index} is neither old nor new"
        return None


def one_kill(daemon, token, clients, chooser):
    target = f"127.0.0.1:{daemon.ports()[0]}"
    local = f"unix:{daemon.run}/data.sock"
    targets = {"tcp": target, "local": local}
    threads = [threading.Thread(target=c.work, args=(targets[c.path], token if c.path == "tcp" else ""))
               for c in clients]
    for thread in threads:
        thread.start()
    time.sleep(chooser.uniform(0.05, 0.4))
    daemon.kill()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            return "a client hangs after the daemon's death"
    daemon.arguments[1] = str(chooser.randrange(1 << 30))
    daemon.start()
    target = f"127.0.0.1:{daemon.ports()[0]}"
    for client in clients:
        where = target if client.path == "tcp" else local
        problem = client.verify(where, token if client.path == "tcp" else "")
        if problem:
            return f"{client.path}: {problem}"
    return None


def run(options, folder):
    arguments = ["--mirror", str(options.seed)]
    if options.mutant:
        arguments += ["--mutant", options.mutant]
    (folder / "pool").mkdir()
    daemon = system.Daemon(folder / "d", arguments=arguments, sections=
                           f'[[pool]]\nname = "default"\npath = "{folder}/pool"\n').start()
    chooser = random.Random(options.seed)
    clients = [Client("over-tcp", "tcp", options.seed), Client("same-host", "local", options.seed + 1)]
    kills, problem = 0, None
    try:
        token = subprocess.run([os.environ["PMSHELF_TEST_TOOL"], "--target", f"unix:{daemon.run}/data.sock",
                                "token", "create", "kills"], capture_output=True, text=True,
                               check=True).stdout.strip()
        while kills < options.kills and problem is None:
            problem = one_kill(daemon, token, clients, chooser)
            kills += 1
    finally:
        daemon.kill()
    acknowledged = sum(client.acknowledged for client in clients)
    print(f"{kills} kills, {acknowledged} acknowledged changes, seed {options.seed}: "
          f"{problem or 'nothing acknowledged was lost'}")
    return problem


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--mutant", default="", help="a seeded bug; the run passes when it finds a loss")
    parser.add_argument("--dir", default="/dev/shm", help="where the pool is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pmshelf-kill-", dir=options.dir) as name:
        problem = run(options, pathlib.Path(name))
    good = (problem is not None) if options.mutant else (problem is None)
    print(f"{int(good)} passed, {int(not good)} failed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

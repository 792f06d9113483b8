"""Runs the pmshelf tool as people do: by its command line, on pipes and on a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import time


class Tool:
    """`program` with an environment that finds one daemon. Every call has a deadline."""

    def __init__(self, program, env):
        self.program = str(program)
        self.env = dict(env)

    def run(self, *args, stdin=b"", timeout=60, env=None, cwd=None):
        words = [self.program, *map(str, args)]
        options = {"stdin": stdin} if hasattr(stdin, "fileno") else {"input": stdin}
        return subprocess.run(words, capture_output=True, timeout=timeout, cwd=cwd,
                              env={**self.env, **(env or {})}, **options)

    def ok(self, *args, **options):
        """Standard output of a command that must do well and be silent on standard error."""
        done = self.run(*args, **options)
        assert done.returncode == 0, (args, done.returncode, done.stdout, done.stderr)
        return done.stdout.decode()

    def json(self, *args, **options):
        return json.loads(self.ok("--json", *args, **options))

    def fails(self, code, *args, **options):
        """Standard error of a command that must end with `code`, say why, and print nothing else."""
        done = self.run(*args, **options)
        assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
        assert done.stderr.startswith(b"pmshelf: "), done.stderr
        assert done.stdout == b"", done.stdout
        return done.stderr.decode()

    def start(self, *args, **options):
        return subprocess.Popen([self.program, *map(str, args)], env=self.env, **options)

    def on_terminal(self, *args, answer=b"", timeout=30, keys=(), stdin=None):
        """Runs with a terminal; returns (exit code, everything it wrote on the terminal).

        `answer` is typed when "[y/N]" shows; `keys` are (text to wait for, what to type).
        `stdin` replaces the terminal as standard input.
        """
        pid, master = pty.fork()
        if pid == 0:
            if stdin is not None:
                os.dup2(stdin, 0)
            os.execve(self.program, [self.program, *map(str, args)], self.env)
        if stdin is not None:
            os.close(stdin)
        waits = list(keys) + ([(b"[y/N]", answer)] if answer else [])
        seen, searched = b"", 0
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
            if waits and waits[0][0] in seen[searched:]:
                searched = len(seen)
                os.write(master, waits.pop(0)[1])
        else:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"{args}: still running after {timeout} s: {seen!r}")
        status = os.waitpid(pid, 0)[1]
        os.close(master)
        return os.waitstatus_to_exitcode(status), seen.decode(errors="replace")

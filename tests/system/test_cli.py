"""The pmshelf tool against a real daemon: every command, its documents, its exit codes."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

from cli_tool import Tool
from conftest import Daemon, wait_until

MIB = 1 << 20
SOURCE = pathlib.Path(__file__).parents[2]

SHELF_KEYS = ["name", "pool", "owner", "access", "same_host", "storage_class", "space",
              "created_unix_ms", "read_only", "offline", "trouble", "my_rights"]
REGION_KEYS = ["name", "id", "bytes", "footprint_bytes", "modified_unix_ms", "attributes",
               "attributes_base64", "grants", "locks"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One daemon for all tests here that do not stop it; they use shelves of their own."""
    one = Daemon(tmp_path_factory.mktemp("cli") / "d").start()
    yield one
    one.kill()


def tool_for(one, home):
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8",
           "PMSHELF_TARGET": f"unix:{one.run}/data.sock", "XDG_RUNTIME_DIR": str(home)}
    env.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})
    return Tool(os.environ["PMSHELF_TEST_TOOL"], env)


@pytest.fixture
def cli(served, tmp_path_factory):
    return tool_for(served, tmp_path_factory.mktemp("home"))


@pytest.fixture
def tcp_target(served):
    return f"127.0.0.1:{served.ports()[0]}"


@pytest.fixture
def shelf(cli, request):
    """An empty shelf of 128 MiB of the test's own."""
    name = "t-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:60]
    cli.ok("shelf", "create", name, "128MiB")
    yield name
    cli.run("--yes", "shelf", "erase", name)


def put(cli, path, value=b"value", *args):
    cli.ok("region", "put", path, "-", *args, stdin=value)


def get(cli, path):
    done = cli.run("region", "get", path, "-")
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- the daemon


def test_status_says_who_and_where(cli):
    text = cli.ok("status")
    assert "pmshelfd 0." in text and "unix:" in text and "data path" in text
    assert "POOL" in text  # the user of the test runs the daemon and administers it
    document = cli.json("status")
    assert list(document) == ["version", "principal", "administrator", "draining", "boot_epoch",
                              "uptime_ms", "recovery_us", "sessions", "grants", "shelves",
                              "counters", "path", "pools"]
    assert document["administrator"] is True
    assert document["sessions"] >= 1
    assert document["pools"][0]["kind"] in ("directory", "device")


def test_ping_on_each_path(cli):
    for path in ("local", "tcp"):
        document = cli.json("--path", path, "ping", "--count", 20)
        assert list(document) == ["path", "count", "min_us", "avg_us", "max_us"]
        assert document["path"] == path
        assert 0 < document["min_us"] <= document["avg_us"] <= document["max_us"]
    assert re.match(r"5 round trips over local: min [\d.]+ us, avg [\d.]+ us, max [\d.]+ us\n$",
                    cli.ok("ping"))


def test_top_once_shows_rates(cli):
    assert "COUNTER" in cli.ok("top", "--once", "--interval", "200ms")
    document = cli.json("top", "--interval", "200ms")
    assert document["interval_ms"] >= 200
    assert document["counters"]
    for counter in document["counters"].values():
        assert set(counter) == {"total", "per_second"}


def test_top_ends_quietly_when_its_reader_goes(cli):
    with cli.start("top", "--interval", "100ms", stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE) as top:
        assert top.stdout.readline()
        top.stdout.close()
        assert top.wait(timeout=10) == -signal.SIGPIPE
        assert top.stderr.read() == b""


def test_version_asks_no_daemon(cli):
    env = {"PMSHELF_TARGET": "unix:/nonexistent/data.sock"}
    assert re.match(r"pmshelf \d+\.\d+\.\d+\n$", cli.ok("version", env=env))
    assert cli.ok("--version", env=env) == cli.ok("version", env=env)
    assert list(cli.json("version", env=env)) == ["version"]


# ---- shelves


def test_shelf_life(cli):
    assert "created: 64 MiB" in cli.ok("shelf", "create", "life", "64MiB")
    document = cli.json("shelf", "stat", "life")
    assert list(document) == SHELF_KEYS
    assert document["space"]["capacity_bytes"] == 64 * MIB
    assert document["my_rights"] == "rwa"
    assert "exist" in cli.fails(6, "shelf", "create", "life", "1MiB")
    assert "128 MiB" in cli.ok("shelf", "grow", "life", "128MiB")
    assert "128 MiB" in cli.fails(2, "shelf", "grow", "life", "64MiB")
    assert cli.json("--yes", "shelf", "shrink", "life", "32MiB")["space"]["capacity_bytes"] == 32 * MIB
    assert "shelf grow" in cli.fails(2, "--yes", "shelf", "shrink", "life", "64MiB")
    assert cli.json("shelf", "rename", "life", "lifetime") == {"from": "life", "to": "lifetime"}
    assert "pmshelf: hint: " in cli.fails(4, "shelf", "stat", "life")
    assert cli.json("--yes", "shelf", "erase", "lifetime") == {"erased": ["lifetime"]}
    cli.fails(4, "shelf", "stat", "lifetime")


def test_shelf_ls_filters_and_forms(cli, shelf):
    table = cli.ok("shelf", "ls", shelf).splitlines()
    assert table[0].split()[0] == "SHELF" and table[1].split()[0] == shelf
    assert len(table) == 2
    assert cli.ok("shelf", "ls", shelf[:-1] + "?", "--quiet") == shelf + "\n"
    document = cli.json("shelf", "ls", shelf)
    assert list(document) == ["shelves"]
    assert [list(item) for item in document["shelves"]] == [SHELF_KEYS]
    assert cli.json("shelf", "ls", "no-such-*") == {"shelves": []}


def test_shelf_grants_at_creation(cli):
    cli.ok("shelf", "create", "granted", "2MiB", "--grant", "unix:*=r", "--same-host", "copy")
    document = cli.json("shelf", "stat", "granted")
    assert document["access"] == [{"principal": "unix:*", "rights": "r--"}]
    assert document["same_host"] == "copy"
    cli.ok("--yes", "shelf", "erase", "granted")


def test_shelf_acl_changes_what_is_asked_and_no_more(cli, shelf):
    document = cli.json("shelf", "acl", shelf, "--grant", "unix:a=rw", "--grant", "token:*=r")
    assert document["access"] == [{"principal": "unix:a", "rights": "rw-"},
                                  {"principal": "token:*", "rights": "r--"}]
    document = cli.json("shelf", "acl", shelf, "--grant", "unix:a=r", "--revoke", "token:*",
                        "--same-host", "off")
    assert document["access"] == [{"principal": "unix:a", "rights": "r--"}]
    assert document["same_host"] == "off"
    assert "r-- unix:a" in cli.ok("shelf", "acl", shelf)
    cli.fails(4, "shelf", "acl", shelf, "--revoke", "unix:nobody")
    assert cli.json("shelf", "acl", shelf)["access"] == document["access"]
    assert cli.json("shelf", "acl", shelf, "--owner", "unix:b")["owner"] == "unix:b"


def test_shelf_erase_only_if_empty(cli, shelf):
    put(cli, f"{shelf}/w")
    cli.fails(6, "--yes", "shelf", "erase", shelf, "--only-if-empty")
    cli.ok("--yes", "region", "erase", f"{shelf}/w")
    cli.ok("--yes", "shelf", "erase", shelf, "--only-if-empty")


# ---- regions


@pytest.mark.parametrize("size", [0, 1, 4096, 8 * MIB, 8 * MIB + 1, 20 * MIB + 17])
def test_put_and_get_any_size_from_files_and_pipes(cli, shelf, tmp_path, size):
    value = os.urandom(size)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(value)
    cli.ok("region", "put", f"{shelf}/file", source)
    put(cli, f"{shelf}/pipe", value)
    put(cli, f"{shelf}/told", value, "--bytes", size)
    for name in ("file", "pipe", "told"):
        cli.ok("region", "get", f"{shelf}/{name}", target)
        assert target.read_bytes() == value
        assert get(cli, f"{shelf}/{name}") == value
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_put_replaces_value_and_attributes(cli, shelf):
    put(cli, f"{shelf}/w", b"one", "--attribute", "a=1", "--attribute", "b=x=y")
    assert cli.json("region", "stat", f"{shelf}/w")["attributes"] == {"a": "1", "b": "x=y"}
    put(cli, f"{shelf}/w", b"two", "-a", "c=3")
    assert cli.json("region", "stat", f"{shelf}/w")["attributes"] == {"c": "3"}
    assert get(cli, f"{shelf}/w") == b"two"


def test_put_new_refuses_to_replace(cli, shelf):
    put(cli, f"{shelf}/w", b"one", "--new")
    cli.fails(6, "region", "put", f"{shelf}/w", "-", "--new", stdin=b"two")
    cli.fails(6, "region", "put", f"{shelf}/w", "-", "--new", stdin=b"2" * (9 * MIB))
    assert get(cli, f"{shelf}/w") == b"one"


@pytest.mark.parametrize("size,told", [(10, 11), (10, 9), (1, 0), (9 * MIB, 9 * MIB + 1),
                                       (9 * MIB, 9 * MIB - 1)])
def test_put_of_another_length_than_told_stores_nothing(cli, shelf, size, told):
    before = cli.json("shelf", "stat", shelf)["space"]["used_bytes"]
    cli.fails(1, "region", "put", f"{shelf}/w", "-", "--bytes", told, stdin=b"x" * size)
    cli.fails(4, "region", "stat", f"{shelf}/w")
    assert cli.json("shelf", "stat", shelf)["space"]["used_bytes"] == before


def test_put_more_than_fits_is_no_space(cli, shelf):
    assert "hint" in cli.fails(7, "region", "put", f"{shelf}/w", "-", stdin=bytes(129 * MIB))
    cli.fails(4, "region", "stat", f"{shelf}/w")


def test_put_of_bad_files(cli, shelf, tmp_path):
    assert "gone" in cli.fails(1, "region", "put", f"{shelf}/w", tmp_path / "gone")
    assert "directory" in cli.fails(1, "region", "put", f"{shelf}/w", tmp_path)
    cli.fails(2, "region", "put", f"{shelf}/w", "-", "--attribute", "novalue")
    cli.fails(4, "region", "put", "no-such-shelf/w", "-")


def test_region_stat(cli, shelf):
    put(cli, f"{shelf}/a/b/c", b"12345", "--attribute", "dtype=<f8")
    document = cli.json("region", "stat", f"{shelf}/a/b/c")
    assert list(document) == ["shelf", *REGION_KEYS]
    assert document["name"] == "a/b/c" and document["bytes"] == 5
    assert abs(document["modified_unix_ms"] / 1000 - time.time()) < 600
    text = cli.ok("region", "stat", f"{shelf}/a/b/c")
    assert "size:       5 B" in text and "attribute dtype = <f8" in text


def test_region_ls_prefix_limit_after(cli, shelf):
    for name in ("a1", "a2", "a3", "b"):
        put(cli, f"{shelf}/{name}", b"x", "--attribute", f"k={name}")
    assert cli.ok("region", "ls", shelf, "--quiet").split() == ["a1", "a2", "a3", "b"]
    assert cli.ok("region", "ls", f"{shelf}/a", "--quiet").split() == ["a1", "a2", "a3"]
    document = cli.json("region", "ls", f"{shelf}/a", "--limit", 2)
    assert list(document) == ["shelf", "regions", "more"]
    assert [list(region) for region in document["regions"]] == [REGION_KEYS] * 2
    assert document["more"] is True
    assert document["regions"][1]["attributes"] == {"k": "a2"}
    document = cli.json("region", "ls", f"{shelf}/a", "--after", "a2")
    assert [region["name"] for region in document["regions"]] == ["a3"]
    assert document["more"] is False
    table = cli.ok("region", "ls", shelf).splitlines()
    assert table[0].split() == ["SIZE", "MODIFIED", "GRANTS", "LOCKS", "REGION"]
    assert len(table) == 5
    limited = cli.run("region", "ls", shelf, "--limit", 1)
    assert limited.returncode == 0 and b"there are more" in limited.stderr


def test_region_find_over_shelves(cli, shelf):
    put(cli, f"{shelf}/needle/1")
    put(cli, f"{shelf}/hay")
    pattern = f"{shelf[:-1]}?/need*"
    assert cli.ok("region", "find", pattern, "--quiet") == f"{shelf}/needle/1\n"
    assert f"{shelf}/needle/1\n" in cli.ok("region", "find", "*/*needle*")
    document = cli.json("region", "find", pattern)
    assert list(document) == ["pattern", "regions", "more"]
    assert document["regions"][0]["shelf"] == shelf
    assert document["regions"][0]["name"] == "needle/1"
    assert cli.json("region", "find", "no-such-*/x") == {
        "pattern": "no-such-*/x", "regions": [], "more": False}


def test_names_cannot_act_on_the_terminal(cli, shelf):
    name = "a\x1b[2J\nb\\c\u202e日本"
    put(cli, f"{shelf}/{name}")
    shown = "a\\x1b[2J\\x0ab\\\\c\\xe2\\x80\\xae日本"
    for command in (("region", "ls", shelf), ("region", "ls", shelf, "--quiet"),
                    ("region", "find", f"{shelf}/a*"), ("region", "stat", f"{shelf}/{name}")):
        text = cli.ok(*command)
        assert shown in text and "\x1b" not in text, command
    assert cli.json("region", "ls", shelf)["regions"][0]["name"] == name
    assert "\x1b" not in cli.fails(4, "region", "stat", f"{shelf}/gone\x1b[2J")
    cli.ok("--yes", "region", "erase", f"{shelf}/{name}")


def test_region_rename(cli, shelf):
    put(cli, f"{shelf}/a", b"a")
    put(cli, f"{shelf}/b", b"b")
    cli.fails(6, "region", "rename", f"{shelf}/a", f"{shelf}/b")
    cli.fails(2, "region", "rename", f"{shelf}/a", "other/b")
    document = cli.json("region", "rename", f"{shelf}/a", f"{shelf}/b", "--replace")
    assert document == {"from": f"{shelf}/a", "to": f"{shelf}/b"}
    assert get(cli, f"{shelf}/b") == b"a"
    cli.fails(4, "region", "rename", f"{shelf}/a", f"{shelf}/c")


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_region_cp(cli, shelf, size):
    value = os.urandom(size)
    put(cli, f"{shelf}/w", value, "--attribute", "k=v")
    cli.ok("shelf", "create", "cp-target", "32MiB")
    document = cli.json("region", "cp", f"{shelf}/w", "cp-target/w")
    assert list(document) == ["shelf", "region", "bytes", "seconds"]
    assert get(cli, "cp-target/w") == value
    assert cli.json("region", "stat", "cp-target/w")["attributes"] == {"k": "v"}
    cli.fails(6, "region", "cp", f"{shelf}/w", "cp-target/w", "--new")
    cli.fails(4, "region", "cp", f"{shelf}/gone", "cp-target/w")
    cli.ok("--yes", "shelf", "erase", "cp-target")


def test_region_cp_to_another_daemon(cli, shelf, tmp_path):
    value = os.urandom(9 * MIB)
    put(cli, f"{shelf}/w", value)
    there = tmp_path / "pool"
    there.mkdir()
    cli.ok("--dir", there, "shelf", "create", "far", "32MiB")
    cli.ok("region", "cp", f"{shelf}/w", "far/w", "--to-target", f"dir:{there}")
    done = cli.run("--dir", there, "region", "get", "far/w", "-")
    assert done.stdout == value


def test_region_erase_several(cli, shelf):
    for name in "abc":
        put(cli, f"{shelf}/{name}")
    document = cli.json("--yes", "region", "erase", f"{shelf}/a", f"{shelf}/b")
    assert document == {"erased": [f"{shelf}/a", f"{shelf}/b"]}
    assert cli.ok("region", "ls", shelf, "--quiet") == "c\n"
    cli.fails(4, "--yes", "region", "erase", f"{shelf}/a")


# ---- locks


def holder(cli, path, *options):
    """A process that holds the lock until its standard input ends."""
    process = cli.start("region", "lock", path, *options, "--", "sh", "-c",
                        "echo locked; cat >/dev/null", stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    return process


def let_go(process):
    process.stdin.close()
    process.stdout.close()
    return process.wait(timeout=10)


def test_lock_gives_the_commands_exit_code(cli, shelf):
    put(cli, f"{shelf}/w")
    assert cli.run("region", "lock", f"{shelf}/w", "--", "sh", "-c", "exit 7").returncode == 7
    assert cli.run("region", "lock", f"{shelf}/w", "--", "sh", "-c", "kill -9 $$").returncode == 137
    assert cli.run("region", "lock", f"{shelf}/w", "--", "/nonexistent").returncode == 127
    cli.fails(4, "region", "lock", f"{shelf}/gone", "--", "true")
    cli.fails(2, "region", "lock", f"{shelf}/w", "--")
    cli.fails(2, "--json", "region", "lock", f"{shelf}/w", "--", "true")


def test_lock_keeps_others_out_and_names_the_holder(cli, shelf):
    put(cli, f"{shelf}/w")
    process = holder(cli, f"{shelf}/w")
    try:
        assert "unix:" in cli.fails(6, "region", "lock", f"{shelf}/w", "--", "true")
        cli.fails(6, "region", "lock", f"{shelf}/w", "--shared", "--", "true")
        assert cli.json("region", "stat", f"{shelf}/w")["locks"] == 1
    finally:
        assert let_go(process) == 0
    cli.ok("region", "lock", f"{shelf}/w", "--", "true")


def test_lock_waits_for_as_long_as_told(cli, shelf):
    put(cli, f"{shelf}/w")
    process = holder(cli, f"{shelf}/w")
    start = time.monotonic()
    cli.fails(6, "region", "lock", f"{shelf}/w", "--wait", "1s", "--", "true")
    assert 0.9 < time.monotonic() - start < 5
    waiter = cli.start("region", "lock", f"{shelf}/w", "--wait", "20s", "--", "true")
    time.sleep(0.5)
    assert waiter.poll() is None
    let_go(process)
    assert waiter.wait(timeout=10) == 0


def test_locks_can_be_shared(cli, shelf):
    put(cli, f"{shelf}/w")
    process = holder(cli, f"{shelf}/w", "--shared")
    cli.ok("region", "lock", f"{shelf}/w", "--shared", "--", "true")
    cli.fails(6, "region", "lock", f"{shelf}/w", "--", "true")
    let_go(process)


def test_lock_lost_is_said(cli, shelf):
    put(cli, f"{shelf}/w")
    process = cli.start("region", "lock", f"{shelf}/w", "--", "sh", "-c",
                        "echo locked; cat >/dev/null", stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    sessions = cli.json("session", "ls")["sessions"]
    session = next(s for s in sessions if s["client_name"] == f"pmshelf[{process.pid}]")
    cli.ok("--yes", "session", "kick", session["id"])
    process.stdin.close()
    assert process.wait(timeout=30) == 1
    assert b"the lock was lost" in process.stderr.read()


# ---- administration


def test_pool_commands(cli, shelf):
    document = cli.json("pool", "ls")
    assert list(document) == ["pools"]
    pool = document["pools"][0]
    assert list(pool) == ["name", "path", "kind", "storage_class", "total_bytes",
                          "available_bytes", "shelf_count", "preallocate", "trouble"]
    assert cli.json("pool", "stat", pool["name"])["path"] == pool["path"]
    assert pool["path"] in cli.ok("pool", "stat", pool["name"])
    assert cli.ok("pool", "ls").split()[0] == "POOL"
    assert pool["name"] in cli.ok("pool", "ls", "--quiet").split()
    cli.fails(4, "pool", "stat", "no-such-pool")
    cli.fails(4, "pool", "check", "no-such-pool")


def test_pool_check_of_a_sound_pool(cli, shelf):
    put(cli, f"{shelf}/w")
    pool = cli.json("shelf", "stat", shelf)["pool"]
    assert f"{shelf}: ok, " in cli.ok("pool", "check", pool)
    assert cli.ok("--quiet", "pool", "check", pool) == ""
    document = cli.json("pool", "check", pool)
    assert list(document) == ["pool", "damaged", "shelves"]
    assert document["damaged"] is False
    found = next(item for item in document["shelves"] if item["shelf"] == shelf)
    assert list(found) == ["shelf", "problems", "bad_block_regions", "records_checked",
                           "regions_checked", "space"]
    assert found["regions_checked"] == 1


def test_session_ls_and_kick(cli, shelf):
    put(cli, f"{shelf}/w")
    process = holder(cli, f"{shelf}/w")
    document = cli.json("session", "ls")
    mine = next(s for s in document["sessions"] if s["locks"] == 1)
    assert list(mine) == ["id", "principal", "client_name", "peer", "paths", "idle_ms", "age_ms",
                          "grants", "locks"]
    assert re.fullmatch("[0-9a-f]{32}", mine["id"])
    assert mine["id"][:12] in cli.ok("session", "ls")
    assert mine["id"] in cli.ok("session", "ls", "--quiet").split()
    cli.fails(2, "--yes", "session", "kick", "xyz")
    cli.fails(4, "--yes", "session", "kick", "0" * 32)
    assert cli.json("--yes", "session", "kick", mine["id"][:12]) == {"kicked": [mine["id"]]}
    cli.ok("region", "lock", f"{shelf}/w", "--", "true")
    let_go(process)


def test_token_lets_in_exactly_as_told_until_revoked(cli, shelf, tcp_target, tmp_path):
    put(cli, f"{shelf}/w")
    cli.ok("shelf", "acl", shelf, "--grant", "token:robot=rw")
    document = cli.json("token", "create", "robot", "--shelves", shelf, "--rights", "r",
                        "--lifetime", "1h")
    assert list(document) == ["name", "principal", "shelves", "rights", "lifetime_ms", "token"]
    assert document["principal"] == "token:robot" and document["rights"] == "r--"
    token = tmp_path / "robot.token"
    token.write_text(document["token"] + "\n")
    token.chmod(0o600)
    as_robot = ("--target", tcp_target, "--token-file", token)
    assert cli.json(*as_robot, "status")["principal"] == "token:robot"
    assert cli.json(*as_robot, "status")["pools"] is None  # not for everybody
    assert "POOL" not in cli.ok(*as_robot, "status")
    cli.ok(*as_robot, "region", "get", f"{shelf}/w", "-")
    cli.fails(5, *as_robot, "region", "put", f"{shelf}/w", "-", stdin=b"x")
    cli.fails(5, *as_robot, "pool", "ls")
    seen = cli.json(*as_robot, "session", "ls")["sessions"]  # one's own
    assert {session["principal"] for session in seen} == {"token:robot"}
    listed = next(t for t in cli.json("token", "ls")["tokens"] if t["name"] == "robot")
    assert list(listed) == ["name", "principal", "shelves", "rights", "created_by",
                            "created_unix_ms", "expires_unix_ms"]
    assert listed["expires_unix_ms"] > time.time() * 1000
    assert "robot" in cli.ok("token", "ls") and document["token"] not in cli.ok("token", "ls")
    cli.fails(6, "token", "create", "robot")
    assert cli.json("--yes", "token", "revoke", "robot") == {"revoked": ["robot"]}
    assert "token" in cli.fails(5, *as_robot, "shelf", "ls")
    cli.fails(4, "--yes", "token", "revoke", "robot")


def test_token_goes_to_standard_output_alone(cli, tcp_target):
    done = cli.run("token", "create", "alone", "--self")
    assert done.returncode == 0
    assert re.fullmatch(rb"\S+\n", done.stdout)
    assert b"acts as unix:" in done.stderr
    env = {"PMSHELF_TOKEN": done.stdout.decode().strip(), "PMSHELF_TARGET": tcp_target}
    assert cli.json("status", env=env)["principal"].startswith("unix:")
    cli.ok("--yes", "token", "revoke", "alone")


def test_strangers_do_not_learn_what_there_is(cli, shelf, tcp_target):
    token = cli.json("token", "create", "stranger")["token"]
    env = {"PMSHELF_TOKEN": token, "PMSHELF_TARGET": tcp_target}
    assert cli.json("shelf", "ls", env=env) == {"shelves": []}
    there = cli.fails(4, "shelf", "stat", shelf, env=env)
    assert there.replace(shelf, "X") == cli.fails(4, "shelf", "stat", "gone", env=env).replace("gone", "X")
    cli.ok("--yes", "token", "revoke", "stranger")


def test_bad_tokens_are_denied_with_a_hint(cli, tcp_target, tmp_path):
    env = {"PMSHELF_TOKEN": "pms_wrong", "PMSHELF_TARGET": tcp_target}
    assert "--token-file" in cli.fails(5, "status", env=env)
    cli.fails(5, "--target", tcp_target, "status")  # none at all
    cli.fails(2, "--token-file", tmp_path / "gone", "--target", tcp_target, "status")


# ---- asking first


DESTRUCTIVE = [("shelf", "erase", "{shelf}"), ("shelf", "shrink", "{shelf}", "8MiB"),
               ("region", "erase", "{shelf}/w"), ("session", "kick", "00000000"),
               ("token", "revoke", "nobody")]


@pytest.mark.parametrize("words", DESTRUCTIVE, ids=lambda words: "-".join(words[:2]))
def test_destructive_commands_refuse_without_terminal_and_yes(cli, shelf, words):
    put(cli, f"{shelf}/w")
    words = [word.format(shelf=shelf) for word in words]
    assert "--yes" in cli.fails(2, *words)
    assert cli.json("shelf", "stat", shelf)["space"]["capacity_bytes"] == 128 * MIB
    assert get(cli, f"{shelf}/w") == b"value"


@pytest.mark.parametrize("words", [words for words in DESTRUCTIVE if "{shelf}" in words[2]],
                         ids=lambda words: "-".join(words[:2]))
def test_destructive_commands_ask_on_a_terminal(cli, shelf, words):
    put(cli, f"{shelf}/w")
    words = [word.format(shelf=shelf) for word in words]
    for answer in (b"n\n", b"\n", b"yeah\n", b"\x04"):
        code, seen = cli.on_terminal(*words, answer=answer)
        assert code == 1 and "nothing was changed" in seen, (answer, seen)
    assert cli.json("shelf", "stat", shelf)["space"]["capacity_bytes"] == 128 * MIB
    assert get(cli, f"{shelf}/w") == b"value"
    code, seen = cli.on_terminal(*words, answer=b"y\n")
    assert code == 0, seen


def test_question_says_what_would_go(cli, shelf):
    put(cli, f"{shelf}/w", bytes(3 * MIB))
    _, seen = cli.on_terminal("shelf", "erase", shelf, answer=b"n\n")
    assert f"erase shelf {shelf} with 1 region" in seen
    _, seen = cli.on_terminal("region", "erase", f"{shelf}/w", answer=b"n\n")
    assert "3 MiB" in seen


# ---- terminals, pipes, signals


def test_output_has_no_colours_and_no_progress_off_a_terminal(cli, shelf):
    read_end, write_end = os.pipe()
    process = cli.start("region", "put", f"{shelf}/w", "-", "--bytes", "9MiB", stdin=read_end,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(read_end)
    with os.fdopen(write_end, "wb") as stream:
        stream.write(bytes(8 * MIB))
        stream.flush()
        time.sleep(1.5)
        stream.write(bytes(MIB))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and err == b""
    assert out.startswith(f"put {shelf}/w: 9 MiB in ".encode()) and b"\x1b" not in out


def feed_slowly(write_end, pieces, pause):
    """Writes 8 MiB pieces into a pipe from a process of its own; returns it."""
    pid = os.fork()
    if pid == 0:
        with os.fdopen(write_end, "wb") as stream:
            for _ in range(pieces):
                stream.write(bytes(8 * MIB))
                stream.flush()
                time.sleep(pause)
        os._exit(0)
    os.close(write_end)
    return pid


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_shows_on_a_terminal_unless_quiet(cli, shelf, quiet):
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    feeder = feed_slowly(write_end, 5, 0.5)
    flags = ("--quiet",) if quiet else ()
    code, seen = cli.on_terminal(*flags, "region", "put", f"{shelf}/w", "-", "--bytes", "40MiB",
                                 stdin=read_end)
    os.waitpid(feeder, 0)
    assert code == 0, seen
    if quiet:
        assert seen == ""
        return
    assert re.search(r"\r\d+%  [\d.]+ MiB of 40 MiB  [\d.]+ MiB/s  \d+ s left  put t-", seen)
    # The line is cleared before the last word.
    assert re.search(r"\r\x1b\[Kput \S+: 40 MiB in ", seen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_put_leaves_nothing_behind(cli, shelf, number):
    put(cli, f"{shelf}/w", b"old")
    before = cli.json("shelf", "stat", shelf)["space"]["used_bytes"]
    process = cli.start("region", "put", f"{shelf}/w", "-", "--bytes", "32MiB",
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(bytes(9 * MIB))
    process.stdin.flush()
    used = lambda: cli.json("shelf", "stat", shelf)["space"]["used_bytes"]
    wait_until(lambda: used() > before)  # it is staged
    start = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=10) == -number
    assert time.monotonic() - start < 3
    assert b"nothing was stored" in process.stderr.read()
    assert used() == before
    assert get(cli, f"{shelf}/w") == b"old"
    process.stdin.close()


def test_interrupted_spool_leaves_no_file(cli, shelf, tmp_path):
    process = subprocess.Popen([cli.program, "region", "put", f"{shelf}/w", "-"],
                               env={**cli.env, "TMPDIR": str(tmp_path)}, stdin=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdin.write(bytes(9 * MIB))
    process.stdin.flush()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGINT
    assert os.listdir(tmp_path) == []
    cli.fails(4, "region", "stat", f"{shelf}/w")
    process.stdin.close()


def test_interrupted_get_leaves_no_file(cli, shelf, tmp_path):
    put(cli, f"{shelf}/w", bytes(48 * MIB))
    target = tmp_path / "out"
    for delay in (0.0, 0.01, 0.02, 0.04, 0.08):
        process = cli.start("region", "get", f"{shelf}/w", target, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=10)
        if code == 0:
            assert os.listdir(tmp_path) == ["out"]
            target.unlink()
        else:
            assert code == -signal.SIGINT
            assert os.listdir(tmp_path) == []


def test_failed_get_keeps_the_old_file(cli, shelf, tmp_path):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    cli.fails(4, "region", "get", f"{shelf}/gone", target)
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == ["out"]
    put(cli, f"{shelf}/w")
    cli.fails(1, "region", "get", f"{shelf}/w", tmp_path / "none" / "out")
    cli.fails(1, "region", "get", f"{shelf}/w", "/dev/full")


def test_closed_pipe_ends_quietly(cli, shelf):
    put(cli, f"{shelf}/w", bytes(16 * MIB))
    for words in (("region", "get", f"{shelf}/w", "-"), ("completion", "bash"), ("--help",)):
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run([cli.program, *words], env=cli.env, stdout=write_end,
                              stderr=subprocess.PIPE, timeout=30)
        os.close(write_end)
        assert done.returncode == -signal.SIGPIPE and done.stderr == b"", words


def test_full_output_device_is_an_error(cli):
    with open("/dev/full", "wb") as full:
        for words in (("version",), ("shelf", "ls"), ("--help",)):
            done = subprocess.run([cli.program, *words], env=cli.env, stdout=full,
                                  stderr=subprocess.PIPE, timeout=30)
            assert done.returncode == 1 and b"No space left" in done.stderr, words


# ---- no daemon


@pytest.mark.parametrize("words", [("status",), ("shelf", "ls"), ("region", "put", "a/b", "-"),
                                   ("--json", "pool", "ls"), ("ping",)])
def test_without_daemon_exit_3_within_5_seconds(cli, tmp_path, words):
    start = time.monotonic()
    message = cli.fails(3, *words, env={"PMSHELF_TARGET": f"unix:{tmp_path}/data.sock"})
    assert time.monotonic() - start < 5
    assert "systemctl start pmshelfd" in message


def test_refused_and_silent_ports_exit_3_within_5_seconds(cli, silent_port):
    for target in ("127.0.0.1:1", f"127.0.0.1:{silent_port}"):
        start = time.monotonic()
        cli.fails(3, "--target", target, "status", env={"PMSHELF_TOKEN": "pms_x"})
        assert time.monotonic() - start < 5, target


@pytest.fixture
def silent_port():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_bad_targets_are_usage_errors(cli, tmp_path):
    for target in ("host:port:x", "host:99999", "unix:relative", "dir:"):
        cli.fails(2, "--target", target, "status")


# ---- shells


def bash_complete(cli, line):
    script = f"""
source <({cli.program} completion bash)
COMP_WORDS=({line})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
compopt() {{ :; }}
_pmshelf
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    path = os.path.dirname(cli.program) + ":" + os.environ["PATH"]
    done = subprocess.run(["bash", "-c", script], env={**cli.env, "PATH": path},
                          capture_output=True, timeout=30, check=True)
    assert done.stderr == b"", done.stderr
    return done.stdout.decode().split()


def test_bash_completes_commands_shelves_and_regions(cli, shelf):
    put(cli, f"{shelf}/alpha")
    put(cli, f"{shelf}/beta")
    assert bash_complete(cli, "pmshelf she") == ["shelf"]
    assert "--only-if-empty" in bash_complete(cli, "pmshelf shelf erase --")
    assert bash_complete(cli, f"pmshelf shelf stat {shelf[:-1]}") == [shelf]
    assert bash_complete(cli, f"pmshelf region get {shelf}") == [shelf + "/"]
    assert bash_complete(cli, f"pmshelf region get {shelf}/al") == [f"{shelf}/alpha"]
    assert set(bash_complete(cli, f"pmshelf region get {shelf}/")) == {f"{shelf}/alpha",
                                                                      f"{shelf}/beta"}


def test_completion_never_starts_a_daemon_and_is_silent_without_one(cli, tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    assert cli.ok("__complete", "--", "--dir", pool, "shelf", "stat", "") == ""
    assert os.listdir(pool) == []
    done = cli.run("__complete", "--", "-t", f"unix:{tmp_path}/x.sock", "shelf", "stat", "")
    assert (done.stdout, done.stderr) == (b"", b"")


def test_fish_and_zsh_scripts(cli, shelf):
    path = os.path.dirname(cli.program) + ":" + os.environ["PATH"]
    env = {**cli.env, "PATH": path}
    script = f"{cli.program} completion fish | source; complete -C 'pmshelf shelf stat {shelf[:-1]}'"
    done = subprocess.run(["fish", "-c", script], env=env, capture_output=True, timeout=30)
    assert done.stdout.decode().split() == [shelf], done.stderr
    zsh = subprocess.run(["zsh", "-n"], input=cli.ok("completion", "zsh").encode(),
                         capture_output=True, timeout=30)
    assert zsh.returncode == 0 and zsh.stderr == b""


# ---- a daemon that stops


def test_frozen_daemon_exit_3_within_5_seconds(tmp_path):
    one = Daemon(tmp_path / "d").start()
    try:
        cli = tool_for(one, tmp_path)
        cli.ok("status")
        one.signal(signal.SIGSTOP)
        for words in (("status",), ("--path", "tcp", "ping"), ("shelf", "ls")):
            start = time.monotonic()
            cli.fails(3, *words)
            assert time.monotonic() - start < 5
    finally:
        one.kill()


def test_killed_daemon_ends_commands_within_their_timeout(tmp_path):
    one = Daemon(tmp_path / "d").start()
    try:
        cli = tool_for(one, tmp_path)
        top = cli.start("--timeout", "2s", "top", "--interval", "100ms", stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
        top.stdout.readline()
        one.kill()
        out, err = top.communicate(timeout=10)
        assert top.returncode == 3 and err.startswith(b"pmshelf: top: ")
    finally:
        one.kill()


# ---- documents


def test_tutorial_is_true(cli, tmp_path):
    """Every block of docs/tutorial/cli.md, in one shell."""
    text = (SOURCE / "docs/tutorial/cli.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    assert len(blocks) >= 8
    path = os.path.dirname(cli.program) + ":" + os.environ["PATH"]
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", "".join(blocks)],
                          env={**cli.env, "PATH": path}, cwd=tmp_path, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    out = done.stdout.decode()
    for expected in ("1000\n", "exit code 6: it exists", "nobody else is here", "exit code 4"):
        assert expected in out


def test_daemon_manual_knows_every_option_and_key(pmshelfd):
    manual = (SOURCE / "deploy/man/pmshelfd.8").read_text()
    text = pmshelfd("--help").stdout
    options = set(re.findall(r"--([a-z][a-z-]+)", text)) - {"mirror", "mutant"}  # test builds only
    assert "print-config" in options
    missing = [option for option in options if f"Fl -{option}" not in manual]
    keys = set(re.findall(r"^#?\s*([a-z_]+) = ", pmshelfd("--print-config").stdout, re.M))
    assert len(keys) > 10
    missing += [key for key in keys if not re.search(rf"^\.It Ic .*\b{key}\b", manual, re.M)]
    assert missing == []

"""TLS: required beyond loopback, for both planes; certificates are read again when they change."""

import pathlib
import ssl
import subprocess

import pytest

from conftest import wait_until
from wire import Closed, Control, DataConnection, Refused, Session, local_session, parse


def run(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


class Authority:
    """A certificate authority and what it signs, in a folder."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.ca = self.folder / "ca.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", self.folder / "ca.key",
            "-out", self.ca)

    def sign(self, name):
        """(certificate, key) of `name`, good for 127.0.0.1."""
        cert, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
            request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey",
            self.folder / "ca.key", "-days", "1", "-copy_extensions", "copy", "-out", cert)
        key.chmod(0o600)
        return cert, key


@pytest.fixture
def tls_daemon(tmp_path, daemon):
    """A daemon on all addresses, its authority, and its files (which tests replace)."""
    authority = Authority(tmp_path / "ca", "ours")
    cert, key = authority.sign("server")
    one = daemon(f"[tls]\ncert = '{cert}'\nkey = '{key}'\nclient_ca = '{authority.ca}'\n",
                 start=False)
    one.config.write_text(one.config.read_text().replace('"127.0.0.1:0"', '"0.0.0.0:0"'))
    one.start()
    return one, authority, cert, key


def ports(one):
    import re
    line = re.findall(r"ready: control .*", one.log())[-1]
    return [int(port) for port in re.findall(r"0\.0\.0\.0:(\d+)", line)]


def context(ca):
    made = ssl.create_default_context(cafile=str(ca))
    return made


def test_both_planes_work_by_tls_with_a_token(tls_daemon):
    one, authority, _, _ = tls_daemon
    control_port, data_port = ports(one)
    token = local_session(one.run).call("Admin/CreateToken", {1: "t", 2: "*", 3: 7})[1][0].decode()
    session = Session(Control(f"127.0.0.1:{control_port}", ca=str(authority.ca)), token)
    assert session.principal == "token:t"
    tcp = next(e for e in session.endpoints if e[1] == [b"tcp"])
    assert tcp[2] == [b":%d" % data_port] and tcp[3] == [1]
    with DataConnection(("127.0.0.1", data_port), session, tls=context(authority.ca)) as data:
        data.request("ping")


def test_clear_text_is_turned_away(tls_daemon):
    one, _, _, _ = tls_daemon
    control_port, data_port = ports(one)
    with pytest.raises((Closed, OSError)):
        DataConnection(("127.0.0.1", data_port), timeout=15)
    with pytest.raises(ConnectionError):
        Control(f"127.0.0.1:{control_port}").call("Admin/Status", timeout=15)


def test_certificate_says_who_a_client_is(tls_daemon, tmp_path):
    one, authority, _, _ = tls_daemon
    target = f"127.0.0.1:{ports(one)[0]}"
    identity = [str(file) for file in authority.sign("host7")]
    assert Session(Control(target, str(authority.ca), identity), None).principal == "cert:host7"
    with pytest.raises(Refused) as refused:
        Session(Control(target, str(authority.ca)), None)
    assert refused.value.code == "unauthenticated"
    foreign = [str(file) for file in Authority(tmp_path / "other", "theirs").sign("host7")]
    with pytest.raises((ConnectionError, Refused)):
        Session(Control(target, str(authority.ca), foreign), None)


def served_by(port, ca):
    """Serial number of the certificate that the data plane shows."""
    with DataConnection(("127.0.0.1", port), tls=context(ca)) as data:
        return data.socket.getpeercert()["serialNumber"]


def test_new_certificate_is_taken_and_a_bad_one_is_not(tls_daemon):
    one, authority, cert, key = tls_daemon
    data_port = ports(one)[1]
    first = served_by(data_port, authority.ca)
    fresh_cert, fresh_key = authority.sign("server2")
    fresh_key.rename(key)
    fresh_cert.rename(cert)
    second = wait_until(lambda: other_than(first, served_by(data_port, authority.ca)), 15)
    cert.write_text("nonsense")
    wait_until(lambda: "the old one stays" in one.log(), 15)
    assert served_by(data_port, authority.ca) == second


def other_than(old, new):
    return new if new != old else None


def test_revoked_token_ends_its_sessions(tls_daemon):
    one, authority, _, _ = tls_daemon
    admin = local_session(one.run)
    token = admin.call("Admin/CreateToken", {1: "t", 2: "*", 3: 7})[1][0].decode()
    session = Session(Control(f"127.0.0.1:{ports(one)[0]}", ca=str(authority.ca)), token)
    admin.call("Admin/RevokeToken", {1: "t"})

    def ended():
        try:
            session.call("Sessions/KeepAlive")
            return False
        except Refused as refused:
            return refused.code == "session_expired"

    wait_until(ended, 15)
    names = [parse(one)[4][0] for one in admin.call("Admin/ListSessions").get(1, []) if 4 in parse(one)]
    assert len(names) <= 1

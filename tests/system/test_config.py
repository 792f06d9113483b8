"""What an operator can get wrong: each ends with status 2 and a message that names the cause."""

import os
import pathlib
import stat
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check(pmshelfd, tmp_path, text):
    file = tmp_path / "c.toml"
    file.write_text(text)
    done = pmshelfd("--config", file, "--check-config")
    return done.returncode, done.stderr.replace(str(tmp_path), "DIR")


def test_version_and_help_end_with_zero(pmshelfd):
    assert pmshelfd("--version").stdout.startswith("pmshelfd ")
    shown = pmshelfd("--help")
    assert shown.returncode == 0 and "--check-config" in shown.stdout


def test_sample_configuration_passes_the_check(pmshelfd):
    done = pmshelfd("--config", ROOT / "deploy/pmshelfd.toml", "--check-config")
    assert done.returncode == 0, done.stderr
    assert "the configuration is good" in done.stdout


def test_printed_configuration_can_be_read_again(pmshelfd, tmp_path):
    printed = pmshelfd("--config", ROOT / "deploy/pmshelfd.toml", "--print-config").stdout
    file = tmp_path / "p.toml"
    file.write_text(printed)
    assert pmshelfd("--config", file, "--print-config").stdout == printed


@pytest.mark.parametrize("text, message", [
    ("[log]\nlevle = 'info'\n", "DIR/c.toml:2: [log] levle: unknown key; did you mean 'level'?"),
    ("[log]\nlevel = 'a'\nlevel = 'b'\n", "DIR/c.toml:3: "),
    ("[data]\nlisten = ['127.0.0.1:7200']\n", "takes the same port as control.listen"),
    ("[session]\ntimeout = '1000d'\n", "DIR/c.toml:2: [session] timeout: 1000d is not between"),
    ("[tls]\ncert = '/no/cert'\nkey = '/no/key'\n", "DIR/c.toml:2: [tls] cert: "),
    ("[control]\nlisten = ['0.0.0.0:7200']\n", "[control] listen: '0.0.0.0:7200' can be reached"),
    ("[[pool]]\npath = '/no/such'\n", "DIR/c.toml:2: [[pool]] path: '/no/such' does not exist"),
    ("[[pool]]\npath = 'DIR/fifo'\n", "is a FIFO"),
    ("[[pool]]\npath = 'DIR/dangling'\n", "is a link to something that does not exist"),
])
def test_what_is_wrong_is_named(pmshelfd, tmp_path, text, message):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    status, shown = check(pmshelfd, tmp_path, text.replace("DIR", str(tmp_path)))
    assert status == 2
    assert message in shown


def test_expired_certificate_and_open_key_are_named(pmshelfd, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=t", "-days", "1", "-keyout",
                    key, "-out", cert], check=True, capture_output=True)
    text = f"[tls]\ncert = '{cert}'\nkey = '{key}'\n"
    key.chmod(0o600)
    assert check(pmshelfd, tmp_path, text)[0] == 0
    key.chmod(0o644)
    status, shown = check(pmshelfd, tmp_path, text)
    assert status == 2 and "DIR/c.toml:3: [tls] key: " in shown and "everybody" in shown
    key.chmod(0o600)
    faked = subprocess.run(["openssl", "x509", "-in", cert, "-signkey", key, "-days", "-1"],
                           capture_output=True, check=True)
    cert.write_bytes(faked.stdout)
    status, shown = check(pmshelfd, tmp_path, text)
    assert status == 2 and "DIR/c.toml:2: [tls] cert: " in shown and "expired" in shown


def test_same_problems_end_the_start(daemon):
    one = daemon("[log]\nlevle = 'info'\n", start=False).spawn()
    assert one.wait() == 2
    assert "did you mean 'level'?" in one.log()
    assert not one.run.exists()


def test_missing_configuration_file_is_named(pmshelfd):
    done = pmshelfd("--config", "/no/such.toml")
    assert done.returncode == 2 and "/no/such.toml" in done.stderr


def test_secrets_and_sockets_get_the_modes_that_they_need(daemon):
    one = daemon()
    assert stat.S_IMODE((one.folder / "state").stat().st_mode) == 0o700
    assert stat.S_ISSOCK((one.run / "data.sock").stat().st_mode)
    assert stat.S_ISSOCK((one.run / "control.sock").stat().st_mode)
    for file in (one.folder / "state/pool").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o022 == 0, file

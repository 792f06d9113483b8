"""A client of both planes in plain Python, written from docs/protocol.md and proto/: no code of ours
is on this side, so that a mistake cannot hide on both."""

import base64
import hashlib
import hmac
import os
import socket
import struct
import subprocess

HEADER = struct.Struct("<HBBHHQQQQQIII")
MAGIC = 0x5350
OPS = dict(challenge=1, hello=2, ping=3, read=4, write=5, flush=6, atomic=7, read_ranges=8,
           write_ranges=9, put=10, get=11, transact=12, map=13, unmap=14, ring=15, peer_token=16,
           notice=17)
CODES = ["ok", "invalid_argument", "not_found", "already_exists", "permission_denied",
         "unauthenticated", "session_expired", "stale_grant", "locked", "busy", "no_space",
         "resource_exhausted", "out_of_range", "corrupt", "io", "read_only", "unavailable",
         "unknown_outcome", "deadline_exceeded", "unsupported", "conflict", "internal"]


class Refused(Exception):
    """The daemon's answer was an error; `code` is its stable name."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Closed(Exception):
    """The daemon closed the connection."""


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def header(op, tag=0, grant=(0, 0), offset=0, length=0, meta=0, payload=0, flags=0, status=0):
    packed = HEADER.pack(MAGIC, 1, op, status, flags, tag, *grant, offset, length, meta, payload, 0)
    return packed + struct.pack("<I", crc32c(packed))


class Answer:
    def __init__(self, raw, meta, payload):
        (_, _, self.op, self.status, self.flags, self.tag, high, low, self.offset, self.length,
         _, _, _) = HEADER.unpack(raw[:60])
        self.grant = (high, low)
        self.meta = meta
        self.payload = payload


class DataConnection:
    """One data connection: `address` is (host, port) or the path of data.sock; `tls` an SSLContext."""

    def __init__(self, address, session=None, timeout=30, tls=None):
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
            if not isinstance(address, str):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
            self.tag = 0
            self.challenge = self.receive().meta
        except BaseException:
            self.socket.close()
            raise
        if session is not None:
            self.hello(session)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(min(count - len(data), 1 << 20))
            except ConnectionError as error:
                raise Closed(str(error)) from error
            if not more:
                raise Closed("end of stream")
            data += more
        return data

    def receive(self):
        raw = self._exactly(64)
        meta, payload = struct.unpack_from("<II", raw, 48)
        assert crc32c(raw[:60]) == struct.unpack_from("<I", raw, 60)[0]
        return Answer(raw, self._exactly(meta), self._exactly(payload))

    def send(self, op, meta=b"", payload=b"", **fields):
        self.tag += 1
        raw = header(OPS[op], tag=self.tag, meta=len(meta), payload=len(payload), **fields)
        try:
            self.socket.sendall(raw + meta + payload)
        except ConnectionError as error:
            raise Closed(str(error)) from error
        return self.tag

    def request(self, op, meta=b"", payload=b"", **fields):
        tag = self.send(op, meta, payload, **fields)
        while True:
            answer = self.receive()
            if answer.tag == tag:
                break
        if answer.status != 0:
            raise Refused(CODES[answer.status], answer.meta.decode())
        return answer

    def peer_token(self):
        return self.request("peer_token").meta.decode()

    def proof(self, secret, side, nonce, session_id):
        _, _, _, epoch = struct.unpack_from("<HHIQ", self.challenge)
        text = (b"pmshelf-data-1" + bytes([side]) + self.challenge[16:32] + nonce + session_id
                + struct.pack("<Q", epoch))
        return hmac.new(secret, text, hashlib.sha256).digest()

    def hello(self, session, secret=None):
        nonce = os.urandom(16)
        secret = session.data_secret if secret is None else secret
        proof = self.proof(secret, 1, nonce, session.id)
        answer = self.request("hello", struct.pack("<HHI", 1, 0, 0) + session.id + nonce + proof)
        assert answer.meta[:32] == self.proof(secret, 2, nonce, session.id)

    def put(self, handle, name, value, request_id=None, flags=0):
        request_id = os.urandom(16) if request_id is None else request_id
        meta = request_id + struct.pack("<HHI", len(name), 0, 0) + name
        return self.request("put", meta, value, grant=(0, handle), flags=flags).offset

    def get(self, handle, name, length=1 << 23):
        return self.request("get", name, grant=(0, handle), length=length).payload


# ---- protobuf and gRPC, as much as is needed

def varint(value):
    out = b""
    while True:
        out += bytes([(value & 0x7F) | (0x80 if value > 0x7F else 0)])
        value >>= 7
        if value == 0:
            return out


def message(fields):
    """{number: int | bytes | str | [..]} -> bytes; ints are varints."""
    out = b""
    for number, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += varint(number << 3) + varint(value)
            else:
                value = value.encode() if isinstance(value, str) else value
                out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def parse(data):
    """bytes -> {number: [int | bytes]}."""
    fields, position = {}, 0

    def read_varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        key = read_varint()
        if key & 7 == 0:
            value = read_varint()
        elif key & 7 == 1:
            value = struct.unpack_from("<Q", data, position)[0]
            position += 8
        else:
            size = read_varint()
            value = data[position:position + size]
            position += size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def request_id():
    high, low = struct.unpack("<QQ", os.urandom(16))
    return varint(1 << 3 | 1) + struct.pack("<Q", high) + varint(2 << 3 | 1) + struct.pack("<Q", low)


class Control:
    """gRPC by curl: `target` is "host:port" or the path of control.sock; with `ca` by TLS, with
    `identity` (certificate, key) as its owner."""

    def __init__(self, target, ca=None, identity=None):
        self.target, self.ca, self.identity = target, ca, identity

    def call(self, method, fields=None, metadata=(), timeout=30):
        body = message(fields or {})
        command = ["curl", "-sS", "--http2-prior-knowledge", "--max-time", str(timeout), "-D",
                   "/dev/stderr", "-o", "-", "-H", "content-type: application/grpc", "-H",
                   "te: trailers", "--data-binary", "@-"]
        for line in metadata:
            command += ["-H", line]
        if self.target.startswith("/"):
            command += ["--unix-socket", self.target, f"http://localhost/pmshelf.v1.{method}"]
        elif self.ca:
            command.remove("--http2-prior-knowledge")
            command += ["--http2", "--cacert", self.ca, f"https://{self.target}/pmshelf.v1.{method}"]
            if self.identity:
                command += ["--cert", self.identity[0], "--key", self.identity[1]]
        else:
            command.append(f"http://{self.target}/pmshelf.v1.{method}")
        done = subprocess.run(command, input=b"\0" + struct.pack(">I", len(body)) + body,
                              capture_output=True, check=False)
        trailers = {}
        for line in done.stderr.decode(errors="replace").splitlines():
            name, colon, value = line.partition(": ")
            if colon:
                trailers[name.strip().lower()] = value.strip()
        if "grpc-status" not in trailers:
            raise ConnectionError(done.stderr.decode(errors="replace"))
        if trailers["grpc-status"] != "0":
            raise Refused(self._code(trailers), trailers.get("grpc-message", ""))
        return parse(done.stdout[5:])

    @staticmethod
    def _code(trailers):
        detail = trailers.get("grpc-status-details-bin", "")
        if not detail:
            return "grpc-" + trailers["grpc-status"]
        return CODES[parse(base64.b64decode(detail + "=" * (-len(detail) % 4))).get(1, [0])[0]]


class Session:
    """An open session: control calls with its ticket, data connections with its secret."""

    def __init__(self, control, token, name="system-test"):
        metadata = [f"authorization: Bearer {token}"] if token else []
        opened = control.call("Sessions/Open", {1: 1, 2: name}, metadata)
        self.id, self.ticket, self.data_secret = (opened[n][0] for n in (1, 2, 3))
        self.principal = opened[4][0].decode()
        self.endpoints = [parse(endpoint) for endpoint in opened.get(7, [])]
        self.control = control
        self.header = "pmshelf-session-bin: " + base64.b64encode(self.ticket).decode()

    def call(self, method, fields=None, **more):
        return self.control.call(method, fields, [self.header], **more)

    def create_shelf(self, name, capacity):
        return self.call("Shelves/Create", {1: request_id(), 2: name, 4: capacity})

    def open_shelf(self, name):
        return self.call("Shelves/Open", {1: name})[2][0]

    def create_region(self, shelf, name, size, rights=3):
        """Creates a region and opens it; the grant."""
        return self._grant(self.call("Regions/Create", {1: request_id(), 2: shelf, 3: name, 4: size,
                                                        6: rights})[2][0])

    def open_region(self, shelf, name, rights=3):
        return self._grant(self.call("Regions/Open", {1: shelf, 2: name, 3: rights}))

    @staticmethod
    def _grant(answer):
        fields = parse(answer) if isinstance(answer, bytes) else answer
        return struct.unpack("<QQ", fields[1][0])

    def close(self):
        self.call("Sessions/Close")


def local_session(folder, name="system-test"):
    """As a same-host client comes in: PeerToken on data.sock, then Sessions.Open on control.sock."""
    with DataConnection(f"{folder}/data.sock") as connection:
        token = connection.peer_token()
    return Session(Control(f"{folder}/control.sock"), token, name)

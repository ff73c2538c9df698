"""A client that costs next to nothing: requests are signed once and sent as bytes, so that the server is what is measured.

A signature holds for five minutes and for one body; the same bytes may be sent as often as one likes meanwhile.
"""

import datetime
import hashlib
import hmac
import json
import selectors
import socket
import time
import urllib.parse


def request(server, operation, body, service="batch", region="us-east-1"):
    """The bytes of a signed POST. Logs operations go by their target, Batch operations by their path."""
    host = urllib.parse.urlsplit(server.endpoint).netloc
    path = "/" if service == "logs" else f"/v1/{operation.lower()}"
    body = json.dumps(body).encode()
    key = server.keys()[0]
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": "application/json", "host": host, "x-amz-date": stamp}
    if service == "logs":
        headers |= {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"Logs_20140328.{operation}"}

    signed = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"POST\n{path}\n\n{lines}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = b"AWS4" + key["secretAccessKey"].encode()
    for part in (*scope.split("/"), text):
        signature = hmac.digest(signature, part.encode(), "sha256")
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key['accessKeyId']}/{scope}, SignedHeaders={signed}, Signature={signature.hex()}"
    )
    headers["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Connection:
    """One kept-alive connection with at most one request under way."""

    def __init__(self, server):
        address = urllib.parse.urlsplit(server.endpoint)
        self.socket = socket.create_connection((address.hostname, address.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, sent):
        self.socket.sendall(sent)

    def receive(self):
        """Reads what is there; the body once the answer is complete, else None."""
        chunk = self.socket.recv(1 << 20)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self.buffer += chunk
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return None
        self.buffer = b""
        if not head.startswith(b"HTTP/1.1 200"):
            raise ValueError(body.decode())
        return body

    def call(self, sent):
        """One request and its answer."""
        self.send(sent)
        while (body := self.receive()) is None:
            pass
        return json.loads(body)

    def close(self):
        self.socket.close()


def flood(server, sent, connections, seconds):
    """Sends the same request over all connections as fast as answers come; returns latencies in ms and the rate."""
    latencies, begun = [], {}
    with selectors.DefaultSelector() as selector:
        opened = [Connection(server) for _ in range(connections)]
        start = time.perf_counter()
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            begun[connection] = time.perf_counter()
            connection.send(sent)
        while (now := time.perf_counter()) < start + seconds:
            for key, _ in selector.select(timeout=1):
                connection = key.data
                if connection.receive() is not None:
                    now = time.perf_counter()
                    latencies.append((now - begun[connection]) * 1000)
                    begun[connection] = now
                    connection.send(sent)
        for connection in opened:
            connection.close()
    return latencies, len(latencies) / (now - start)

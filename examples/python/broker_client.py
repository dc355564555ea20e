"""A client of the broker in one file. Needs only msgpack (`pip install msgpack`).

    with Client("127.0.0.1:7420") as client:
        client.create_topic("orders", partitions=4)
        client.produce("orders", [Record(key=b"user-7", value=b"hello")])
        for record in client.consume("orders", partition=0, follow=False):
            print(record.offset, record.value)

Written from broker/protocol/PROTOCOL.md. A Client belongs to one thread; requests can be pipelined:
`send` and `produce_later` return a Reply at once, and `Reply.result()` waits for the answer.
"""

import gzip
import itertools
import socket
import struct
import time
import zlib
from collections import namedtuple

import msgpack

DEFAULT_PORT = 7420
FRAME_MARKER = 0xCE


class BrokerError(Exception):
    """The broker answered with an error. `definite`: the request certainly had no effect."""

    def __init__(self, error):
        super().__init__("{}: {}".format(error.get("name", "?"), error.get("message", "")))
        self.code = error.get("code", 1)
        self.name = error.get("name", "UNKNOWN")
        self.message = error.get("message", "")
        self.retriable = error.get("retriable", False)
        self.definite = error.get("definite", False)
        self.data = error.get("data") or {}


class ConnectionLost(Exception):
    """The connection ended; what became of requests under way is not known."""


class Record(namedtuple("Record", "key value timestamp headers offset partition errors")):
    """A record. `key` and `value` are bytes or None, `headers` a list of (name, bytes or None).

    With encode or decode, key and value are anything msgpack knows; what could not be decoded stays
    bytes, and `errors` says why: {"value": {"code", "reason", "plugin"}}.
    """

    __slots__ = ()

    def __new__(cls, key=None, value=None, timestamp=None, headers=(), offset=None, partition=None, errors=None):
        return super().__new__(cls, key, value, timestamp, list(headers), offset, partition, errors or {})

    def to_wire(self):
        headers = [[name, value] for name, value in self.headers]
        return [self.key, self.value, self.timestamp, headers]


class Reply:
    """The answer to a request that may not have come yet."""

    def __init__(self, connection, request_id):
        self._connection, self._id = connection, request_id

    def result(self):
        """Waits for the answer; raises BrokerError if it is an error."""
        return self._connection.wait_for(self._id)


class Connection:
    """One socket with requests under way. Answers may come in any order."""

    def __init__(self, host, port, timeout, client_name):
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ids = itertools.count(1)
        self._waiting, self._answers = set(), {}
        self._in_flight_max, self.is_lost = 1, False
        self.hello = self.send("hello", protocol_min=1, protocol_max=1, client=client_name).result()
        self._in_flight_max = self.hello["limits"]["in_flight_requests_max"]

    def send(self, method, **args):
        """Sends a request and returns its Reply. Arguments that are None are left out."""
        while len(self._waiting) >= self._in_flight_max:
            self._read_answer()
        request_id = next(self._ids)
        args = {name: value for name, value in args.items() if value is not None}
        body = msgpack.packb([0, request_id, method, args], use_bin_type=True)
        self._waiting.add(request_id)
        try:
            self._socket.sendall(struct.pack(">BI", FRAME_MARKER, len(body)) + body)
        except OSError as error:
            self._lost(str(error))
        return Reply(self, request_id)

    def needs(self, feature):
        """An older broker would ignore arguments that it does not know."""
        if feature not in self.hello["features"]:
            raise ValueError("the broker does not have the feature " + feature)

    def wait_for(self, request_id):
        while request_id not in self._answers:
            if request_id not in self._waiting:
                raise KeyError("request {} was answered before".format(request_id))
            self._read_answer()
        error, result = self._answers.pop(request_id)
        if error is not None:
            raise BrokerError(error)
        return result

    def _read_answer(self):
        marker, length = struct.unpack(">BI", self._read(5))
        if marker != FRAME_MARKER:
            self._lost("this is no broker: its first byte is {:#x}".format(marker))
        # Maps among decoded values may have keys of any kind.
        kind, request_id, error, result = msgpack.unpackb(self._read(length), raw=False, strict_map_key=False)
        if request_id is None:  # The broker could not read a request and closes.
            self.is_lost = True
            raise BrokerError(error)
        if kind == 1 and request_id in self._waiting:
            self._waiting.remove(request_id)
            self._answers[request_id] = (error, result)

    def _read(self, length):
        data = bytearray()
        while len(data) < length:
            try:
                part = self._socket.recv(min(length - len(data), 1 << 20))
            except OSError as error:
                self._lost(str(error))
            if not part:
                self._lost("the broker closed the connection")
            data += part
        return bytes(data)

    def _lost(self, why):
        self.close()
        raise ConnectionLost(why)

    def close(self):
        self.is_lost = True
        self._socket.close()


class Client:
    """Knows the cluster: asks any broker of the bootstrap list, sends to partition leaders."""

    def __init__(self, bootstrap="127.0.0.1:7420", timeout=60.0, client_name="broker-python"):
        self._bootstrap = [_address(part) for part in bootstrap.split(",") if part.strip()]
        self._timeout, self._client_name = timeout, client_name
        self._connections, self._leaders = {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def call(self, method, **args):
        """Any method of the protocol, on any broker."""
        return self._any_broker().send(method, **args).result()

    def metadata(self, topics=None):
        return self.call("metadata", topics=topics)

    def create_topic(self, name, partitions=None, replication_factor=None, config=None):
        """Returns the broker's answer, which may carry warnings."""
        return self.call(
            "create_topic", name=name, partitions=partitions, replication_factor=replication_factor, config=config
        )

    def delete_topic(self, name):
        return self.call("delete_topic", name=name)

    def produce(self, topic, records, partition=None, acks="all", codec=None, encode=False, partial=None):
        """Appends records and waits. Returns [(partition, offset)], one for each record.

        Without `partition` the topic's partitioner, a plugin in the broker, chooses. With a `codec`
        ("none" or "gzip") the batch is encoded here, which needs a partition. With `encode` the
        topic's serializers encode keys and values. With partial="accept" a record that they refuse
        does not keep the others out; its place in the answer is (None, why), why being a dict.
        """
        try:
            result = self.produce_later(topic, records, partition, acks, codec, encode, partial).result()
        except BrokerError:
            self._leaders.clear()  # It may have moved.
            raise
        if result.get("errors"):
            raise BrokerError(result["errors"][0]["error"])
        refused = {entry["index"]: (None, entry) for entry in result.get("refused", ())}
        if partition is None:
            places = zip(result["partitions"], result["offsets"])
            return [refused.get(index, place) for index, place in enumerate(places)]
        base = result.get("base_offset")
        offsets = itertools.repeat(None) if base is None else itertools.count(base)
        return [refused.get(i) or (partition, next(offsets)) for i in range(len(records))]

    def produce_later(self, topic, records, partition=None, acks="all", codec=None, encode=False, partial=None):
        """Like produce, but returns a Reply with the broker's own answer."""
        args = {"topic": topic, "partition": partition, "acks": acks}
        args.update(encode=encode or None, partial=partial)
        wire = [record.to_wire() for record in records]
        if codec is None:
            args["records"] = wire
        else:
            args.update(_opaque(wire, codec))
        connection = self._any_broker() if partition is None else self._leader(topic, partition)
        if encode:
            connection.needs("serializers")
        return connection.send("produce", **args)

    def fetch(self, topic, partition, offset, max_wait_ms=500, min_bytes=1, max_bytes=None, decode=False):
        """Records from this offset on, as many as the broker gives at once: (records, next offset, info).

        With `decode` the topic's serializers decode keys and values.
        """
        wanted = {"topic": topic, "partition": partition, "offset": offset}
        limits = {"max_wait_ms": max_wait_ms, "min_bytes": min_bytes, "max_bytes": max_bytes}
        if decode:
            self._leader(topic, partition).needs("serializers")
        found = self._ask_leader("fetch", wanted, decode=decode or None, **limits)
        records = [
            Record(key, value, timestamp, [tuple(header) for header in headers], at, partition, *errors[:1])
            for at, timestamp, key, value, headers, *errors in found["records"]
        ]
        return records, found["next_offset"], found

    def consume(self, topic, partition, offset="earliest", follow=True, decode=False):
        """Yields records. `offset` is a number, "earliest", "latest" or a time in ms as ("time", ms)."""
        if isinstance(offset, tuple):
            offset = self.list_offset(topic, partition, offset[1])
            offset = self.list_offset(topic, partition, "latest") if offset is None else offset
        elif isinstance(offset, str):
            offset = self.list_offset(topic, partition, offset)
        while True:
            wait = 5000 if follow else 0
            records, offset, info = self.fetch(topic, partition, offset, max_wait_ms=wait, decode=decode)
            yield from records
            if not follow and offset >= info["high_watermark"]:
                return

    def list_offset(self, topic, partition, at="latest"):
        """`at`: "earliest", "latest", or milliseconds; None when no record is that late."""
        wanted = {"topic": topic, "partition": partition, "at": at}
        return self._ask_leader("list_offsets", wanted).get("offset")

    def partition_for(self, topic, keys):
        """Where the topic's partitioner sends these keys."""
        return self.call("partition_for", topic=topic, keys=keys)["partitions"]

    def _ask_leader(self, method, wanted, **args):
        leader = self._leader(wanted["topic"], wanted["partition"])
        answer = leader.send(method, partitions=[wanted], **args).result()["partitions"][0]
        if answer.get("error"):
            self._leaders.clear()  # It may have moved.
            raise BrokerError(answer["error"])
        return answer

    def _any_broker(self):
        for connection in self._connections.values():
            if not connection.is_lost:
                return connection
        problems = []
        for address in self._bootstrap:
            try:
                return self._connect(address)
            except (OSError, ConnectionLost) as error:
                problems.append("{}:{}: {}".format(*address, error))
        raise ConnectionLost("no broker can be reached: " + "; ".join(problems))

    def _leader(self, topic, partition):
        if (topic, partition) not in self._leaders:
            self._refresh(topic)
        if (topic, partition) not in self._leaders:
            return self._any_broker()  # It answers why there is no leader.
        return self._connect(self._leaders[topic, partition])

    def _refresh(self, topic):
        metadata = self.metadata([topic])
        brokers = {broker["broker_id"]: (broker["host"], broker["port"]) for broker in metadata["brokers"]}
        for found in metadata["topics"][0]["partitions"]:
            if found.get("leader") in brokers:
                self._leaders[topic, found["partition"]] = brokers[found["leader"]]

    def _connect(self, address):
        if address not in self._connections or self._connections[address].is_lost:
            self._connections[address] = Connection(*address, self._timeout, self._client_name)
        return self._connections[address]


def _address(text):
    host, _, port = text.strip().rpartition(":")
    return (host.strip("[]"), int(port)) if host else (port, DEFAULT_PORT)


def _opaque(wire, codec):
    """A batch encoded by the client, with what the broker wants to be told about it."""
    given = [record[2] for record in wire]
    base = int(time.time() * 1000) if None in given else given[0]
    body = msgpack.packb(wire, use_bin_type=True)
    if codec == "gzip":
        body = gzip.compress(body)
    return {
        "codec": codec,
        "record_count": len(wire),
        "base_timestamp_ms": base,
        "max_timestamp_ms": max(base if at is None else at for at in given),
        "crc": zlib.crc32(body),
        "body": body,
    }

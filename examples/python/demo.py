"""Five minutes with the broker from Python: python3 demo.py [HOST:PORT]

The broker is the argument, else BROKER_SERVER, else 127.0.0.1:7420.

Creates a topic, produces with and without a key, compressed and to a chosen partition, pipelines a few
requests, reads everything back, and runs into an error on purpose.
"""

import os
import sys
import uuid

from broker_client import BrokerError, Client, Record


def main():
    bootstrap = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BROKER_SERVER", "127.0.0.1:7420")
    topic = "python-demo-" + uuid.uuid4().hex[:8]
    with Client(bootstrap) as client:
        created = client.create_topic(topic, partitions=3)
        print("created", topic, "with", created["partitions"], "partitions")

        # The broker's partitioner plugin chooses: the same key always goes to the same partition.
        placed = client.produce(topic, [Record(key=b"user-7", value=b"first"), Record(key=b"user-7", value=b"second")])
        home = placed[0][0]
        print("user-7 lives in partition", home)
        assert placed == [(home, 0), (home, 1)]
        assert client.partition_for(topic, [b"user-7"]) == [home]

        # A chosen partition, compressed, with headers and a time of our own.
        third = Record(key=None, value=b"third" * 100, timestamp=123, headers=[("trace", b"42"), ("trace", None)])
        (_, offset), = client.produce(topic, [third], partition=home, codec="gzip")
        print("third is at offset", offset)

        # Several requests under way at once on one connection.
        replies = [client.produce_later(topic, [Record(value=b"%d" % i)], partition=home) for i in range(10)]
        print("pipelined:", [reply.result()["base_offset"] for reply in replies])

        records = list(client.consume(topic, home, follow=False))
        assert [record.offset for record in records] == list(range(13))
        assert [record.value for record in records[:3]] == [b"first", b"second", b"third" * 100]
        assert records[2].headers == [("trace", b"42"), ("trace", None)] and records[2].timestamp == 123
        print("read", len(records), "records back, the last is", records[-1].value)

        try:
            client.fetch(topic, home, 1000)
        except BrokerError as error:
            data = error.data
            print("as expected:", error.name, "- the partition holds", data["earliest"], "to", data["latest"])
        client.delete_topic(topic)
        print("done")


if __name__ == "__main__":
    main()

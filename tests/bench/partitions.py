#!/usr/bin/env python3
"""What many partitions and many idle connections cost a broker.

    cargo build --release -p broker-cli
    tests/bench/partitions.py target/release/broker [--partitions 10000] [--topics 0]
                              [--connections 1000] [--idle-s 30] [--dir DIR] [--nofile N]

Starts the broker on a data directory of its own and prints a line a measurement: memory and time of an empty
broker; creating a topic of so many partitions; memory, open files and CPU time when idle; stop and start; a record
into every partition; start after kill -9; idle connections; describing and deleting. Python's standard library
only, Linux only. Numbers of a busy machine say little: compare two binaries in one session.
"""

import argparse
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
# After so long at the latest a broker that has nothing to do is quiet.
SETTLE_S = 12


class Broker:
    def __init__(self, binary, directory, nofile):
        self.binary, self.directory, self.nofile = binary, directory, nofile
        self.address, self.process = None, None

    def start(self):
        """Seconds until it listens."""
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile,) * 2)) if self.nofile else None
        began = time.monotonic()
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data-dir", self.directory, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=open(self.directory + ".log", "a"), text=True, preexec_fn=limit)
        line = self.process.stdout.readline()
        took = time.monotonic() - began
        if not line:
            sys.exit("the broker did not start; see " + self.directory + ".log")
        self.address = line.split()[-1]
        return took

    def end(self, signal_number):
        began = time.monotonic()
        self.process.send_signal(signal_number)
        self.process.wait()
        return time.monotonic() - began

    def run(self, *arguments, stdin=None):
        """Seconds that a command takes, and how much it prints."""
        began = time.monotonic()
        done = subprocess.run([self.binary, "--server", self.address, "--timeout", "300s", *arguments],
                              input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit("{}: {}".format(" ".join(arguments), done.stderr.decode()))
        return time.monotonic() - began, len(done.stdout)

    def memory_kib(self, name="VmRSS"):
        status = pathlib.Path("/proc/{}/status".format(self.process.pid)).read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name + ":"))

    def open_files(self):
        return len(os.listdir("/proc/{}/fd".format(self.process.pid)))

    def cpu_s(self):
        stat = pathlib.Path("/proc/{}/stat".format(self.process.pid)).read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / TICKS


def show(what, value, unit):
    print("{:<52} {:>10} {}".format(what, value if isinstance(value, int) else "{:.3f}".format(value), unit), flush=True)


def show_memory(broker, when, base_kib=0, count=0):
    resident = broker.memory_kib()
    show("RSS " + when, resident / 1024, "MiB")
    show("  of it anonymous", broker.memory_kib("RssAnon") / 1024, "MiB")
    if count:
        show("  each", (resident - base_kib) / count, "KiB")
    show("  open files", broker.open_files(), "")
    return resident


def idle_cpu(broker, seconds, when):
    before = broker.cpu_s()
    time.sleep(seconds)
    show("CPU " + when, (broker.cpu_s() - before) * 60 / seconds, "s a minute")


def idle_connections(broker, count):
    """Opens connections that say hello and nothing more; answers them."""
    host, port = broker.address.rsplit(":", 1)
    hello = b"\x94\x00\x01\xa5hello\x82\xacprotocol_min\x01\xacprotocol_max\x01"
    opened = []
    for _ in range(count):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(struct.pack(">BI", 0xCE, len(hello)) + hello)
        opened.append(connection)
    for connection in opened:
        if not connection.recv(4096):
            sys.exit("the broker closed an idle connection")
    return opened


def partitions(broker, arguments, base):
    """`base` is what an empty broker takes, in KiB."""
    count = arguments.partitions
    show("create {} partitions".format(count), broker.run("topic", "create", "many", "--partitions", str(count))[0], "s")
    show_memory(broker, "with them", base, count)
    idle_cpu(broker, arguments.idle_s, "when idle")
    took, printed = broker.run("topic", "describe", "many")
    show("topic describe", took, "s, {} KiB".format(printed // 1024))
    show("topic list", broker.run("topic", "list")[0], "s")
    show("cluster describe", broker.run("cluster", "describe")[0], "s")
    show("stop", broker.end(signal.SIGTERM), "s")
    show("start after a clean stop", broker.start(), "s")
    show_memory(broker, "after it", base, count)
    # What the start has used goes back once the broker is quiet.
    time.sleep(SETTLE_S)
    idle_cpu(broker, arguments.idle_s, "when idle after a clean stop")
    show_memory(broker, "when idle after a clean stop", base, count)
    lines = "".join("key-{}\tvalue\n".format(number) for number in range(20 * count)).encode()
    took = broker.run("produce", "many", "--key-separator", "\t", stdin=lines)[0]
    show("records into all of them", took, "s")
    show_memory(broker, "with all written", base, count)
    time.sleep(arguments.idle_s)
    idle_cpu(broker, arguments.idle_s, "when idle again")
    show_memory(broker, "when idle again", base, count)
    broker.end(signal.SIGKILL)
    show("start after kill -9", broker.start(), "s")
    show_memory(broker, "after it", base, count)
    show("stop", broker.end(signal.SIGTERM), "s")
    show("start after a clean stop", broker.start(), "s")
    show_memory(broker, "after it", base, count)
    idle_cpu(broker, arguments.idle_s, "when idle")
    show("delete {} partitions".format(count), broker.run("topic", "delete", "many")[0], "s")
    show_memory(broker, "without them")


def topics(broker, count):
    began = time.monotonic()
    for number in range(count):
        broker.run("topic", "create", "topic-{}".format(number), "--partitions", "10")
    show("create {} topics of 10 partitions".format(count), time.monotonic() - began, "s")
    took, printed = broker.run("topic", "list")
    show("topic list", took, "s, {} KiB".format(printed // 1024))
    show("cluster describe", broker.run("cluster", "describe")[0], "s")
    show("stop", broker.end(signal.SIGTERM), "s")
    show("start after a clean stop", broker.start(), "s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--topics", type=int, default=0)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--idle-s", type=float, default=30)
    parser.add_argument("--dir", help="where the data directory is made [default: the system's for temporary files]")
    parser.add_argument("--nofile", type=int, help="the broker's limit of open files, soft and hard")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    place = tempfile.mkdtemp(prefix="broker-partitions-", dir=arguments.dir)
    broker = Broker(arguments.binary, os.path.join(place, "data"), arguments.nofile)
    try:
        broker.start()
        broker.end(signal.SIGTERM)
        starts = []
        for _ in range(5):
            starts.append(broker.start())
            time.sleep(0.5)
            broker.end(signal.SIGTERM)
        show("start of an empty broker, median of 5", sorted(starts)[2], "s")
        broker.start()
        time.sleep(SETTLE_S)
        base = show_memory(broker, "of an empty broker")
        idle_cpu(broker, arguments.idle_s, "of an empty broker")
        if arguments.connections:
            opened = idle_connections(broker, arguments.connections)
            time.sleep(1)
            show_memory(broker, "with {} idle connections".format(len(opened)), base, len(opened))
            for connection in opened:
                connection.close()
            time.sleep(0.5)
        if arguments.partitions:
            partitions(broker, arguments, base)
        if arguments.topics:
            topics(broker, arguments.topics)
    finally:
        if broker.process and broker.process.poll() is None:
            broker.process.kill()
            broker.process.wait()
        shutil.rmtree(place)


if __name__ == "__main__":
    main()

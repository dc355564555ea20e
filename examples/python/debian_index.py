"""Prints the machine's Debian package index as NDJSON, one package a record: real input for a first try.

    python3 debian_index.py [COUNT] > packages.ndjson

Every line is an object with `source` (the source package) and the fields of the index. With COUNT the
index is repeated, with a running `copy`, until there are so many lines. Needs a Debian or Ubuntu with
package lists (`apt-get update`).
"""

import json
import subprocess
import sys


def packages():
    """The stanzas of `apt-cache dumpavail` as dictionaries."""
    dump = subprocess.run(["apt-cache", "dumpavail"], check=True, stdout=subprocess.PIPE).stdout
    for stanza in dump.decode("utf-8", "replace").split("\n\n"):
        fields, last = {}, None
        for line in stanza.splitlines():
            if line.startswith((" ", "\t")) and last:
                fields[last] += "\n" + line.strip()
            elif ":" in line:
                last, _, value = line.partition(":")
                fields[last] = value.strip()
        if "Package" in fields:
            source = fields.get("Source", fields["Package"]).split(" ")[0]
            yield {"source": source, **fields}


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else None
    try:
        index = list(packages())
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit("this machine has no Debian package index: {}".format(error))
    if not index:
        sys.exit("the package index is empty: run `apt-get update`")
    for number in range(wanted if wanted is not None else len(index)):
        package = index[number % len(index)]
        if number >= len(index):
            package = {**package, "copy": number // len(index)}
        sys.stdout.write(json.dumps(package, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)

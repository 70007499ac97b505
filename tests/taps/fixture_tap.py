"""A Singer tap as the SDKs write them: --config, --discover, --catalog, --state; messages on stdout, logs on stderr.

What it sends is in its config: `streams`, by name, lists of records; `script`, lines to write as they are instead of records. With
a state it sends what comes after it, as an incremental tap does. `half_a_line`: what it writes last, without an end. `then`: how it goes on when all is written: `exit N`, `hang`,
`crash`; `children`: it starts a process of its own first and writes its id to that file.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def write(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def discover(config):
    return {
        "streams": [
            {
                "tap_stream_id": name,
                "stream": name,
                "key_properties": config.get("key", ["id"]),
                "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
                "metadata": [
                    {"breadcrumb": [], "metadata": {"table-key-properties": config.get("key", ["id"])}},
                    {"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "automatic"}},
                    {"breadcrumb": ["properties", "name"], "metadata": {"inclusion": "available"}},
                ],
            }
            for name in config["streams"]
        ]
    }


def is_selected(stream):
    return any(not one["breadcrumb"] and one["metadata"].get("selected") for one in stream["metadata"])


def sync(config, names, state):
    every = config.get("state_every", 1)
    marks = dict(state.get("bookmarks", {}))
    for name in names:
        write(type="SCHEMA", stream=name, schema={"type": "object"}, key_properties=config.get("key", ["id"]))
        if config.get("versions"):
            write(type="ACTIVATE_VERSION", stream=name, version=1)
        records = config["streams"][name]
        for at in range(marks.get(name, 0), len(records)):
            write(type="RECORD", stream=name, record=records[at], time_extracted="2026-01-01T00:00:00Z")
            if (at + 1) % every == 0:
                marks[name] = at + 1
                write(type="STATE", value={"bookmarks": marks})
            if str(at + 1) == os.environ.get("TAP_HANG_AFTER"):
                time.sleep(600)
    if config.get("last_state", True):
        write(type="STATE", value={"bookmarks": {name: len(config["streams"][name]) for name in names}})


def arguments_given():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--catalog")
    parser.add_argument("--state")
    parser.add_argument("--discover", action="store_true")
    return parser.parse_args()


def read(path, otherwise):
    return json.loads(Path(path).read_text()) if path else otherwise


def begin(config, given):
    """Say something, tell the test what is seen from here, start a process."""
    sys.stderr.write("".join(f"{line}\n" for line in config.get("say", [])))
    sys.stderr.flush()
    if "report" in config:
        seen = {
            "config": given.config,
            "mode": oct(Path(given.config).stat().st_mode & 0o777),
            "environment": dict(os.environ),
        }
        Path(config["report"]).write_text(json.dumps(seen))
    if "children" in config:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(config["children"]).write_text(f"{os.getpid()} {child.pid}")


def end(then):
    if then == "hang":
        time.sleep(600)
    if then == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    sys.exit(int(then.split()[1]))


def main():
    given = arguments_given()
    config = read(given.config, {})
    if given.discover:
        write(**discover(config))
        return
    begin(config, given)
    catalog = read(given.catalog, None)
    names = (
        [one["stream"] for one in catalog["streams"] if is_selected(one)]
        if catalog
        else config.get("streams", {})
    )
    if "script" in config:
        for line in config["script"]:
            sys.stdout.write(line + "\n")
        sys.stdout.write(config.get("half_a_line", ""))
        sys.stdout.flush()
    else:
        sync(config, list(names), read(given.state, {}))
    end(config.get("then", "exit 0"))


main()

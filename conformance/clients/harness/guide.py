"""Follows docs/partner-guide.md word by word: every tagged block is executed, once with each client.

A fence says who types it: `sh vendor`, `sh county`, or `sh vendor python` for whoever chose that client.
A `text expect` block holds lines that the block before must have printed (blanks do not count).
"""

import contextlib
import os
import re
import signal
import subprocess

from . import mistakes, tools
from .county import County, free_ports
from .vendor import Vendor

DOCS = tools.ROOT / "docs"
LANGUAGES = ("partner-guide.md", "partner-guide.zh-CN.md")
FENCE = re.compile(r"^```(sh|text) ([a-z ]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 600  # seconds for a whole guide, packages included


def blocks(text):
    return [(kind, tag.split(), body) for kind, tag, body in FENCE.findall(text)]


def script(found, client):
    """One shell session, with a mark before each block; the lines each block must print."""
    lines, expected = ["set -eu"], []
    for kind, tag, body in found:
        if kind == "text":
            expected[-1][1].extend(body.splitlines())
        elif len(tag) == 1 or tag[1] == client:
            lines += [f"echo '@@ {len(expected)}'", body]
            expected.append((body.splitlines()[0], []))
    return "\n".join(lines), expected


def follow_with(client, text, folder, program):
    """As a stranger would, who took this client; what went wrong, if anything did."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "tongban").symlink_to(program)
    (folder / "home").mkdir()
    door, local, console = (f"127.0.0.1:{port}" for port in free_ports(3))
    told, expected = script(blocks(text), client)
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SRC": str(tools.ROOT), "DOOR": door, "LOCAL": local, "CONSOLE": console}
    environment.pop("VIRTUAL_ENV", None)
    with subprocess.Popen(["bash", "-c", told], cwd=folder / "home", env=environment, text=True, start_new_session=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as shell:
        try:
            out, _ = shell.communicate(timeout=PATIENCE)
        finally:
            # The gateway of a session that broke off; gone already when all went well.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
    printed = re.split(r"^@@ \d+\n", out, flags=re.MULTILINE)[1:]
    squeezed = ["".join(part.split()) for part in printed]
    for at, (first, wanted) in enumerate(expected):
        if at >= len(printed):
            return f"stopped before: {first}\n{out[-3000:]}"
        for line in wanted:
            if "".join(line.split()) not in squeezed[at]:
                return f"{first}\n  did not print: {line}\n{printed[at]}"
    return None if shell.returncode == 0 else f"ended with {shell.returncode}\n{out[-3000:]}"


def follow(folder, program):
    """Whether both guides have the same commands, these work with each client, and the table of mistakes is true."""
    guides = {name: (DOCS / name).read_text() for name in LANGUAGES}
    first, second = (blocks(guides[name]) for name in LANGUAGES)
    fine = first == second
    if not fine:
        print("the commands of the two guides differ")
    for name, text in guides.items():
        for link in re.findall(r"\]\(([^)#]+)", text):
            if not (DOCS / link).exists():
                fine = False
                print(f"{name}: nothing stands at {link}")
    for client in tools.COMMANDS:
        fault = follow_with(client, guides[LANGUAGES[0]], folder / client, program)
        print(f"the guide with {client}: {'every command works' if fault is None else fault}", flush=True)
        fine = fine and fault is None
    county, ours = County(folder, program), Vendor(folder)
    county.run("partner", "add", ours.card_file, "--config", county.config)
    county.start()
    try:
        return mistakes.provoke(county, ours, guides) and fine
    finally:
        county.stop()

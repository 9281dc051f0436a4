"""What the clients need on this machine: brought under target/clients, from the system only when missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CLIENTS = Path(__file__).resolve().parent.parent
ROOT = CLIENTS.parent.parent
TARGET = ROOT / "target" / "clients"
VENV = TARGET / "venv"

# Program, and the Debian package that has it.
SYSTEM = {"openssl": "openssl", "curl": "curl", "jq": "jq", "java": "openjdk-17-jdk-headless", "javac": "openjdk-17-jdk-headless",
          "node": "nodejs", "npm": "npm", "basenc": "coreutils", "iconv": "libc-bin"}


def say(words):
    print(words, file=sys.stderr, flush=True)


def quiet(*command, cwd=None):
    """Runs what must succeed; shows its words only when it does not."""
    ran = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def missing_from_system():
    wanted = {package for program, package in SYSTEM.items() if shutil.which(program) is None}
    try:
        import ensurepip  # noqa: F401  Debian ships it apart from Python
    except ImportError:
        wanted.add("python3-venv")
    return sorted(wanted)


def bring():
    """Brings everything; leaves what is there."""
    if wanted := missing_from_system():
        say(f"installing {' '.join(wanted)}")
        quiet("apt-get", "update", "-q")
        quiet("apt-get", "install", "-y", "-q", "--no-install-recommends", *wanted)
    TARGET.mkdir(parents=True, exist_ok=True)
    requirements = CLIENTS / "python" / "requirements.txt"
    _fresh(VENV / "brought.txt", requirements.read_text(), _python)
    node = TARGET / "node"
    node.mkdir(exist_ok=True)
    # Node looks for packages beside the file: what runs is a copy beside node_modules.
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(CLIENTS / "node" / name, node / name)
    _fresh(node / "brought.txt", (node / "package-lock.json").read_text(),
           lambda: quiet("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=node))
    source = CLIENTS / "java" / "Client.java"
    _fresh(TARGET / "java" / "brought.txt", source.read_text(), lambda: quiet("javac", "-Xlint:all,-serial", "-Werror", "-d", TARGET / "java", source))


def _python():
    quiet(sys.executable, "-m", "venv", "--clear", VENV)
    quiet(VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", CLIENTS / "python" / "requirements.txt")


def _fresh(mark, wanted, bring_it):
    if not mark.is_file() or mark.read_text() != wanted:
        say(f"preparing {mark.parent.relative_to(ROOT)}")
        bring_it()
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(wanted)


def in_venv():
    """Goes on under the environment that has the pinned packages."""
    bring()
    if Path(sys.prefix).resolve() != VENV.resolve():
        python = str(VENV / "bin" / "python")
        os.execv(python, [python, *sys.argv])


def tongban():
    """The gateway that is played against."""
    program = Path(os.environ.get("TONGBAN", ROOT / "target" / "debug" / "tongban")).resolve()
    if not program.is_file():
        say(f"{program}: no gateway there; cargo build first, or say TONGBAN=…")
        raise SystemExit(64)
    return program


# How each client is called: once as a vendor would, then as fast as it goes.
COMMANDS = {
    "python": [str(VENV / "bin" / "python"), str(CLIENTS / "python" / "client.py")],
    "node": ["node", str(TARGET / "node" / "client.mjs")],
    "java": ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", str(TARGET / "java"), "Client"],
    "shell": [str(CLIENTS / "shell" / "client.sh")],
}
AS_PUBLISHED = {**COMMANDS, "java": ["java", str(CLIENTS / "java" / "Client.java")]}

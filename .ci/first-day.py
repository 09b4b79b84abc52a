"""Does what the README of a new project says, command by command, in the folder of that project.

python first-day.py FOLDER     with the programs `telephony` and `pytest` on PATH

A server is started, asked for the softphone's page, and stopped. Installations are left out.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

LEFT_OUT = ("pip ",)


def commands(readme: str) -> list[str]:
    """The lines of the blocks of shell commands, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"{shlex.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def serve(words: list[str]) -> None:
    process = subprocess.Popen([*words, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+/console/phone", line):
                with urllib.request.urlopen(found[0], timeout=30) as page:
                    assert page.status == 200, page.status
                break
        else:
            sys.exit(f"{shlex.join(words)} ended:\n{''.join(said)}")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def main(folder: str) -> None:
    os.chdir(folder)
    os.environ["PYTHONUNBUFFERED"] = "1"
    done = [line for line in commands(Path("README.md").read_text()) if not line.startswith(LEFT_OUT)]
    for line in done:
        words = shlex.split(line)
        if "CA0123" in words:  # a call of one's own: the demo made one
            words[words.index("CA0123")] = next(Path("calls").glob("CA*")).name
        (serve if words[:2] == ["telephony", "serve"] else run)(words)
        print(f"first day: {line}", flush=True)
    for wanted in ("telephony demo", "telephony serve", "pytest", "telephony eval", "telephony calls test add"):
        assert any(line.startswith(wanted) for line in done), wanted


main(*sys.argv[1:])

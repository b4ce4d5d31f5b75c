"""A page of documentation, typed as it stands: files written, lines run, answers compared.

What a block is, its info string says:

- ``python file: shop.py``: a file to write, in any language; ``append:`` adds to its end.
- ``sh``: lines to run. What installs Python packages is left out: this interpreter has them.
- ``sh keeps running``: a server, which runs on until the page is done. Port 8000 becomes a
  free one.
- ``console``: lines to run, each behind ``$``, and below each what it prints. ``…`` is any text,
  and in a line by itself any number of lines.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen
from markdown_it import MarkdownIt

INSTALLS = re.compile(r"^(?:mkdir |python3 -m venv |pip install ).*\n", re.MULTILINE)
FILE = re.compile(r"\w+ (file|append): (\S+)")


@frozen
class Block:
    info: str
    content: str
    line: int
    said_before: str
    """The paragraph before it."""


def blocks(markdown: str) -> Iterator[Block]:
    """Yield the blocks of a page that are to be typed, in order."""
    paragraph = ""
    for token in MarkdownIt("commonmark").parse(markdown):
        if token.type == "inline":
            paragraph = token.content
        if token.type == "fence":
            assert token.map is not None
            yield Block(token.info.strip(), token.content, token.map[0] + 1, paragraph)


def type_page(page: Path, folder: Path) -> None:
    """Type a page into an empty folder; fail where something else comes than it shows."""
    port = _free_port()

    def here(text: str) -> str:
        return text.replace("8000", str(port))

    with ExitStack() as running:
        for block in blocks(page.read_text("utf-8")):
            place = f"{page.name}, line {block.line}"
            if (named := FILE.fullmatch(block.info)) is not None:
                how, name = named.groups()
                assert f"`{name}`" in block.said_before, f"{place}: its reader is not told {name}"
                written = folder / name
                written.parent.mkdir(exist_ok=True)
                before = written.read_text("utf-8") if how == "append" else ""
                written.write_text(before + here(block.content), "utf-8")
            elif block.info == "sh":
                _run(here(INSTALLS.sub("", block.content)), folder, place)
            elif block.info == "sh keeps running":
                running.enter_context(_server(here(block.content), folder, port))
            elif block.info == "console":
                for command, shown in _conversation(here(block.content)):
                    printed = _run(command, folder, place)
                    wanted = re.escape(shown).replace("\\\n…", "(?s:.*)").replace("…", ".*")
                    assert re.fullmatch(wanted, printed.rstrip("\n")), f"{place}: {printed}"
            else:
                raise ValueError(f"{place}: nobody knows what to do with {block.info!r}")


def _conversation(text: str) -> Iterator[tuple[str, str]]:
    for turn in text.removeprefix("$ ").split("\n$ "):
        command, _, shown = turn.partition("\n")
        yield command, shown.rstrip("\n")


def _run(commands: str, folder: Path, place: str) -> str:
    shell = ["bash", "-eu", "-c", commands]
    ended = subprocess.run(
        shell,
        check=False,
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, f"{place}: {ended.stdout}{ended.stderr}"
    return ended.stdout


@contextmanager
def _server(command: str, folder: Path, port: int) -> Iterator[None]:
    log = folder / "server.log"
    with (
        log.open("w") as out,
        subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                out.write(line)
                if f":{port}" in line:  # it says where it is, just before or after it listens
                    break
            while not _listens(port):
                assert process.poll() is None, log.read_text()
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def _free_port() -> int:
    """Choose a port below those that a system hands out, so that nobody gets it meanwhile."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SEGMENTFLOW")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**ours, "PATH": programs, "PYTHONUNBUFFERED": "1"}

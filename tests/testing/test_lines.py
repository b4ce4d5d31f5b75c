"""A line that loses a question, or an answer, and its connection with it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest

from segmentflow_core.testing.lines import LossyLine


class Server:
    """Answers each question, and remembers what it was asked."""

    def __init__(self, listener):
        self.asked = []
        self._listener = listener
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def target(self):
        return self._listener.getsockname()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with suppress(OSError), client:
            while question := client.recv(100):
                self.asked.append(question)
                client.sendall(question.upper())


@pytest.fixture(params=["host-and-port", "unix-socket"])
def server(request, tmp_path):
    if request.param == "host-and-port":
        listener = socket.create_server(("127.0.0.1", 0))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        listener.listen()
    yield Server(listener)
    listener.close()


@pytest.fixture
def line(server):
    line = LossyLine(server.target)
    yield line
    line.close()


def ask(client, question):
    client.sendall(question)
    return client.recv(100)


def connected(line):
    return socket.create_connection(("127.0.0.1", line.port))


def test_what_is_not_lost_is_passed_on(line, server):
    with connected(line) as client:
        assert [ask(client, question) for question in (b"a", b"b")] == [b"A", b"B"]
    assert (line.lost, server.asked) == (0, [b"a", b"b"])


@pytest.mark.parametrize("answer", [False, True])
def test_the_chosen_exchange_is_lost_and_its_connection(line, server, answer):
    with connected(line) as client:
        assert ask(client, b"a") == b"A"
        line.lose(1, answer=answer)
        assert ask(client, b"b") == b"B"
        assert ask(client, b"c") == b""
    assert (line.lost, server.asked) == (1, [b"a", b"b", *([b"c"] if answer else [])])
    with connected(line) as client:
        assert ask(client, b"d") == b"D"
    assert line.lost == 1


def test_exchanges_of_all_connections_are_counted(line):
    with connected(line) as one, connected(line) as other:
        line.lose(1, answer=False)
        assert ask(one, b"a") == b"A"
        assert ask(other, b"b") == b""
        assert ask(one, b"c") == b"C"


def test_a_line_that_is_cut_lets_nobody_through_until_it_is_restored(line):
    with connected(line) as client:
        assert ask(client, b"a") == b"A"
        line.cut()
        assert client.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        connected(line)
    line.restore()
    with connected(line) as client:
        assert ask(client, b"b") == b"B"

"""A line to a server that can be cut: a TCP proxy on loopback for tests of lost connections.

It runs in a process of its own: a client that waits for an answer may hold Python's lock, under
which no thread of the same process would pass the answer on.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_BLOCK_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """A line to ``host``:``port`` through ``port`` of this object. Close it, or use ``with``."""

    def __init__(self, host: str, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._tell(""))

    def cut(self) -> None:
        """Drop every connection in the middle of what it says, and refuse new ones."""
        self._tell("cut\n")

    def drop(self) -> None:
        """Drop every connection; new ones are welcome."""
        self._tell("drop\n")

    def mend(self) -> None:
        """Take connections again, on the same port."""
        self._tell("mend\n")

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tell(self, word: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word)
        self._process.stdin.flush()
        return self._process.stdout.readline()


class _Passing:
    """Passes every byte on until it is cut; keeps its own port when mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._listen()

    def cut(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        for line in list(self._open):
            with suppress(OSError):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                line.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                here, _ = listener.accept()
                try:
                    there = socket.create_connection(self._target, 10.0)
                except OSError:
                    here.close()
                    continue
                there.settimeout(None)
                self._open |= {here, there}
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while block := one.recv(_BLOCK_BYTES):
                other.sendall(block)
        for line in (one, other):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._open.discard(one)
        one.close()


def main(host: str, port: str) -> None:
    """Do what standard input says, a word a line, and answer each with the port."""
    line = _Passing(host, int(port))
    print(line.port, flush=True)
    for word in sys.stdin:
        {"cut": line.cut, "drop": line.drop, "mend": line.mend}[word.strip()]()
        print(line.port, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

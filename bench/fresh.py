"""Fresh processes in milliseconds: a server that imported torch, and never computed, forks one for each profile.

    warden --parcel--> server --fork--> child: measures, answers with a record as JSON, ends

What a fit leaves behind in its process (memory held by allocators, threads, caches, a clock that has run hot) never
reaches a measurement, and the import of torch, seconds long, is paid once.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection, Pipe

from bench.limits import kill, thread_environment, tree
from bench.parcel import Parcel, pack, unpack
from bench.record import Record

PR_SET_PDEATHSIG = 1
"""From Linux's prctl.h: a child is killed when its parent goes."""


class FreshProcesses:
    """The server, started when first needed. One profile at a time."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._server: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Of the server; 0 while there is none."""
        return self._server.pid if self._server else 0

    def start(self) -> None:
        """Returns at once; the server imports meanwhile."""
        with self._lock:
            self._started()

    def profile(self, parcel: Parcel) -> Record | None:
        """The record; None if the process died, or was ended, while it measured."""
        with self._lock:
            connection = self._started()
            try:
                connection.send_bytes(pack(parcel))
                answer = connection.recv_bytes()
            except (EOFError, OSError):
                self._server = None
                return None
        return Record.model_validate_json(answer)

    def end(self) -> None:
        """Kills the server and what it is measuring."""
        if self._server:
            kill(tree(self._server.pid))
            self._server.wait()

    def _started(self) -> Connection:
        if self._server is None or self._server.poll() is not None or self._connection is None:
            self._connection, other = Pipe()
            words = [sys.executable, "-m", "bench.fresh", str(other.fileno())]
            # What this process can import, the server can, wherever the code was shipped to.
            environment = os.environ | thread_environment(self._threads) | {"PYTHONPATH": os.pathsep.join(sys.path)}
            self._server = subprocess.Popen(words, pass_fds=[other.fileno()], env=environment)
            other.close()
        return self._connection


# In the server -------------------------------------------------------------------------------------------------------


def serve(connection: Connection) -> None:
    """Forks a process for each parcel that comes, until the other end is gone or one of them has died."""
    _end_with_parent()
    # Imported, but nothing is computed here: a fork of threads that are at work would not be a fresh process.
    from bench.execution import measure_parcel

    while True:
        try:
            text = connection.recv_bytes()
        except (EOFError, OSError):
            return
        child = os.fork()
        if child:
            if os.waitpid(child, 0)[1]:
                # It may have sent its record, or half of it: an answer now would be taken for the next one's.
                return
            continue
        _end_with_parent()
        record = measure_parcel(unpack(text))
        connection.send_bytes(record.model_dump_json().encode())
        os._exit(0)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))

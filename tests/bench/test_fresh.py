"""A process that measures may be killed after its answer as well: the next one's must not be taken for it."""

import subprocess
import sys
from multiprocessing.connection import Pipe

import pytest

from bench import provenance, registry
from bench.execution import Execution, load_problem
from bench.grid import expand
from bench.parcel import Parcel, pack
from bench.record import Record
from bench.suite import parse_suite
from bench.trial import Trial

SERVER = """
import os, signal, sys
from multiprocessing.connection import Connection
from bench import fresh

os._exit = lambda code: os.kill(os.getpid(), signal.SIGKILL)  # Instead of a quiet end, once the record is sent.
fresh.serve(Connection(int(sys.argv[1])))
"""


def parcels(number: int) -> list[Parcel]:
    grid = [{"task": "toy", "methods": ["sample-mean"]}]
    suite = {"title": "t", "budget": "smoke", "seeds": number, "stages": ["fit", "evaluate", "profile"], "grid": grid}
    found = []
    for cell in expand(parse_suite(suite, "t", "t"), registry.load()):
        trial = Trial(cell=cell, origin=provenance.origin("t", "ray", ()))
        execution = Execution(trial, load_problem(trial))
        execution.work()
        parcel = execution.parcel()
        assert parcel
        found.append(parcel)
    return found


def test_a_profile_killed_after_its_answer_leaves_nothing_for_the_next_to_read() -> None:
    first, second = parcels(2)
    here, there = Pipe()
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(there.fileno())], pass_fds=[there.fileno()])
    there.close()
    try:
        here.send_bytes(pack(first))
        assert Record.model_validate_json(here.recv_bytes()).key == first.trial.cell.key
        # An end, not an answer: one for the first would put everything that follows one place off.
        with pytest.raises((EOFError, OSError)):
            here.send_bytes(pack(second))
            here.recv_bytes()
    finally:
        server.kill()
        server.wait()

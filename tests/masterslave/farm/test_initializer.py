"""What an initializer sets in the script's module is there for its tasks, as in the stdlib."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import Popen

SCRIPT = """
from functools import partial
from masterslave import Farm

model = None
calls = []

def prepare(size):
    global model, unset_before
    model = list(range(size))
    unset_before = "set"

def use(number):
    return model[number]

def use_through(number):
    return use(number) + len(unset_before)

def rest(number, add):
    return model[number] + add

class Reader:
    def __call__(self, number):
        return model[number]

with Farm("init", local_slaves=2, initializer=prepare, initargs=(50,)) as farm:
    print(farm.submit(use, 7).result(), list(farm.map(use_through, [1, 2])))
    print(farm.submit(partial(rest, add=100), 3).result(), farm.submit(Reader(), 9).result())
    print(list(farm.map(use, range(50))) == list(range(50)))
print(model)
"""


def test_a_global_that_the_initializer_sets(
    start_script: Callable[..., Popen[str]], tmp_path: object
) -> None:
    output, errors = start_script("-c", SCRIPT).communicate(timeout=30)
    assert output.split("\n") == ["7 [4, 5]", "103 9", "True", "None", ""], errors

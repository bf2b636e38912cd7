"""What the programs here have in common: who calls, and the checks, each on its own; the test reads the lines "ok NAME".

The environment has libpq's PGHOST, PGPORT, PGUSER and PGDATABASE, and CONTEXTS: a JSON object from a user to their context token.
"""

import asyncio
import inspect
import json
import os

CONTEXTS = json.loads(os.environ["CONTEXTS"])

# Each check, and the function of a program that makes it.
CHECKS = {
    "connect": "connects",
    "queries": "queries",
    "prepared": "prepared",
    "transactions": "transactions",
    "pipeline": "pipeline",
    "copy": "copies",
    "listen": "listens",
    "cancel": "cancels",
    "errors": "errors",
    "binary": "binary",
    "big rows": "big_rows",
    "pool": "pool",
}


def options(user):
    """The start-up options that say who is calling."""
    return f"-c bulkhead.context={CONTEXTS[user]}"


def fails(error, work, *arguments):
    try:
        work(*arguments)
    except error as caught:
        return caught
    raise AssertionError(f"{error} was expected")


def carry_out(program):
    """Every check of a program, given by its names; what is asynchronous has a loop of its own."""
    for name, function in CHECKS.items():
        check = program[function]
        if inspect.iscoroutinefunction(check):
            asyncio.run(check())
        else:
            check()
        print("ok", name, flush=True)

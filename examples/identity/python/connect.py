"""Each request has a connection of its own, which says at connect whose it is; the sidecar is the pool behind it.

SQLAlchemy over psycopg, without a pool. Each line of the input is one request's token.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import NullPool

token = ContextVar("token")

engine = create_engine("postgresql+psycopg://", poolclass=NullPool)  # where to: PGHOST, PGPORT, PGUSER, PGDATABASE
Session = sessionmaker(engine)


@event.listens_for(engine, "do_connect")
def say_whose(dialect, record, arguments, parameters):
    parameters["options"] = f"-c bulkhead.context={token.get()}"


def handle(request):
    token.set(request)
    with Session.begin() as session:
        session.execute(text("INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'hello')"))
        return session.scalars(text("SELECT DISTINCT owner FROM notes")).all()


with ThreadPoolExecutor(4) as threads:
    for owners in threads.map(handle, sys.stdin.read().split()):
        print(*owners)

"""Requests share a pool, and each transaction begins by saying whose it is.

SQLAlchemy over psycopg with its own pool. Each line of the input is one request's token.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import sessionmaker

token = ContextVar("token")

engine = create_engine("postgresql+psycopg://", pool_size=4, pool_pre_ping=True)  # where to: PGHOST, PGPORT, PGUSER, PGDATABASE
Session = sessionmaker(engine)


@event.listens_for(Session, "after_begin")
def say_whose(session, transaction, connection):
    connection.execute(text("SELECT set_config('bulkhead.context', :token, true)"), {"token": token.get()})


def handle(request):
    token.set(request)
    with Session.begin() as session:
        session.execute(text("INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'hello')"))
        return session.scalars(text("SELECT DISTINCT owner FROM notes")).all()


with ThreadPoolExecutor(4) as threads:
    for owners in threads.map(handle, sys.stdin.read().split()):
        print(*owners)

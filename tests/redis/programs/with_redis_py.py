"""redis-py, as an application uses it: a pool, pipelines, transactions, scans, blocking pops and subscriptions, in both versions of the protocol.

Arguments: the sidecar's port, the user, and "scripts" where the policy lets users run them. Prints "well" where everything behaved.
"""

import sys
import threading

import redis

PORT, USER = int(sys.argv[1]), sys.argv[2]
SCRIPTS = "scripts" in sys.argv


def client(protocol):
    return redis.Redis(
        host="127.0.0.1",
        port=PORT,
        username=f"default+{USER}",
        password="anything",
        protocol=protocol,
        decode_responses=True,
    )


def check(what, seen, wanted):
    if seen != wanted:
        raise SystemExit(f"{what}: {seen!r}, and not {wanted!r}")


def commands(it):
    check("SET", it.set("k", "v"), True)
    check("GET", it.get("k"), "v")
    it.hset("h", mapping={"a": "1", "b": "2"})
    check("HGETALL", it.hgetall("h"), {"a": "1", "b": "2"})
    it.delete("z")
    it.zadd("z", {"one": 1.5, "two": 2})
    check("ZRANGE", it.zrange("z", 0, -1, withscores=True)[0][0], "one")
    with it.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.set(f"p:{number}", number)
        check("pipeline", pipe.execute(), [True] * 1000)
    try:
        check("SCAN", len(list(it.scan_iter(match="p:*", count=100))), 1000)
    except redis.exceptions.NoPermissionError as error:
        # Where users have a Redis user of their own.
        check(str(error), "acl: PerUser" in str(error), True)
    check("DEL", it.delete(*[f"p:{number}" for number in range(1000)]), 1000)


def transactions(it):
    it.set("n", 1)

    def double(pipe):
        now = int(pipe.get("n"))
        pipe.multi()
        pipe.set("n", now * 2)

    it.transaction(double, "n")
    check("WATCH and EXEC", it.get("n"), "2")


def blocking(it):
    it.delete("list")
    timer = threading.Timer(0.3, lambda: it.rpush("list", "one"))
    timer.start()
    check("BLPOP", list(it.blpop("list", timeout=10)), ["list", "one"])
    timer.join()


def subscriptions(it):
    listens = it.pubsub()
    listens.subscribe("news")
    check("SUBSCRIBE", listens.get_message(timeout=10)["type"], "subscribe")
    check("PUBLISH", it.publish("news", "hello"), 1)
    message = listens.get_message(timeout=10)
    check("message", (message["channel"], message["data"]), ("news", "hello"))
    listens.unsubscribe("news")
    check("UNSUBSCRIBE", listens.get_message(timeout=10)["type"], "unsubscribe")
    listens.close()


def scripts(it):
    if not SCRIPTS:
        return
    it.delete("counted")
    count = it.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    for round in (1, 2, 3):
        check("EVALSHA", count(keys=["counted"], args=[2]), round * 2)
    with it.lock("lock", timeout=10):
        check("a lock is held", it.lock("lock").acquire(blocking=False), False)


def threads(it):
    """More threads than the user has connections."""
    it.set("count", 0)

    def work():
        for _ in range(50):
            it.incr("count")

    workers = [threading.Thread(target=work) for _ in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    check("12 threads", it.get("count"), "600")


for version in (2, 3):
    of_user = client(version)
    for part in (commands, transactions, blocking, subscriptions, scripts, threads):
        part(of_user)
    of_user.close()
print("well")

"""Drives a server with redis-py, in both protocols: redis_py.py PORT."""

import sys

import redis


def expect(found, expected, what):
    if found != expected:
        sys.exit(f"FAILED: {what}: {found!r} instead of {expected!r}")


def expect_error(call, text):
    try:
        found = call()
    except redis.exceptions.ResponseError as error:
        if text not in str(error):
            sys.exit(f"FAILED: the error {error!s} does not contain {text!r}")
    else:
        sys.exit(f"FAILED: an error with {text!r} was expected, not {found!r}")


def strings(client):
    expect(client.ping(), True, "PING")
    expect(client.set("key", "value"), True, "SET")
    expect(client.get("key"), b"value", "GET")
    expect(client.get("missing"), None, "GET of nothing")
    expect(client.set("key", "other", nx=True), None, "SET NX")
    expect(client.set("key", "new", get=True), b"value", "SET GET")
    expect(client.mset({"a": 1, "b": 2}), True, "MSET")
    expect(client.mget("a", "missing", "b"), [b"1", None, b"2"], "MGET")
    expect(client.append("text", "ab"), 2, "APPEND")
    expect(client.strlen("text"), 2, "STRLEN")
    expect(client.type("text"), b"string", "TYPE")
    expect(client.exists("a", "b", "missing"), 2, "EXISTS")
    expect(client.delete("a", "b", "missing"), 2, "DEL")
    expect([client.incr("n"), client.incr("n", 41), client.decr("n", 2)], [1, 42, 40], "INCR, INCRBY, DECRBY")


def binary_values(client):
    every_byte = bytes(range(256))
    client.set(every_byte, every_byte)
    expect(client.get(every_byte), every_byte, "every byte")
    large = b"\x00\xff\r\n" * 250_000
    client.set("large", large)
    expect(client.get("large"), large, "a megabyte")
    client.set("empty", b"")
    expect(client.get("empty"), b"", "an empty value")


def pipelines(client):
    with client.pipeline(transaction=False) as pipeline:
        for number in range(1000):
            pipeline.set(f"pipeline:{number}", number)
            pipeline.get(f"pipeline:{number}")
            pipeline.incr("pipeline:count")
        replies = pipeline.execute()
    expect(replies[1::3], [str(number).encode() for number in range(1000)], "a pipeline's GETs")
    expect(replies[2::3], list(range(1, 1001)), "a pipeline's INCRs")
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set("text", "hello").incr("text").get("text")
        replies = pipeline.execute(raise_on_error=False)
    expect([replies[0], replies[2]], [True, b"hello"], "around an error")
    expect(isinstance(replies[1], redis.exceptions.ResponseError), True, "an error in a pipeline")


def scans(client):
    expected = {f"pipeline:{number}".encode() for number in range(1000)} | {b"pipeline:count"}
    expect(set(client.scan_iter(match="pipeline:*", count=100)), expected, "SCAN")
    found = client.execute_command("RANGE", "pipeline:10", "pipeline:11", "KEYS")
    numbers = sorted(str(number).encode() for number in range(1000) if str(number).startswith("10"))
    expect(found, [b"pipeline:" + number for number in numbers], "RANGE")


def errors(client):
    client.set("text", "hello")
    expect_error(lambda: client.incr("text"), "value is not an integer or out of range")
    expect_error(lambda: client.execute_command("NOSUCH"), "unknown command")
    expect_error(lambda: client.execute_command("GET"), "wrong number of arguments")
    expect_error(lambda: client.select(99), "DB index is out of range")


def server(client):
    info = client.info()
    expect((info["loading"], info["cluster_enabled"], info["role"]), (0, 0, "master"), "INFO")
    expect(len(client.time()), 2, "TIME")
    expect(client.client_setname("judge"), True, "CLIENT SETNAME")
    expect("judge" in {one["name"] for one in client.client_list()}, True, "CLIENT LIST")
    expect(isinstance(client.config_get("save"), dict), True, "CONFIG GET")
    expect("get" in {name.lower() for name in client.command()}, True, "COMMAND")
    expect(client.dbsize() > 0, True, "DBSIZE")


def main(port):
    for protocol in (2, 3):
        # One connection, so that CLIENT SETNAME and CLIENT LIST speak of the same one.
        client = redis.Redis(port=port, protocol=protocol, single_connection_client=True)
        expect(client.flushall(), True, "FLUSHALL")
        for part in (strings, binary_values, pipelines, scans, errors, server):
            part(client)
        decoding = redis.Redis(port=port, protocol=protocol, decode_responses=True)
        decoding.set("greek", "ἀρχή")
        expect(decoding.get("greek"), "ἀρχή", "text in UTF-8")
        print(f"redis-py {redis.__version__}, protocol {protocol}: all as expected")


main(int(sys.argv[1]))

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
    expect(client.set("key", "other", nx=True), None, "SET NX of a key that exists")
    expect(client.set("missing", "value", xx=True), None, "SET XX of a key that does not")
    expect(client.set("key", "new", xx=True, get=True), b"value", "SET XX GET")
    expect(client.get("key"), b"new", "GET after SET XX")
    expect([client.setnx("once", 1), client.setnx("once", 2)], [True, False], "SETNX")
    expect([client.getset("once", 3), client.getdel("once"), client.getdel("once")], [b"1", b"3", None], "GETDEL")
    expect(client.mset({"a": 1, "b": 2}), True, "MSET")
    expect(client.mget("a", "missing", "b"), [b"1", None, b"2"], "MGET")
    expect(client.append("text", "ab"), 2, "APPEND")
    expect(client.strlen("text"), 2, "STRLEN")
    expect(client.type("text"), b"string", "TYPE")
    expect(client.exists("a", "b", "missing"), 2, "EXISTS")
    expect(client.delete("a", "b", "missing"), 2, "DEL")
    expect(client.msetnx({"a": 1, "once": 2}), True, "MSETNX")
    expect(client.msetnx({"a": 5, "other": 6}), False, "MSETNX of a key that exists")
    expect(client.unlink("a", "once", "other"), 2, "UNLINK")
    expect([client.incrbyfloat("f", 0.1), client.incrbyfloat("f", 2)], [0.1, 2.1], "INCRBYFLOAT")
    expect(client.setrange("range", 3, "abc"), 6, "SETRANGE")
    expect(client.getrange("range", -4, -1), b"\x00abc", "GETRANGE")
    expect(client.substr("range", 3, 4), b"ab", "SUBSTR")
    client.mset({"one": "ohmytext", "two": "mynewtext"})
    expect(client.lcs("one", "two"), b"mytext", "LCS")
    expect(client.lcs("one", "two", len=True), 6, "LCS LEN")
    expect([client.incr("n"), client.incr("n", 41), client.decr("n", 2)], [1, 42, 40], "INCR, INCRBY, DECRBY")


def bits(client):
    expect([client.setbit("bits", 7, 1), client.setbit("bits", 7, 1), client.getbit("bits", 7)], [0, 1, 1], "SETBIT")
    client.set("mask", b"\xff\xf0\x00")
    expect([client.bitcount("mask"), client.bitcount("mask", 8, 11, "BIT")], [12, 4], "BITCOUNT")
    expect([client.bitpos("mask", 0), client.bitpos("mask", 1, 2)], [12, -1], "BITPOS")
    expect(client.bitop("AND", "both", "bits", "mask"), 3, "BITOP")
    expect(client.get("both"), b"\x01\x00\x00", "GET after BITOP")
    field = client.bitfield("field", default_overflow="SAT")
    expect(field.set("u8", 0, 250).incrby("u8", 0, 10).get("i4", "#1").execute(), [0, 255, -1], "BITFIELD")
    expect(client.bitfield_ro("field", "u8", 0), [255], "BITFIELD_RO")


def keys(client):
    client.flushdb()
    client.mset({"key:1": "one", "key:2": 2, "other": "x" * 50})
    expect(sorted(client.keys("key:?")), [b"key:1", b"key:2"], "KEYS")
    expect(client.randomkey() in {b"key:1", b"key:2", b"other"}, True, "RANDOMKEY")
    expect(client.touch("key:1", "missing"), 1, "TOUCH")
    encodings = [client.object("encoding", key) for key in ("key:1", "key:2", "other")]
    expect(encodings, [b"embstr", b"int", b"raw"], "OBJECT ENCODING")
    expect(client.memory_usage("other") > 50, True, "MEMORY USAGE")
    expect(client.rename("key:1", "moved"), True, "RENAME")
    expect(client.renamenx("moved", "other"), False, "RENAMENX")
    expect_error(lambda: client.rename("missing", "x"), "no such key")
    expect([client.copy("moved", "copied"), client.copy("moved", "copied")], [True, False], "COPY")
    expect(client.copy("moved", "copied", destination_db=9), True, "COPY to another database")
    expect([client.move("moved", 9), client.move("moved", 9)], [True, False], "MOVE")
    expect(client.swapdb(0, 9), True, "SWAPDB")
    expect(sorted(client.keys()), [b"copied", b"moved"], "KEYS after SWAPDB")
    expect(client.swapdb(0, 9), True, "SWAPDB back")
    dump = client.dump("other")
    expect(client.restore("restored", 0, dump), b"OK", "RESTORE")
    expect(client.get("restored"), b"x" * 50, "GET after RESTORE")
    expect_error(lambda: client.restore("restored", 0, dump), "BUSYKEY")
    expect_error(lambda: client.restore("bad", 0, dump[:-1] + b"?"), "DUMP payload version or checksum are wrong")
    expect(client.dbsize(), 4, "DBSIZE")
    expect(client.flushdb(asynchronous=True), True, "FLUSHDB ASYNC")
    expect(client.dbsize(), 0, "DBSIZE after FLUSHDB")


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
    expect(client.command_count() > 50, True, "COMMAND COUNT")
    expect(len(client.command_getkeys("MSET", "a", 1, "b", 2)), 2, "COMMAND GETKEYS")
    expect(client.client_id() in {int(one["id"]) for one in client.client_list()}, True, "CLIENT ID")
    expect(client.client_info()["name"], "judge", "CLIENT INFO")
    expect(client.client_unpause(), b"OK", "CLIENT UNPAUSE")
    expect(client.config_resetstat(), True, "CONFIG RESETSTAT")
    expect(client.role()[0], b"master", "ROLE")
    expect(client.wait(0, 10), 0, "WAIT")
    expect(client.slowlog_reset(), True, "SLOWLOG RESET")
    expect(isinstance(client.slowlog_len(), int), True, "SLOWLOG LEN")
    expect(client.function_flush(), True, "FUNCTION FLUSH")
    expect(client.lastsave().year > 2000, True, "LASTSAVE")
    expect(client.echo("hello"), b"hello", "ECHO")
    expect(client.dbsize() > 0, True, "DBSIZE")


def main(port):
    for protocol in (2, 3):
        # One connection, so that CLIENT SETNAME and CLIENT LIST speak of the same one.
        client = redis.Redis(port=port, protocol=protocol, single_connection_client=True)
        expect(client.flushall(), True, "FLUSHALL")
        for part in (strings, bits, keys, binary_values, pipelines, scans, errors, server):
            part(client)
        decoding = redis.Redis(port=port, protocol=protocol, decode_responses=True)
        decoding.set("greek", "ἀρχή")
        expect(decoding.get("greek"), "ἀρχή", "text in UTF-8")
        print(f"redis-py {redis.__version__}, protocol {protocol}: all as expected")


main(int(sys.argv[1]))

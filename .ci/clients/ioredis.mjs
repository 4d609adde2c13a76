// Drives a server with ioredis: node ioredis.mjs PORT, where ioredis is installed.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import process from "node:process";

const require = createRequire(`${process.cwd()}/`);
const Redis = require("ioredis");

async function strings(client) {
    assert.equal(await client.ping(), "PONG");
    assert.equal(await client.set("key", "value"), "OK");
    assert.equal(await client.set("key", "other", "NX"), null);
    assert.equal(await client.set("key", "new", "XX", "GET"), "value");
    assert.equal(await client.get("key"), "new");
    assert.equal(await client.get("missing"), null);
    assert.deepEqual([await client.setnx("once", 1), await client.setnx("once", 2)], [1, 0]);
    assert.deepEqual([await client.getset("once", 3), await client.getdel("once")], ["1", "3"]);
    assert.equal(await client.mset({ a: 1, b: 2 }), "OK");
    assert.equal(await client.msetnx("a", 5, "c", 6), 0);
    assert.deepEqual(await client.mget("a", "c", "b"), ["1", null, "2"]);
    assert.deepEqual([await client.incr("a"), await client.incrby("a", 41), await client.decrby("a", 3)], [2, 43, 40]);
    assert.equal(await client.incrbyfloat("f", 0.1), "0.1");
    assert.deepEqual([await client.append("text", "hello"), await client.strlen("text")], [5, 5]);
    assert.equal(await client.setrange("text", 1, "a"), 5);
    assert.equal(await client.getrange("text", 0, -2), "hall");
    assert.equal(await client.lcs("text", "key", "LEN"), 0);
}

async function bits(client) {
    assert.deepEqual([await client.setbit("bits", 7, 1), await client.getbit("bits", 7)], [0, 1]);
    assert.deepEqual([await client.bitcount("bits"), await client.bitpos("bits", 1)], [1, 7]);
    assert.equal(await client.bitop("NOT", "not", "bits"), 1);
    assert.deepEqual(await client.getBuffer("not"), Buffer.from([0xfe]));
    assert.deepEqual(await client.bitfield("field", "SET", "u8", 0, 200, "GET", "u4", 0), [0, 12]);
}

async function binaryValues(client) {
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    await client.set(everyByte, everyByte);
    assert.deepEqual(await client.getBuffer(everyByte), everyByte);
    const large = Buffer.alloc(1_000_000, "\r\n$-1");
    await client.set("large", large);
    assert.deepEqual(await client.getBuffer("large"), large);
    await client.set("greek", "ἀρχή");
    assert.equal(await client.get("greek"), "ἀρχή");
}

async function keys(client) {
    await client.flushdb();
    await Promise.all(Array.from({ length: 1000 }, (_, n) => client.set(`key:${n}`, n)));
    const scanned = new Set();
    for await (const found of client.scanStream({ match: "key:*", count: 100 })) {
        found.forEach((key) => scanned.add(key));
    }
    assert.equal(scanned.size, 1000);
    assert.equal((await client.keys("key:1?")).length, 10);
    assert.deepEqual([await client.del("key:0", "missing"), await client.unlink("key:1")], [1, 1]);
    assert.equal(await client.exists("key:2", "key:2", "key:0"), 2);
    assert.deepEqual([await client.rename("key:2", "moved"), await client.renamenx("moved", "key:3")], ["OK", 0]);
    assert.deepEqual([await client.copy("moved", "copied"), await client.move("moved", 9)], [1, 1]);
    assert.deepEqual([await client.type("copied"), await client.object("ENCODING", "copied")], ["string", "int"]);
    assert.equal(await client.restore("restored", 0, await client.dumpBuffer("copied")), "OK");
    assert.equal(await client.get("restored"), "2");
    assert.equal(await client.dbsize(), 999);
}

async function pipelines(client) {
    const pipeline = client.pipeline();
    for (let n = 0; n < 1000; n += 1) {
        pipeline.set(`pipeline:${n}`, n).get(`pipeline:${n}`).incr("pipeline:count");
    }
    const replies = await pipeline.exec();
    assert.ok(replies.every(([error]) => error === null));
    assert.deepEqual(replies.filter((_, n) => n % 3 === 2).map(([, n]) => n), Array.from({ length: 1000 }, (_, n) => n + 1));
}

async function errors(client) {
    await client.set("text", "hello");
    await assert.rejects(client.incr("text"), /value is not an integer or out of range/);
    await assert.rejects(client.call("NOSUCH"), /unknown command/);
    await assert.rejects(client.call("GET"), /wrong number of arguments/);
    await assert.rejects(client.select(99), /DB index is out of range/);
    assert.equal(await client.get("text"), "hello");
}

async function server(client) {
    assert.match(await client.info(), /redis_version:/);
    assert.equal(await client.client("SETNAME", "judge"), "OK");
    assert.match(await client.client("LIST"), /name=judge/);
    assert.ok((await client.command("COUNT")) > 50);
    assert.ok((await client.config("GET", "save")).length > 0);
    assert.equal((await client.role())[0], "master");
    assert.equal((await client.time()).length, 2);
}

// The ready check of ioredis is an INFO; with lazyConnect a failure to connect ends the program.
const client = new Redis({ port: Number(process.argv[2]), lazyConnect: true, maxRetriesPerRequest: 1 });
await client.connect();
await client.flushall();
for (const part of [strings, bits, binaryValues, keys, pipelines, errors, server]) {
    await part(client);
}
await client.flushall();
await client.quit();
console.log(`ioredis ${require("ioredis/package.json").version}: all as expected`);

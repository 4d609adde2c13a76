// Drives a server with node-redis, in both protocols: node node_redis.mjs PORT, where redis is installed.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import process from "node:process";

const require = createRequire(`${process.cwd()}/`);
const { createClient, RESP_TYPES } = require("redis");

async function strings(client) {
    assert.equal(await client.ping(), "PONG");
    assert.equal(await client.set("key", "value"), "OK");
    assert.equal(await client.set("key", "other", { condition: "NX" }), null);
    assert.equal(await client.set("key", "new", { condition: "XX", GET: true }), "value");
    assert.equal(await client.get("key"), "new");
    assert.equal(await client.get("missing"), null);
    assert.deepEqual([await client.setNX("once", "1"), await client.setNX("once", "2")], [1, 0]);
    assert.deepEqual([await client.getSet("once", "3"), await client.getDel("once")], ["1", "3"]);
    assert.equal(await client.mSet({ a: "1", b: "2" }), "OK");
    assert.equal(await client.mSetNX({ a: "5", c: "6" }), 0);
    assert.deepEqual(await client.mGet(["a", "c", "b"]), ["1", null, "2"]);
    assert.deepEqual([await client.incr("a"), await client.incrBy("a", 41), await client.decrBy("a", 3)], [2, 43, 40]);
    assert.equal(await client.incrByFloat("f", 0.1), "0.1");
    assert.deepEqual([await client.append("text", "hello"), await client.strLen("text")], [5, 5]);
    assert.equal(await client.setRange("text", 1, "a"), 5);
    assert.equal(await client.getRange("text", 0, -2), "hall");
    await client.mSet({ one: "ohmytext", two: "mynewtext" });
    assert.equal(await client.lcs("one", "two"), "mytext");
    const { matches, len } = await client.lcsIdx("one", "two", { MINMATCHLEN: 4 });
    assert.deepEqual([matches, len], [[[[4, 7], [5, 8]]], 6]);
}

async function bits(client) {
    assert.deepEqual([await client.setBit("bits", 7, 1), await client.getBit("bits", 7)], [0, 1]);
    assert.deepEqual([await client.bitCount("bits"), await client.bitPos("bits", 1)], [1, 7]);
    assert.equal(await client.bitOp("OR", "or", ["bits", "missing"]), 1);
    const field = [
        { operation: "SET", encoding: "u8", offset: 0, value: 200 },
        { operation: "GET", encoding: "u4", offset: 0 },
    ];
    assert.deepEqual(await client.bitField("field", field), [0, 12]);
}

async function binaryValues(client) {
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    await bytes.set(everyByte, everyByte);
    assert.deepEqual(await bytes.get(everyByte), everyByte);
    const large = Buffer.alloc(1_000_000, "\r\n$-1");
    await bytes.set("large", large);
    assert.deepEqual(await bytes.get("large"), large);
    await client.set("greek", "ἀρχή");
    assert.equal(await client.get("greek"), "ἀρχή");
    assert.equal(await bytes.restore("restored", 0, await bytes.dump("greek")), "OK");
    assert.equal(await client.get("restored"), "ἀρχή");
}

async function keys(client) {
    await client.flushDb();
    // Sent without waiting: node-redis makes one pipeline of them.
    await Promise.all(Array.from({ length: 1000 }, (_, n) => client.set(`key:${n}`, String(n))));
    const scanned = new Set();
    for await (const found of client.scanIterator({ MATCH: "key:*", COUNT: 100 })) {
        found.forEach((key) => scanned.add(key));
    }
    assert.equal(scanned.size, 1000);
    assert.equal((await client.keys("key:1?")).length, 10);
    assert.deepEqual([await client.del(["key:0", "missing"]), await client.unlink("key:1")], [1, 1]);
    assert.equal(await client.exists(["key:2", "key:2", "key:0"]), 2);
    assert.deepEqual([await client.rename("key:2", "moved"), await client.renameNX("moved", "key:3")], ["OK", 0]);
    assert.deepEqual([await client.copy("moved", "copied"), await client.move("moved", 9)], [1, 1]);
    assert.deepEqual([await client.type("copied"), await client.objectEncoding("copied")], ["string", "int"]);
    assert.equal(await client.dbSize(), 998);
}

async function errors(client) {
    await client.set("text", "hello");
    await assert.rejects(client.incr("text"), /value is not an integer or out of range/);
    await assert.rejects(client.sendCommand(["NOSUCH"]), /unknown command/);
    await assert.rejects(client.sendCommand(["GET"]), /wrong number of arguments/);
    assert.equal(await client.get("text"), "hello");
}

async function server(client) {
    assert.match(await client.info(), /redis_version:/);
    assert.equal(await client.clientSetName("judge"), "OK");
    assert.equal((await client.clientInfo()).name, "judge");
    assert.ok((await client.commandCount()) > 50);
    assert.deepEqual(await client.commandGetKeys(["MSET", "a", "1", "b", "2"]), ["a", "b"]);
    assert.ok("save" in (await client.configGet("save")));
    assert.equal((await client.role()).role, "master");
}

for (const RESP of [2, 3]) {
    const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}`, RESP, socket: { reconnectStrategy: false } });
    await client.connect();
    await client.flushAll();
    for (const part of [strings, bits, binaryValues, keys, errors, server]) {
        await part(client);
    }
    await client.flushAll();
    await client.close();
    console.log(`node-redis ${require("redis/package.json").version}, protocol ${RESP}: all as expected`);
}

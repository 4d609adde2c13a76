//! OBJECT and MEMORY.

use super::*;

#[test]
fn object_tells_how_redis_would_keep_a_value() {
    let mut bench = Bench::new();
    let (embedded, raw) = ("x".repeat(44), "x".repeat(45));
    bench.run(&format!(
        "MSET int 9223372036854775807 text abc small 9999 large 10000 emb {embedded} raw {raw}"
    ));
    bench.check(&[
        ("OBJECT ENCODING int", "\"int\""),
        ("OBJECT encoding text", "\"embstr\""),
        ("OBJECT ENCODING emb", "\"embstr\""),
        ("OBJECT ENCODING raw", "\"raw\""),
        ("OBJECT ENCODING none", "nil"),
        ("OBJECT REFCOUNT small", ":2147483647"),
        ("OBJECT REFCOUNT large", ":1"),
        ("OBJECT REFCOUNT none", "nil"),
        ("OBJECT IDLETIME int", ":0"),
        ("OBJECT IDLETIME none", "nil"),
        ("OBJECT FREQ none", "nil"),
        ("OBJECT", "-ERR wrong number of arguments for 'object' command"),
        ("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"),
        ("OBJECT HELP x", "-ERR wrong number of arguments for 'object|help' command"),
        ("OBJECT foo", "-ERR unknown subcommand 'foo'. Try OBJECT HELP."),
    ]);
    assert!(bench.run("OBJECT FREQ int").starts_with("-ERR An LFU maxmemory policy is not selected"));
    assert!(bench.run("OBJECT HELP").starts_with("[15 +OBJECT <subcommand>"));
}

#[test]
fn memory_usage_is_what_the_engine_is_handed() {
    let mut bench = Bench::new();
    bench.check(&[
        ("SET key value", "+OK"),
        ("MEMORY USAGE key", ":11"),
        ("MEMORY USAGE key SAMPLES 0", ":11"),
        ("MEMORY USAGE none", "nil"),
        ("MEMORY USAGE", "-ERR wrong number of arguments for 'memory|usage' command"),
        ("MEMORY USAGE key SAMPLES", "-ERR syntax error"),
        ("MEMORY USAGE key SAMPLES -1", "-ERR syntax error"),
        ("MEMORY USAGE key SAMPLES x", "-ERR value is not an integer or out of range"),
        ("MEMORY USAGE none foo 1", "-ERR syntax error"),
        ("MEMORY foo", "-ERR unknown subcommand 'foo'. Try MEMORY HELP."),
    ]);
    let stored: usize =
        bench.engine.map().iter().filter(|(key, _)| key[0] == 1).map(|(k, v)| k.len() + v.len()).sum();
    assert_eq!(stored, 11);
    assert!(bench.run("MEMORY HELP").starts_with("[7 +MEMORY"));
}

//! Programs that talk through redis-rs find what they would find in Redis, in both protocols and on every engine.

use std::net::TcpListener;
use std::time::Duration;

use e2e::{Config, Server};
use redis::{Commands, Connection, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisResult};

use crate::engines::on_every_engine;

on_every_engine!(redis_rs_finds_redis);

fn connect(server: &Server, protocol: ProtocolVersion) -> Connection {
    let info = format!("redis://{}", server.address()).into_connection_info().unwrap();
    let settings = info.redis_settings().clone().set_protocol(protocol);
    let client = redis::Client::open(info.set_redis_settings(settings)).unwrap();
    client.get_connection_with_timeout(Duration::from_secs(60)).unwrap()
}

fn redis_rs_finds_redis(config: Config) {
    let server = Server::start(config);
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let mut client = connect(&server, protocol);
        redis::cmd("FLUSHALL").exec(&mut client).unwrap();
        strings(&mut client).unwrap();
        bits(&mut client).unwrap();
        keys(&mut client).unwrap();
        pipelines(&mut client).unwrap();
        errors(&mut client);
    }
}

fn strings(client: &mut Connection) -> RedisResult<()> {
    () = client.set("text", "hello")?;
    assert_eq!(client.get::<_, Option<String>>("text")?, Some("hello".to_string()));
    assert_eq!(client.get::<_, Option<String>>("missing")?, None);
    assert!(client.set_nx::<_, _, bool>("once", 1)? && !client.set_nx::<_, _, bool>("once", 2)?);
    assert_eq!(client.getset::<_, _, Option<i64>>("once", 3)?, Some(1));
    assert_eq!(client.get_del::<_, Option<i64>>("once")?, Some(3));
    () = client.mset(&[("a", 1), ("b", 2)])?;
    assert!(!client.mset_nx::<_, _, bool>(&[("b", 5), ("c", 6)])?);
    assert_eq!(client.mget::<_, Vec<Option<i64>>>(&["a", "c", "b"])?, [Some(1), None, Some(2)]);
    assert_eq!(client.incr::<_, _, i64>("a", 41)?, 42);
    assert_eq!(client.decr::<_, _, i64>("a", 2)?, 40);
    assert_eq!(client.incr::<_, _, f64>("f", 0.25)?, 0.25);
    assert_eq!(client.append::<_, _, usize>("text", " world")?, 11);
    assert_eq!(client.strlen::<_, usize>("text")?, 11);
    assert_eq!(client.getrange::<_, String>("text", -5, -1)?, "world");
    assert_eq!(client.setrange::<_, _, usize>("text", 6, "there")?, 11);
    let every_byte: Vec<u8> = (0..=255).collect();
    () = client.set(&every_byte, &every_byte)?;
    assert_eq!(client.get::<_, Vec<u8>>(&every_byte)?, every_byte);
    Ok(())
}

fn bits(client: &mut Connection) -> RedisResult<()> {
    assert!(!client.setbit::<_, bool>("bits", 7, true)? && client.getbit::<_, bool>("bits", 7)?);
    assert_eq!(client.bitcount::<_, u64>("bits")?, 1);
    () = client.set("other", [0xF0_u8].as_slice())?;
    assert_eq!(client.bit_or::<_, _, u64>("both", &["bits", "other"])?, 1);
    assert_eq!(client.get::<_, Vec<u8>>("both")?, [0xF1]);
    Ok(())
}

fn keys(client: &mut Connection) -> RedisResult<()> {
    redis::cmd("FLUSHDB").exec(client)?;
    for n in 0..100 {
        () = client.set(format!("key:{n}"), n)?;
    }
    let mut scanned: Vec<String> = client.scan_match("key:1*")?.collect::<RedisResult<_>>()?;
    let mut listed: Vec<String> = client.keys("key:1*")?;
    scanned.sort();
    listed.sort();
    assert_eq!((scanned.len(), &scanned), (11, &listed));
    assert_eq!(client.del::<_, i64>(&["key:0", "key:1", "missing"])?, 2);
    assert_eq!(client.exists::<_, i64>(&["key:2", "key:2", "missing"])?, 2);
    () = client.rename("key:2", "moved")?;
    assert!(!client.rename_nx::<_, _, bool>("moved", "key:3")?);
    assert_eq!(client.get::<_, i64>("moved")?, 2);
    assert!(client.copy::<_, _, _, bool>("moved", "copied", redis::CopyOptions::default())?);
    assert_eq!(client.object_encoding::<_, Option<String>>("copied")?.as_deref(), Some("int"));
    assert_eq!(redis::cmd("DBSIZE").query::<usize>(client)?, 99);
    Ok(())
}

fn pipelines(client: &mut Connection) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    for n in 0..500 {
        pipeline.set(format!("p:{n}"), n).ignore().get(format!("p:{n}")).incr("count", 1);
    }
    let replies: Vec<i64> = pipeline.query(client)?;
    let expected: Vec<i64> = (0..500).flat_map(|n| [n, n + 1]).collect();
    assert_eq!(replies, expected);
    () = client.del("count")?;
    Ok(())
}

fn errors(client: &mut Connection) {
    () = client.set("text", "hello").unwrap();
    let error = client.incr::<_, _, i64>("text", 1).unwrap_err();
    assert!(error.to_string().contains("value is not an integer or out of range"), "{error}");
    let error = redis::cmd("NOSUCH").exec(client).unwrap_err();
    assert!(error.to_string().contains("unknown command"), "{error}");
    let error = client.get::<_, i64>("text").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parse);
    assert!(redis::cmd("GET").exec(client).is_err());
    assert_eq!(client.get::<_, String>("text").unwrap(), "hello", "an error ends no connection");
}

#[test]
fn the_connection_manager_of_redis_rs_finds_the_server_again_after_a_restart() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = Config::engine("logmap").with("server", &format!("listen = \"127.0.0.1:{port}\""));
    let server = Server::start(config);
    let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut manager = client.get_connection_manager().await.unwrap();
        redis::cmd("SET").arg("k").arg("v").exec_async(&mut manager).await.unwrap();
        let _server = server.restart();
        // The first request may meet the connection that has ended; the manager then makes another one.
        let mut found = None;
        for _ in 0..100 {
            match redis::cmd("GET").arg("k").query_async::<String>(&mut manager).await {
                Ok(value) => {
                    found = Some(value);
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        assert_eq!(found.as_deref(), Some("v"));
    });
}

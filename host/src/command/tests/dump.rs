//! DUMP and RESTORE.

use super::*;

/// The payload in a reply.
fn dumped(bench: &mut Bench, key: &str) -> Vec<u8> {
    let reply = bench.run(&format!("DUMP {key}"));
    let mut bytes = Vec::new();
    // One quote on either side: the payload may end with an escaped one.
    let mut rest = reply.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap().as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, used) = match (first, behind) {
            (b'\\', [b'x', high, low, ..]) => {
                let digits = String::from_utf8(vec![*high, *low]).unwrap();
                (u8::from_str_radix(&digits, 16).unwrap(), 4)
            }
            (b'\\', [escaped, ..]) => {
                let known = [(b't', b'\t'), (b'n', b'\n'), (b'r', b'\r')];
                (known.iter().find(|(name, _)| name == escaped).map_or(*escaped, |(_, byte)| *byte), 2)
            }
            (plain, _) => (*plain, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    bytes
}

fn restore(bench: &mut Bench, key: &str, payload: &[u8]) -> String {
    bench.run_words([&b"RESTORE"[..], key.as_bytes(), b"0", payload, b"REPLACE"])
}

#[test]
fn what_is_dumped_is_restored() {
    let mut bench = Bench::new();
    let mut random = Random::new("dump");
    let mut values: Vec<Vec<u8>> =
        ["", "a", "0", "-1", "127", "128", "-128", "-129", "32768", "2147483647", "2147483648", "007"]
            .map(|text| text.as_bytes().to_vec())
            .into();
    values.extend([63, 64, 16_383, 16_384, 99_900].map(|length| random.bytes(length)));
    for value in values {
        assert_eq!(bench.run_words([&b"SET"[..], b"k", &value]), "+OK");
        let payload = dumped(&mut bench, "k");
        assert_eq!(restore(&mut bench, "l", &payload), "+OK");
        assert_eq!(bench.run("GET l"), bench.run("GET k"));
    }
    assert_eq!(bench.run("DUMP none"), "nil");
}

#[test]
fn payloads_of_redis_are_restored() {
    let mut bench = Bench::new();
    // What redis-server 7.0.15 gives: a short text, integers, packed runs.
    for (payload, value) in [
        (&b"\x00\x06foobar\x0a\x00;L<\xf6\xb7\xee{\xae"[..], "foobar".to_string()),
        (&b"\x00\xc190\x0a\x00\x9d\x94\xea'\x93\xfc\x08\xb9"[..], "12345".to_string()),
        (&b"\x00\xc3\x09@d\x01aa\xe0W\x00\x01aa\x0a\x00\xe8\xa3\xb5\x07\xb0m\xf2q"[..], "a".repeat(100)),
        (&b"\x00\xc3@RJ\x8c\x03abca@\x02\x00d`\x05 \x0b\xe0\xff\x08!\x0a \x02\xe1\xff\x0d!\x0a \x02\xe1\xff\x0d!\x0a \x02\xe1\xff\x0d!\x0a \x02\xe1\xff\x0d!\x0a \x02\xe1\xff\x0d!\x0a \x02\xe1\xff\x0d!\x0a \x02\xe1\xff\x0d!\x0a \x02\xe1\xff\x0d!\x0a \x02\xe1\xf2\x0d\x01bd\x0a\x00c&\xdbM\xd6\x0f\xc4\x86"[..], "abcabcabd".repeat(300)),
        (&b"\x00\xc0\xf9\x0a\x00^&\xd10\xd7\xa2B\xab"[..], "-7".to_string()),
        (&b"\x00\xc2\xff\xff\xff\x7f\x0a\x00,t\xe5\x9e\xe0.\xad\xa1"[..], "2147483647".to_string()),
    ] {
        assert_eq!(restore(&mut bench, "k", payload), "+OK");
        assert_eq!(bench.run("GET k"), format!("\"{value}\""));
    }
    assert_eq!(bench.run("SET k 12345"), "+OK");
    assert_eq!(dumped(&mut bench, "k"), b"\x00\xc190\x0a\x00\x9d\x94\xea'\x93\xfc\x08\xb9");
}

#[test]
fn damaged_payloads_are_refused_and_nothing_is_stored() {
    let mut bench = Bench::new();
    bench.run("SET k value");
    let payload = dumped(&mut bench, "k");
    let refused = "-ERR DUMP payload version or checksum are wrong";
    for byte in 0..payload.len() {
        let mut damaged = payload.clone();
        damaged[byte] ^= 1;
        assert_eq!(restore(&mut bench, "l", &damaged), refused, "byte {byte}");
        assert_eq!(restore(&mut bench, "l", &payload[..byte]), refused, "cut at {byte}");
    }
    let sealed = |body: &[u8]| {
        let signed = [body, &10_u16.to_le_bytes()].concat();
        let checksum = crc::Crc::<u64>::new(&crc::CRC_64_REDIS).checksum(&signed);
        [signed, checksum.to_le_bytes().to_vec()].concat()
    };
    for body in [
        &b""[..],
        b"\x00",
        b"\x00\x05abc",
        b"\x00\x80\xff\xff\xff\xffabc",
        b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xffabc",
        b"\x00\x82abc",
        b"\x00\xc2abc",
        b"\x00\xc3\x02\x80\x00\x01\x86\xa0\x00a",
        b"\x00\xc3\x40",
        b"\x00\xc4",
        b"\x08",
        b"\x20",
    ] {
        assert_eq!(restore(&mut bench, "l", &sealed(body)), "-ERR Bad data format", "{body:?}");
    }
    // The packed bytes are damaged too: whoever says this has not unpacked them.
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    for length in [&b"\x80\x00\x01\x86\xa1"[..], b"\x81\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let body = [b"\x00\xc3\x02", length, b"\x00a"].concat();
        assert_eq!(restore(&mut bench, "l", &sealed(&body)), too_long, "{length:?}");
    }
    assert!(restore(&mut bench, "l", &sealed(b"\x04\x00")).contains("this server stores strings alone"));
    assert_eq!(bench.run("EXISTS l"), ":0");
    assert_eq!(restore(&mut bench, "l", &sealed(b"\x00\x03abc and more")), "+OK");
    assert_eq!(bench.run("GET l"), "\"abc\"");
}

#[test]
fn options_of_restore_are_checked_as_in_redis() {
    Bench::new().check(&[
        ("SET k v", "+OK"),
        ("RESTORE k x foo", "-BUSYKEY Target key name already exists."),
        ("RESTORE new x foo", "-ERR value is not an integer or out of range"),
        ("RESTORE new -1 foo", "-ERR Invalid TTL value, must be >= 0"),
        ("RESTORE new x foo zz", "-ERR syntax error"),
        ("RESTORE new 0 foo IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0"),
        ("RESTORE new 0 foo FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
        ("RESTORE new 0 foo FREQ 1 IDLETIME 1", "-ERR syntax error"),
        ("RESTORE k 0 foo REPLACE ABSTTL IDLETIME 1", "-ERR DUMP payload version or checksum are wrong"),
        ("GET k", "\"v\""),
    ]);
    let mut bench = Bench::new();
    bench.run("SET k v");
    let payload = dumped(&mut bench, "k");
    let refused = bench.run_words([&b"RESTORE"[..], b"new", b"5", &payload]);
    assert!(refused.starts_with("-ERR this server does not keep expiry times yet"), "{refused}");
}

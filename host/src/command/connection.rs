//! What concerns the connection itself: PING, ECHO, HELLO, QUIT, SELECT, CLIENT.

use super::errors::{Failure, Outcome, SYNTAX, unknown_subcommand, wrong_arity};
use super::{Arguments, Context, Protocol, Replies, Session, number};

/// The version of Redis whose replies these are; clients go by it.
pub(super) const REDIS_VERSION: &str = "7.0.15";

const BAD_NAME: Failure =
    Failure::fixed("ERR Client names cannot contain spaces, newlines or special characters.");

pub(super) fn ping(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    match arguments.len() {
        1 => replies.simple("PONG"),
        2 => replies.bulk(arguments.word(1)),
        _ => return Err(wrong_arity("ping")),
    }
    Ok(())
}

pub(super) fn echo(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    replies.bulk(arguments.word(1));
    Ok(())
}

pub(super) fn quit(
    _: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    session.closing = true;
    replies.simple("OK");
    Ok(())
}

pub(super) fn select(
    arguments: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    session.database = number::database(arguments.word(1))?;
    session.client().set_database(session.database);
    replies.simple("OK");
    Ok(())
}

pub(super) fn hello(
    arguments: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let mut protocol = session.protocol;
    if arguments.len() > 1 {
        protocol = match number::parse(arguments.word(1)) {
            None => {
                return Err(Failure::fixed("ERR Protocol version is not an integer or out of range"));
            }
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(Failure::fixed("NOPROTO unsupported protocol version")),
        };
    }
    if let Some(name) = hello_options(arguments)? {
        session.client().set_name(name);
    }
    session.protocol = protocol;
    session.client().set_protocol(protocol.version());
    replies.set_protocol(protocol);
    replies.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"proto");
    replies.integer(protocol.version().into());
    replies.bulk(b"id");
    replies.integer(i64::try_from(session.id).unwrap_or(i64::MAX));
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"modules");
    replies.array(0);
    Ok(())
}

/// Checks AUTH and SETNAME behind the version; returns the name.
fn hello_options(arguments: Arguments<'_>) -> Outcome<Option<&str>> {
    let mut name = None;
    let mut option = 2;
    while option < arguments.len() {
        let word = arguments.word(option);
        let left = arguments.len() - option - 1;
        if word.eq_ignore_ascii_case(b"auth") && left >= 2 {
            // There are no passwords: the default user enters with any, as in Redis without `requirepass`.
            if arguments.word(option + 1) != b"default" {
                return Err(Failure::fixed("WRONGPASS invalid username-password pair or user is disabled."));
            }
            option += 3;
        } else if word.eq_ignore_ascii_case(b"setname") && left >= 1 {
            name = Some(client_text(arguments.word(option + 1)).ok_or(BAD_NAME)?);
            option += 2;
        } else {
            let shown = String::from_utf8_lossy(word);
            return Err(Failure::Reply(format!("ERR Syntax error in HELLO option '{shown}'").into()));
        }
    }
    Ok(name)
}

/// The word as a text that fits into a line of CLIENT LIST.
fn client_text(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok().filter(|text| text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)))
}

pub(super) fn client(
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let subcommand = arguments.word(1).to_ascii_lowercase();
    let takes = |words: usize, name: &str| match arguments.len() == words {
        true => Ok(()),
        false => Err(wrong_arity(&format!("client|{name}"))),
    };
    match subcommand.as_slice() {
        b"id" => {
            takes(2, "id")?;
            replies.integer(i64::try_from(session.id).unwrap_or(i64::MAX));
        }
        b"getname" => {
            takes(2, "getname")?;
            match session.client().name().as_str() {
                "" => replies.null(),
                name => replies.bulk(name.as_bytes()),
            }
        }
        b"setname" => {
            takes(3, "setname")?;
            session.client().set_name(client_text(arguments.word(2)).ok_or(BAD_NAME)?);
            replies.simple("OK");
        }
        b"setinfo" => {
            takes(4, "setinfo")?;
            client_setinfo(arguments, session)?;
            replies.simple("OK");
        }
        b"info" => {
            takes(2, "info")?;
            replies.verbatim(&format!("{}\n", session.client().line()));
        }
        b"list" => replies.verbatim(&client_list(arguments, context)?),
        _ => return Err(unknown_subcommand("client", arguments.word(1))),
    }
    Ok(())
}

fn client_setinfo(arguments: Arguments<'_>, session: &Session) -> Outcome {
    let (option, value) = (arguments.word(2), client_text(arguments.word(3)));
    let refused = |name: &str| {
        let text = format!("ERR {name} cannot contain spaces, newlines or special characters.");
        Failure::Reply(text.into())
    };
    if option.eq_ignore_ascii_case(b"lib-name") {
        session.client().set_library_name(value.ok_or_else(|| refused("lib-name"))?);
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        session.client().set_library_version(value.ok_or_else(|| refused("lib-ver"))?);
    } else {
        let shown = String::from_utf8_lossy(option);
        return Err(Failure::Reply(format!("ERR Unrecognized option '{shown}'").into()));
    }
    Ok(())
}

fn client_list(arguments: Arguments<'_>, context: &Context) -> Outcome<String> {
    let filter = arguments.word(2);
    let mut wanted: Option<Vec<u64>> = None;
    if filter.eq_ignore_ascii_case(b"type") && arguments.len() == 4 {
        // Every client is a normal one; there are neither replicas nor subscribers.
        if !arguments.word(3).eq_ignore_ascii_case(b"normal") {
            let known = [&b"master"[..], b"replica", b"slave", b"pubsub"];
            if !known.iter().any(|known| known.eq_ignore_ascii_case(arguments.word(3))) {
                let shown = String::from_utf8_lossy(arguments.word(3));
                return Err(Failure::Reply(format!("ERR Unknown client type '{shown}'").into()));
            }
            wanted = Some(Vec::new());
        }
    } else if filter.eq_ignore_ascii_case(b"id") && arguments.len() > 3 {
        let id = |word: &[u8]| number::parse(word).and_then(|id| u64::try_from(id).ok());
        let ids: Option<Vec<u64>> = arguments.from(3).map(id).collect();
        wanted = Some(ids.ok_or(Failure::fixed("ERR Invalid client ID"))?);
    } else if arguments.len() > 2 {
        return Err(SYNTAX);
    }
    let clients = context.observe.clients.list();
    let shown = |id: &u64| wanted.as_ref().is_none_or(|wanted| wanted.contains(id));
    Ok(clients.iter().filter(|client| shown(&client.id())).map(|client| client.line() + "\n").collect())
}

//! Who the client is: AUTH, HELLO, RESET.
//!
//! Promises: a password is compared in constant time; a wrong one is answered late, and many end the connection.

use std::time::Duration;

use super::client::{BAD_NAME, client_text};
use super::connection::REDIS_VERSION;
use super::errors::{Failure, Outcome, SYNTAX, WORD_BYTES_SHOWN, shown};
use super::session::Hears;
use super::{Arguments, Context, Protocol, Replies, Session, number};
use crate::observe::ClientFlag;

/// How long the answer to a wrong password waits, and everything behind it.
const WRONG_PASSWORD_DELAY: Duration = Duration::from_millis(500);

/// So many wrong passwords end a connection.
const WRONG_PASSWORDS_MAX: u32 = 8;

const WRONG_PASSWORD: Failure =
    Failure::fixed("WRONGPASS invalid username-password pair or user is disabled.");

pub(super) fn auth(
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    match arguments.len() {
        2 if context.settings.live.password().is_none() => {
            return Err(Failure::fixed(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                 your configuration is correct?",
            ));
        }
        2 => authenticate(b"default", arguments.word(1), session, context)?,
        3 => authenticate(arguments.word(1), arguments.word(2), session, context)?,
        _ => return Err(SYNTAX),
    }
    replies.simple("OK");
    Ok(())
}

/// There is one user, `default`. Without a password it enters with any.
fn authenticate(user: &[u8], password: &[u8], session: &mut Session, context: &Context) -> Outcome {
    let expected = context.settings.live.password();
    let right = expected.as_ref().is_none_or(|expected| expected.is(password));
    if right && user == b"default" {
        session.authenticated = true;
        return Ok(());
    }
    if expected.is_some() {
        session.penalty = Some(WRONG_PASSWORD_DELAY);
        session.wrong_passwords += 1;
        session.closing |= session.wrong_passwords >= WRONG_PASSWORDS_MAX;
        if session.wrong_passwords == 1 {
            // Once a connection: a stranger must not fill the log.
            log::warn!("client {} at {} gave a wrong password", session.id, session.client().address());
        }
    }
    Err(WRONG_PASSWORD)
}

pub(super) fn hello(
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
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
    hello_options(arguments, session, context)?;
    if session.is_stranger() {
        return Err(Failure::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        ));
    }
    set_protocol(protocol, session, replies);
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

/// What stands behind the version, one after the other: what came before an error has happened, as in Redis.
fn hello_options(arguments: Arguments<'_>, session: &mut Session, context: &Context) -> Outcome {
    let mut option = 2;
    while option < arguments.len() {
        let word = arguments.word(option);
        let left = arguments.len() - option - 1;
        if word.eq_ignore_ascii_case(b"auth") && left >= 2 {
            authenticate(arguments.word(option + 1), arguments.word(option + 2), session, context)?;
            option += 3;
        } else if word.eq_ignore_ascii_case(b"setname") && left >= 1 {
            session.client().set_name(client_text(arguments.word(option + 1)).ok_or(BAD_NAME)?);
            option += 2;
        } else {
            let shown = shown(word, WORD_BYTES_SHOWN);
            return Err(Failure::Reply(format!("ERR Syntax error in HELLO option '{shown}'").into()));
        }
    }
    Ok(())
}

fn set_protocol(protocol: Protocol, session: &mut Session, replies: &mut dyn Replies) {
    session.protocol = protocol;
    session.client().set_protocol(protocol.version());
    replies.set_protocol(protocol);
}

/// Makes the connection as if it were new; wrong passwords are remembered.
pub(super) fn reset(
    _: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    if session.monitoring {
        session.monitoring = false;
        session.client().set(ClientFlag::Monitors, false);
        // What it was to see comes before the end of it.
        replies.encoded(&context.observe.monitors.take(session.id));
        context.observe.monitors.remove(session.id);
    }
    session.database = 0;
    session.client().set_database(0);
    session.client().set_name("");
    session.hears = Hears::All;
    session.authenticated = context.settings.live.password().is_none();
    set_protocol(Protocol::Resp2, session, replies);
    replies.simple("RESET");
    Ok(())
}

//! CLIENT: who is connected, and what becomes of them.

use std::time::Duration;

use super::connection::print_help;
use super::errors::{Failure, Outcome, SYNTAX, WORD_BYTES_SHOWN, shown, unknown_subcommand_or_arity};
use super::session::Hears;
use super::{Arguments, Context, Replies, Session, number};
use crate::observe::{Client, ClientFlag};

pub(super) const BAD_NAME: Failure =
    Failure::fixed("ERR Client names cannot contain spaces, newlines or special characters.");

/// Why clients go that CLIENT KILL names, for the log.
const KILLED: &str = "CLIENT KILL named it";

/// The longest text that a client may give itself.
const TEXT_BYTES_MAX: usize = 1024;

/// The word as a text that fits into a line of CLIENT LIST.
pub(super) fn client_text(word: &[u8]) -> Option<&str> {
    let fits = word.len() <= TEXT_BYTES_MAX && word.iter().all(|byte| (b'!'..=b'~').contains(byte));
    std::str::from_utf8(word).ok().filter(|_| fits)
}

pub(super) fn id(_: Arguments<'_>, session: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    replies.integer(i64::try_from(session.id).unwrap_or(i64::MAX));
    Ok(())
}

pub(super) fn getname(
    _: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    match session.client().name().as_str() {
        "" => replies.null(),
        name => replies.bulk(name.as_bytes()),
    }
    Ok(())
}

pub(super) fn setname(
    arguments: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    session.client().set_name(client_text(arguments.word(2)).ok_or(BAD_NAME)?);
    replies.simple("OK");
    Ok(())
}

pub(super) fn setinfo(
    arguments: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
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
        let shown = shown(option, WORD_BYTES_SHOWN);
        return Err(Failure::Reply(format!("ERR Unrecognized option '{shown}'").into()));
    }
    replies.simple("OK");
    Ok(())
}

pub(super) fn info(
    _: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    replies.verbatim(&format!("{}\n", session.client().line()));
    Ok(())
}

pub(super) fn list(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let filter = arguments.word(2);
    let mut wanted: Option<Vec<u64>> = None;
    if filter.eq_ignore_ascii_case(b"type") && arguments.len() == 4 {
        if !is_normal(arguments.word(3))? {
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
    let lines: String =
        clients.iter().filter(|client| shown(&client.id())).map(|client| client.line() + "\n").collect();
    replies.verbatim(&lines);
    Ok(())
}

/// Whether the type of client is the one that every client here has; there are neither replicas nor subscribers.
fn is_normal(word: &[u8]) -> Outcome<bool> {
    if word.eq_ignore_ascii_case(b"normal") {
        return Ok(true);
    }
    let known = [&b"master"[..], b"replica", b"slave", b"pubsub"];
    if known.iter().any(|known| known.eq_ignore_ascii_case(word)) {
        return Ok(false);
    }
    let shown = shown(word, WORD_BYTES_SHOWN);
    Err(Failure::Reply(format!("ERR Unknown client type '{shown}'").into()))
}

/// Which clients CLIENT KILL means.
struct Condemned<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    none: bool,
    skips_caller: bool,
}

impl<'a> Condemned<'a> {
    fn parse(arguments: Arguments<'a>) -> Outcome<Self> {
        let mut condemned =
            Self { id: None, address: None, local_address: None, none: false, skips_caller: true };
        for option in (2..arguments.len()).step_by(2) {
            let (name, value) = (arguments.word(option), arguments.word(option + 1));
            let is = |text: &[u8]| name.eq_ignore_ascii_case(text) && option + 1 < arguments.len();
            if is(b"id") {
                let id = number::parse(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
                condemned.id = Some(id.ok_or(Failure::fixed("ERR client-id should be greater than 0"))?);
            } else if is(b"type") {
                condemned.none |= !is_normal(value)?;
            } else if is(b"addr") {
                condemned.address = Some(value);
            } else if is(b"laddr") {
                condemned.local_address = Some(value);
            } else if is(b"user") {
                if value != b"default" {
                    let shown = shown(value, WORD_BYTES_SHOWN);
                    return Err(Failure::Reply(format!("ERR No such user '{shown}'").into()));
                }
            } else if is(b"skipme") {
                condemned.skips_caller = match value.to_ascii_lowercase().as_slice() {
                    b"yes" => true,
                    b"no" => false,
                    _ => return Err(SYNTAX),
                };
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(condemned)
    }

    fn means(&self, client: &Client, caller: u64) -> bool {
        let matches = |wanted: Option<&[u8]>, text: &str| wanted.is_none_or(|it| it == text.as_bytes());
        !self.none
            && self.id.is_none_or(|id| id == client.id())
            && matches(self.address, client.address())
            && matches(self.local_address, client.local_address())
            && !(self.skips_caller && client.id() == caller)
    }
}

pub(super) fn kill(
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let by_address = arguments.len() == 3;
    let condemned = match by_address {
        true => Condemned {
            id: None,
            address: Some(arguments.word(2)),
            local_address: None,
            none: false,
            skips_caller: false,
        },
        false => Condemned::parse(arguments)?,
    };
    let mut killed = 0;
    for client in context.observe.clients.list() {
        if !condemned.means(&client, session.id) {
            continue;
        }
        killed += 1;
        if client.id() == session.id {
            // It still gets the reply.
            session.closing = true;
        } else {
            client.dismiss(KILLED);
        }
    }
    if killed > 0 {
        context.observe.attention.call();
    }
    match by_address {
        true if killed == 0 => return Err(Failure::fixed("ERR No such client")),
        true => replies.simple("OK"),
        false => replies.integer(killed),
    }
    Ok(())
}

pub(super) fn reply(
    arguments: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    match arguments.word(2).to_ascii_lowercase().as_slice() {
        b"on" => {
            session.hears = Hears::All;
            replies.simple("OK");
        }
        b"off" => session.hears = Hears::Nothing,
        b"skip" if session.hears != Hears::Nothing => session.hears = Hears::NotTheNext,
        b"skip" => {}
        _ => return Err(SYNTAX),
    }
    Ok(())
}

pub(super) fn pause(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let all = match arguments.word(3).to_ascii_lowercase().as_slice() {
        _ if arguments.len() > 4 => return Err(unknown_subcommand_or_arity("client", arguments.word(1))),
        b"all" => true,
        b"write" => false,
        _ if arguments.len() == 3 => true,
        _ => return Err(Failure::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let length = timeout(arguments.word(2))?;
    context.observe.pause.begin(length, all);
    replies.simple("OK");
    Ok(())
}

/// A time in milliseconds, as PAUSE and WAIT take it.
pub(super) fn timeout(word: &[u8]) -> Outcome<Duration> {
    const NOT_A_TIME: Failure = Failure::fixed("ERR timeout is not an integer or out of range");
    let milliseconds = number::parse(word).ok_or(NOT_A_TIME)?;
    let milliseconds = u64::try_from(milliseconds).map_err(|_| Failure::fixed("ERR timeout is negative"))?;
    Ok(Duration::from_millis(milliseconds))
}

pub(super) fn unpause(
    _: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    context.observe.pause.end();
    context.observe.attention.call();
    replies.simple("OK");
    Ok(())
}

pub(super) fn no_evict(
    arguments: Arguments<'_>,
    session: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let on = match arguments.word(2).to_ascii_lowercase().as_slice() {
        b"on" => true,
        b"off" => false,
        _ => return Err(SYNTAX),
    };
    session.client().set(ClientFlag::KeepsPlace, on);
    replies.simple("OK");
    Ok(())
}

pub(super) fn help(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines = [
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETINFO (LIB-NAME|LIB-VER) <text>",
        "    Note the client library of the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
    ];
    print_help("CLIENT", &lines, replies);
    Ok(())
}

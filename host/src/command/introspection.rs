//! COMMAND: what the table says of every command.

use super::connection::print_help;
use super::errors::{Failure, Outcome, PATTERN_TOO_COSTLY, SYNTAX};
use super::key_flags::key_flags;
use super::lookup;
use super::table::{Row, TABLE};
use super::{Arguments, Context, Replies, Session, glob};

/// The commands without their subcommands.
fn commands() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(|row| !row.is_subcommand())
}

pub(super) fn command(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    replies.array(commands().count());
    commands().for_each(|row| describe(row, replies));
    Ok(())
}

pub(super) fn count(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    replies.integer(commands().count() as i64);
    Ok(())
}

pub(super) fn command_info(
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    if arguments.len() == 2 {
        return command(arguments, session, context, replies);
    }
    replies.array(arguments.len() - 2);
    for name in arguments.from(2) {
        match lookup::find_named(name) {
            Some(row) => describe(row, replies),
            None => replies.null(),
        }
    }
    Ok(())
}

/// The ten parts that Redis 7 gives of a command; hints and key specifications are empty.
fn describe(row: &'static Row, replies: &mut dyn Replies) {
    replies.array(10);
    replies.bulk(row.name.as_bytes());
    replies.integer(row.arity.into());
    replies.set(row.flags.len());
    row.flags.iter().for_each(|flag| replies.simple(flag));
    for place in [row.first_key, row.last_key, row.step] {
        replies.integer(place.into());
    }
    let categories = categories(row);
    replies.set(categories.len());
    categories.iter().for_each(|category| replies.simple(category));
    (0..2).for_each(|_| replies.set(0));
    match row.subcommands().count() {
        0 => replies.set(0),
        count => replies.array(count),
    }
    row.subcommands().for_each(|row| describe(row, replies));
}

/// Commands whose category Redis does not derive from their flags.
const DANGEROUS: [&str; 8] = ["flushall", "flushdb", "info", "keys", "lastsave", "restore", "role", "swapdb"];
const ADMINISTRATIVE: [&str; 2] = ["lastsave", "role"];
const OF_KEYS: [&str; 4] = ["dbsize", "flushall", "flushdb", "swapdb"];
const OF_CONNECTIONS: [&str; 2] = ["command", "wait"];

fn categories(row: &Row) -> Vec<&'static str> {
    let has = |flag| row.flags.contains(&flag);
    let named = |names: &[&str]| names.contains(&row.name);
    let admin = has("admin") || named(&ADMINISTRATIVE);
    // A container takes no part in what its subcommands are.
    let of_group = !(row.has_subcommands && row.arity == -2);
    let all = [
        ("@keyspace", (row.group == "generic" && !named(&OF_CONNECTIONS)) || named(&OF_KEYS)),
        ("@read", row.is_read_only && row.group != "scripting"),
        ("@write", has("write") && row.group != "scripting"),
        ("@string", row.group == "string"),
        ("@bitmap", row.group == "bitmap"),
        ("@admin", admin),
        ("@fast", row.is_fast),
        ("@slow", !row.is_fast),
        ("@dangerous", admin || named(&DANGEROUS)),
        ("@connection", (row.group == "connection" && of_group) || named(&OF_CONNECTIONS)),
        ("@scripting", row.group == "scripting" && of_group),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}

pub(super) fn docs(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let rows: Vec<&'static Row> = match arguments.len() {
        2 => commands().collect(),
        _ => arguments.from(2).filter_map(lookup::find_named).collect(),
    };
    replies.map(rows.len());
    rows.into_iter().for_each(|row| document(row, replies));
    Ok(())
}

fn document(row: &'static Row, replies: &mut dyn Replies) {
    let subcommands = row.subcommands().count();
    replies.bulk(row.name.as_bytes());
    replies.map(if subcommands > 0 { 4 } else { 3 });
    for (name, text) in [("summary", row.summary), ("since", row.since), ("group", row.group)] {
        replies.bulk(name.as_bytes());
        replies.bulk(text.as_bytes());
    }
    if subcommands > 0 {
        replies.bulk(b"subcommands");
        replies.map(subcommands);
        row.subcommands().for_each(|row| document(row, replies));
    }
}

/// Which names COMMAND LIST gives.
enum Filter<'a> {
    All,
    Pattern(Vec<u8>),
    Category(&'a [u8]),
    /// There are no modules.
    Module,
}

impl<'a> Filter<'a> {
    fn parse(arguments: Arguments<'a>) -> Outcome<Self> {
        if arguments.len() == 2 {
            return Ok(Self::All);
        }
        if arguments.len() != 5 || !arguments.word(2).eq_ignore_ascii_case(b"filterby") {
            return Err(SYNTAX);
        }
        match arguments.word(3).to_ascii_lowercase().as_slice() {
            b"pattern" => Ok(Self::Pattern(arguments.word(4).to_ascii_lowercase())),
            b"aclcat" => Ok(Self::Category(arguments.word(4))),
            b"module" => Ok(Self::Module),
            _ => Err(SYNTAX),
        }
    }

    fn takes(&self, row: &Row) -> Outcome<bool> {
        Ok(match self {
            Self::All => !row.is_subcommand(),
            Self::Pattern(pattern) => {
                glob::matches(pattern, row.name.as_bytes()).map_err(|glob::TooCostly| PATTERN_TOO_COSTLY)?
            }
            Self::Category(wanted) => {
                categories(row).iter().any(|category| category.as_bytes()[1..].eq_ignore_ascii_case(wanted))
            }
            Self::Module => false,
        })
    }
}

pub(super) fn list(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let filter = Filter::parse(arguments)?;
    let mut names = Vec::new();
    for row in &TABLE {
        if filter.takes(row)? {
            names.push(row.name);
        }
    }
    replies.array(names.len());
    names.iter().for_each(|name| replies.bulk(name.as_bytes()));
    Ok(())
}

pub(super) fn getkeys(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let request = arguments.behind(2);
    let places = key_places(request)?.1;
    replies.array(places.len());
    places.iter().for_each(|place| replies.bulk(request.word(*place)));
    Ok(())
}

pub(super) fn getkeysandflags(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let request = arguments.behind(2);
    let (row, places) = key_places(request)?;
    replies.array(places.len());
    for place in places {
        replies.array(2);
        replies.bulk(request.word(place));
        let flags = key_flags(row, request, place);
        replies.set(flags.len());
        flags.iter().for_each(|flag| replies.simple(flag));
    }
    Ok(())
}

/// The row of a request and the places of its keys, of which there is at least one.
fn key_places(request: Arguments<'_>) -> Outcome<(&'static Row, Vec<usize>)> {
    let mut row = lookup::find(request.word(0));
    if let Some(container) = row.filter(|row| row.has_subcommands && request.len() > 1) {
        row = lookup::find_subcommand(container, request.word(1));
    }
    let row = row.ok_or(Failure::fixed("ERR Invalid command specified"))?;
    if row.first_key == 0 {
        return Err(Failure::fixed("ERR The command has no key arguments"));
    }
    if !row.takes(request.len()) {
        return Err(Failure::fixed("ERR Invalid number of arguments specified for command"));
    }
    Ok((row, row.key_places(request.len()).collect()))
}

pub(super) fn help(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines = [
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
    ];
    print_help("COMMAND", &lines, replies);
    Ok(())
}

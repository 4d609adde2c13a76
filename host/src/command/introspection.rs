//! COMMAND: what the table says of every command.

use super::errors::{Failure, Outcome, PATTERN_TOO_COSTLY, SYNTAX, unknown_subcommand, wrong_arity};
use super::table::{self, Row, TABLE};
use super::{Arguments, Context, Replies, Session, glob};

pub(super) fn command(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    if arguments.len() == 1 {
        replies.array(TABLE.len());
        TABLE.iter().for_each(|row| info(row, replies));
        return Ok(());
    }
    match arguments.word(1).to_ascii_lowercase().as_slice() {
        b"count" if arguments.len() > 2 => return Err(wrong_arity("command|count")),
        b"count" => replies.integer(TABLE.len() as i64),
        b"info" if arguments.len() == 2 => {
            replies.array(TABLE.len());
            TABLE.iter().for_each(|row| info(row, replies));
        }
        b"info" => {
            replies.array(arguments.len() - 2);
            for name in arguments.from(2) {
                match table::find(name) {
                    Some(row) => info(row, replies),
                    None => replies.null(),
                }
            }
        }
        b"docs" => docs(arguments, replies),
        b"list" => return list(arguments, replies),
        b"getkeys" => return getkeys(arguments, replies),
        _ => return Err(unknown_subcommand("command", arguments.word(1))),
    }
    Ok(())
}

/// The ten parts that Redis 7 gives of a command; hints, key specifications and subcommands are empty.
fn info(row: &Row, replies: &mut dyn Replies) {
    replies.array(10);
    replies.bulk(row.name.as_bytes());
    replies.integer(row.arity.into());
    replies.array(row.flags.len());
    row.flags.iter().for_each(|flag| replies.simple(flag));
    for place in [row.first_key, row.last_key, row.step] {
        replies.integer(place.into());
    }
    let categories = categories(row);
    replies.array(categories.len());
    categories.iter().for_each(|category| replies.simple(category));
    (0..3).for_each(|_| replies.array(0));
}

fn categories(row: &Row) -> Vec<&'static str> {
    let has = |flag| row.flags.contains(&flag);
    let mut categories = Vec::new();
    categories.extend(match row.group {
        "string" => Some("@string"),
        "generic" => Some("@keyspace"),
        "connection" => Some("@connection"),
        _ => None,
    });
    categories.extend(has("readonly").then_some("@read"));
    categories.extend(has("write").then_some("@write"));
    categories.extend(has("admin").then_some("@admin"));
    categories.push(if has("fast") { "@fast" } else { "@slow" });
    categories
}

fn docs(arguments: Arguments<'_>, replies: &mut dyn Replies) {
    let rows: Vec<&Row> = match arguments.len() {
        2 => TABLE.iter().collect(),
        _ => arguments.from(2).filter_map(table::find).collect(),
    };
    replies.map(rows.len());
    for row in rows {
        replies.bulk(row.name.as_bytes());
        replies.map(3);
        for (name, text) in [("summary", row.summary), ("since", row.since), ("group", row.group)] {
            replies.bulk(name.as_bytes());
            replies.bulk(text.as_bytes());
        }
    }
}

fn list(arguments: Arguments<'_>, replies: &mut dyn Replies) -> Outcome {
    let by_pattern = arguments.len() == 5
        && arguments.word(2).eq_ignore_ascii_case(b"filterby")
        && arguments.word(3).eq_ignore_ascii_case(b"pattern");
    if !by_pattern && arguments.len() != 2 {
        return Err(SYNTAX);
    }
    let pattern = if by_pattern { arguments.word(4).to_ascii_lowercase() } else { b"*".to_vec() };
    let mut names = Vec::new();
    for row in &TABLE {
        if glob::matches(&pattern, row.name.as_bytes()).map_err(|glob::TooCostly| PATTERN_TOO_COSTLY)? {
            names.push(row.name);
        }
    }
    replies.array(names.len());
    names.iter().for_each(|name| replies.bulk(name.as_bytes()));
    Ok(())
}

fn getkeys(arguments: Arguments<'_>, replies: &mut dyn Replies) -> Outcome {
    if arguments.len() < 4 {
        return Err(wrong_arity("command|getkeys"));
    }
    let row = table::find(arguments.word(2)).ok_or(Failure::fixed("ERR Invalid command specified"))?;
    let words = arguments.len() - 2;
    if !row.takes(words) {
        return Err(Failure::fixed("ERR Invalid number of arguments specified for command"));
    }
    let keys: Vec<usize> = row.key_places(words).collect();
    if keys.is_empty() {
        return Err(Failure::fixed("ERR The command has no key arguments"));
    }
    replies.array(keys.len());
    keys.iter().for_each(|place| replies.bulk(arguments.word(2 + place)));
    Ok(())
}

//! What concerns the server as a whole: TIME, SHUTDOWN, CONFIG.

use super::errors::{Failure, Outcome, PATTERN_TOO_COSTLY, SYNTAX, unknown_subcommand, wrong_arity};
use super::{Arguments, Context, Replies, Session, glob};
use crate::storage::keyspace::DATABASES;
use adapter_api::Capabilities;

pub(super) fn time(
    _: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let now = context.storage.clock().wall();
    replies.array(2);
    replies.bulk(now.as_secs().to_string().as_bytes());
    replies.bulk(now.subsec_micros().to_string().as_bytes());
    Ok(())
}

/// Ends the server. Every write is answered only when it is stored, so SAVE and NOSAVE are the same.
pub(super) fn shutdown(
    arguments: Arguments<'_>,
    session: &mut Session,
    context: &Context,
    _: &mut dyn Replies,
) -> Outcome {
    let given = |name: &[u8]| arguments.from(1).any(|word| word.eq_ignore_ascii_case(name));
    let known = [&b"save"[..], b"nosave", b"now", b"force", b"abort"];
    let all_known = arguments.from(1).all(|word| known.iter().any(|known| known.eq_ignore_ascii_case(word)));
    if !all_known || (given(b"save") && given(b"nosave")) || (given(b"abort") && arguments.len() > 2) {
        return Err(SYNTAX);
    }
    if given(b"abort") {
        return Err(Failure::fixed("ERR No shutdown in progress."));
    }
    session.closing = true;
    context.shutdown.request();
    Ok(())
}

pub(super) fn config(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    match arguments.word(1).to_ascii_lowercase().as_slice() {
        b"get" if arguments.len() < 3 => Err(wrong_arity("config|get")),
        b"get" => config_get(arguments, context, replies),
        b"set" if arguments.len() < 4 => Err(wrong_arity("config|set")),
        b"set" => Err(config_set(arguments, context)),
        b"resetstat" if arguments.len() > 2 => Err(wrong_arity("config|resetstat")),
        b"resetstat" => {
            context.observe.counters.reset();
            replies.simple("OK");
            Ok(())
        }
        _ => Err(unknown_subcommand("config", arguments.word(1))),
    }
}

fn config_get(arguments: Arguments<'_>, context: &Context, replies: &mut dyn Replies) -> Outcome {
    let patterns: Vec<Vec<u8>> = arguments.from(2).map(<[u8]>::to_ascii_lowercase).collect();
    let mut found = Vec::new();
    for (name, value) in settings(context) {
        let mut matched = false;
        for pattern in &patterns {
            matched |= glob::matches(pattern, name.to_ascii_lowercase().as_bytes())
                .map_err(|glob::TooCostly| PATTERN_TOO_COSTLY)?;
        }
        if matched {
            found.push((name, value));
        }
    }
    replies.map(found.len());
    for (name, value) in found {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    Ok(())
}

/// Settings are read from the config file when the server starts; none changes while it runs.
fn config_set(arguments: Arguments<'_>, context: &Context) -> Failure {
    let name = String::from_utf8_lossy(arguments.word(2)).to_lowercase();
    let known = settings(context).iter().any(|(known, _)| known.eq_ignore_ascii_case(&name));
    Failure::Reply(match known {
        true => format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable config"
        )
        .into(),
        false => format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'").into(),
    })
}

/// The settings that clients of Redis ask for, then the server's own; each name once.
fn settings(context: &Context) -> Vec<(String, String)> {
    let facts = &context.settings;
    let durable = context.storage.has(Capabilities::DURABLE);
    let of_redis = [
        // Nothing is saved at intervals: what is answered OK is stored already, or never will be.
        ("save", String::new()),
        ("appendonly", if durable { "yes" } else { "no" }.to_string()),
        ("appendfsync", if durable { "always" } else { "no" }.to_string()),
        ("databases", DATABASES.to_string()),
        ("dir", facts.data_directory.display().to_string()),
        ("maxclients", facts.clients_max.to_string()),
        ("maxmemory", "0".to_string()),
        ("maxmemory-policy", "noeviction".to_string()),
        ("port", facts.tcp_port.to_string()),
        ("proto-max-bulk-len", facts.value_bytes_max.to_string()),
    ];
    let own = facts.settings.iter().cloned();
    let mut settings: Vec<_> =
        own.filter(|(name, _)| of_redis.iter().all(|(known, _)| known != name)).collect();
    settings.extend(of_redis.map(|(name, value)| (name.to_string(), value)));
    settings.sort();
    settings
}

//! What concerns the server as a whole: TIME, SHUTDOWN, and what Redis says of saving and replicas.

use super::client::timeout;
use super::errors::{Failure, Outcome, SYNTAX};
use super::info::LAST_DURABLE_WRITE;
use super::{Arguments, Context, Replies, Session, number};
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

/// Whether there is anything to save: an engine in memory keeps nothing, and must not say that it did.
fn check_durable(context: &Context) -> Outcome {
    match context.storage.has(Capabilities::DURABLE) {
        true => Ok(()),
        false => Err(Failure::fixed("ERR the engine keeps nothing on disk, so nothing can be saved")),
    }
}

pub(super) fn save(
    _: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    check_durable(context)?;
    replies.simple("OK");
    Ok(())
}

pub(super) fn bgsave(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    if arguments.len() > 2 || (arguments.len() == 2 && !arguments.word(1).eq_ignore_ascii_case(b"schedule")) {
        return Err(SYNTAX);
    }
    check_durable(context)?;
    replies.simple("Background saving started");
    Ok(())
}

pub(super) fn bgrewriteaof(
    _: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    check_durable(context)?;
    replies.simple("Background append only file rewriting started");
    Ok(())
}

/// When a write was last made durable, if the engine says so; else when the server started. In seconds.
pub(super) fn lastsave(_: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
    let metrics = context.storage.metrics();
    let durable = metrics.iter().find(|metric| metric.name == LAST_DURABLE_WRITE);
    let seconds =
        durable.and_then(|metric| i64::try_from(metric.value as u64 / 1000).ok()).filter(|at| *at > 0);
    let started = context.storage.clock().wall().saturating_sub(context.observe.uptime());
    replies.integer(seconds.unwrap_or(i64::try_from(started.as_secs()).unwrap_or(i64::MAX)));
    Ok(())
}

pub(super) fn role(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    replies.array(3);
    replies.bulk(b"master");
    replies.integer(0);
    replies.array(0);
    Ok(())
}

/// There are no replicas, so nothing is waited for, however long the client would.
pub(super) fn wait(
    arguments: Arguments<'_>,
    _: &mut Session,
    _: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    number::integer(arguments.word(1))?;
    timeout(arguments.word(2))?;
    replies.integer(0);
    Ok(())
}

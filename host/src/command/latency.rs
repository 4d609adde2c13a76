//! LATENCY: what took long, by kind of event, and how long calls of commands take.
//!
//! ```text
//! command, fast-command   the work on one request, as SLOWLOG counts it
//! write-run               a run of one connection's writes, from the event loop through the engine: with the disk
//! ```

use super::connection::print_help;
use super::errors::Outcome;
use super::lookup;
use super::table::{Row, TABLE};
use super::{Arguments, Context, Replies, Session};

pub(super) fn latest(
    _: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let events = context.observe.latency.events();
    replies.array(events.len());
    for (event, spikes) in events {
        replies.array(4);
        replies.bulk(event.as_bytes());
        let last = spikes.samples.back();
        for number in
            [last.map_or(0, |last| last.second), last.map_or(0, |last| last.milliseconds), spikes.longest]
        {
            replies.integer(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
    Ok(())
}

pub(super) fn history(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let events = context.observe.latency.events();
    let named = events.iter().find(|(event, _)| event.as_bytes() == arguments.word(2));
    let samples = named.map(|(_, spikes)| spikes.samples.clone()).unwrap_or_default();
    replies.array(samples.len());
    for sample in samples {
        replies.array(2);
        replies.integer(i64::try_from(sample.second).unwrap_or(i64::MAX));
        replies.integer(i64::try_from(sample.milliseconds).unwrap_or(i64::MAX));
    }
    Ok(())
}

pub(super) fn reset(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let named = |event: &str| arguments.from(2).any(|word| word == event.as_bytes());
    let reset = context.observe.latency.reset(|event| arguments.len() == 2 || named(event));
    replies.integer(reset as i64);
    Ok(())
}

pub(super) fn histogram(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let rows: Vec<&'static Row> = match arguments.len() {
        2 => TABLE.iter().collect(),
        _ => {
            let named = arguments.from(2).filter_map(lookup::find_named);
            named.flat_map(|row| std::iter::once(row).chain(row.subcommands())).collect()
        }
    };
    let histograms = rows.into_iter().map(|row| (row.name, context.calls[row.place()].histogram()));
    let histograms: Vec<_> = histograms.filter(|(_, bounds)| !bounds.is_empty()).collect();
    replies.map(histograms.len());
    for (name, bounds) in histograms {
        replies.bulk(name.as_bytes());
        replies.map(2);
        replies.bulk(b"calls");
        let calls = bounds.last().map_or(0, |(_, calls)| *calls);
        replies.integer(i64::try_from(calls).unwrap_or(i64::MAX));
        replies.bulk(b"histogram_usec");
        replies.map(bounds.len());
        for (microseconds, calls) in bounds {
            replies.integer(i64::try_from(microseconds).unwrap_or(i64::MAX));
            replies.integer(i64::try_from(calls).unwrap_or(i64::MAX));
        }
    }
    Ok(())
}

pub(super) fn help(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines = [
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
        "    If no commands are specified then all histograms are replied.",
    ];
    print_help("LATENCY", &lines, replies);
    Ok(())
}

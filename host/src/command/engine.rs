//! ENGINE: which engine serves, what it promises, how it is set, what it reports.

use super::errors::{Outcome, unknown_subcommand, wrong_arity};
use super::{Arguments, Context, Replies};
use crate::config::durability_text;

pub(super) fn engine(
    arguments: Arguments<'_>,
    _: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let subcommand = arguments.word(1).to_ascii_lowercase();
    let print = match subcommand.as_slice() {
        b"list" => list,
        b"status" => status,
        b"guarantees" => guarantees,
        b"options" => options,
        b"metrics" => metrics,
        _ => return Err(unknown_subcommand("engine", arguments.word(1))),
    };
    if arguments.len() > 2 {
        return Err(wrong_arity(&format!("engine|{}", String::from_utf8_lossy(&subcommand))));
    }
    print(context, replies);
    Ok(())
}

fn pairs(replies: &mut dyn Replies, pairs: &[(&str, &str)]) {
    replies.map(pairs.len());
    for (name, value) in pairs {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
}

/// Every plugin found, as maps.
fn list(context: &Context, replies: &mut dyn Replies) {
    let engines = (context.engines)();
    let serving = context.storage.engine_path();
    replies.array(engines.len());
    for engine in engines {
        let path = engine.path.display().to_string();
        let fields = [
            ("name", engine.name.as_str()),
            ("version", &engine.version),
            ("serving", if engine.path == serving { "yes" } else { "no" }),
            ("path", &path),
            ("summary", &engine.summary),
        ];
        pairs(replies, &fields);
    }
}

/// The engine that serves, as a map of texts.
fn status(context: &Context, replies: &mut dyn Replies) {
    let storage = &context.storage;
    let description = storage.description();
    let pressure = storage.pressure();
    let capabilities: Vec<_> = description.capabilities.names().collect();
    let lanes: Vec<_> = description.lanes.iter().map(|lane| lane.name.as_str()).collect();
    let refusal = storage.write_refusal();
    let fields = [
        ("engine", description.name.clone()),
        ("version", description.version.clone()),
        ("format", description.format.to_string()),
        ("summary", description.summary.clone()),
        ("path", storage.engine_path().display().to_string()),
        ("durability", durability_text(storage.durability())),
        ("capabilities", capabilities.join(", ")),
        ("lanes", lanes.join(", ")),
        ("batch_bytes_max", description.batch_bytes_max.to_string()),
        ("pressure", pressure.level.to_string()),
        ("pressure_reason", pressure.reason),
        ("groups", context.sequencer.groups().to_string()),
        ("requests", context.sequencer.requests().to_string()),
        ("writes", if refusal.is_none() { "admitted" } else { "refused" }.to_string()),
        ("failure", refusal.unwrap_or_default().to_string()),
    ];
    pairs(replies, &fields.each_ref().map(|(name, value)| (*name, value.as_str())));
}

/// The class of durability that the table is of, then one array `promise, kept or not kept, why` a line.
fn guarantees(context: &Context, replies: &mut dyn Replies) {
    let lines = context.storage.guarantees().lines();
    replies.array(lines.len() + 1);
    replies.array(3);
    replies.bulk(b"durability");
    replies.bulk(durability_text(context.storage.durability()).as_bytes());
    replies.bulk(b"the class in use, set by storage.durability; the lines below are under it");
    for line in lines {
        replies.array(3);
        replies.bulk(line.promise.name().as_bytes());
        replies.bulk(if line.kept { b"kept" } else { b"not kept" });
        replies.bulk(line.why.as_bytes());
    }
}

/// Every option of the engine that serves, as maps.
fn options(context: &Context, replies: &mut dyn Replies) {
    let specs = &context.storage.description().options;
    replies.array(specs.len());
    for spec in specs {
        let fields = [
            ("name", spec.name.as_str()),
            ("value", context.storage.options().text(&spec.name)),
            ("default", &spec.default),
            ("unit", &spec.unit),
            ("values", &spec.range()),
            ("help", &spec.help),
        ];
        pairs(replies, &fields);
    }
}

/// One line `name{label="…"} value` a metric.
fn metrics(context: &Context, replies: &mut dyn Replies) {
    let lines: String = context.storage.metrics().iter().map(|metric| format!("{metric}\n")).collect();
    replies.verbatim(&lines);
}

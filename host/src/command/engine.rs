//! ENGINE: which engine serves, what it promises, how it is set, what it reports, and its long work.

use super::connection::print_help;
use super::errors::{Failure, Outcome};
use super::{Arguments, Context, Replies, Session};
use crate::config::durability_text;
use crate::storage::{Work, WorkRefusal};

fn pairs(replies: &mut dyn Replies, pairs: &[(&str, &str)]) {
    replies.map(pairs.len());
    for (name, value) in pairs {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
}

/// Every plugin found, as maps.
pub(super) fn list(_: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
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
    Ok(())
}

/// The engine that serves, as a map of texts.
pub(super) fn status(_: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
    let storage = &context.storage;
    let description = storage.description();
    let pressure = storage.pressure();
    let capabilities: Vec<_> = description.capabilities.names().collect();
    let lanes: Vec<_> = description.lanes.iter().map(|lane| lane.name.as_str()).collect();
    let refusal = storage.write_refusal();
    let work = storage.work_status();
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
        ("work", work.running.unwrap_or_else(|| "none".to_string())),
        ("work_done", work.done.to_string()),
        ("work_total", work.total.to_string()),
        ("last_work", work.last),
    ];
    pairs(replies, &fields.each_ref().map(|(name, value)| (*name, value.as_str())));
    Ok(())
}

/// The class of durability that the table is of, then one array `promise, kept or not kept, why` a line.
pub(super) fn guarantees(_: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
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
    Ok(())
}

/// Every option of the engine that serves, as maps.
pub(super) fn options(_: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
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
    Ok(())
}

/// One line `name{label="…"} value` a metric.
pub(super) fn metrics(_: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines: String = context.storage.metrics().iter().map(|metric| format!("{metric}\n")).collect();
    replies.verbatim(&lines);
    Ok(())
}

/// Begins a backup, whose name is the third word.
pub(super) fn backup(
    arguments: Arguments<'_>,
    _: u8,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    let name = String::from_utf8_lossy(arguments.word(2)).into_owned();
    begin(Work::Backup(name), context, replies)
}

/// Begins a check.
pub(super) fn verify(_: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
    begin(Work::Verify, context, replies)
}

/// Begins to give space back.
pub(super) fn compact(_: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
    begin(Work::Compact, context, replies)
}

/// Begins work on a thread of its own; ENGINE STATUS says how it goes.
fn begin(work: Work, context: &Context, replies: &mut dyn Replies) -> Outcome {
    let answer = format!("begun: {}; ENGINE STATUS says how it goes", work.name());
    context.storage.begin_work(work).map_err(|refusal| Failure::Reply(refused(&refusal).into()))?;
    replies.simple(&answer);
    Ok(())
}

fn refused(refusal: &WorkRefusal) -> String {
    match refusal {
        WorkRefusal::Unsupported(what) => format!("ERR this engine does not support {what}"),
        WorkRefusal::Busy(running) => format!("BUSY {running} is going on; ENGINE STATUS says how it goes"),
        WorkRefusal::NoFolder => {
            "ERR no folder for backups is configured; set storage.backup_dir and restart, or \
            run `enginebay backup` while the server is down"
                .to_string()
        }
        WorkRefusal::BadName => {
            "ERR a backup's name has 1 to 64 letters, digits, '-', '_' and '.', and does not \
            begin with '.'"
                .to_string()
        }
        WorkRefusal::Exists => "ERR there is a backup of that name; choose another one".to_string(),
        WorkRefusal::NoThread(why) => format!("ERR no thread could be started: {why}"),
        WorkRefusal::Closing => "ERR the server is ending".to_string(),
    }
}

pub(super) fn help(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines = [
        "LIST",
        "    Every engine that is found.",
        "STATUS",
        "    Which engine serves, and how far its long work is.",
        "GUARANTEES",
        "    What the engine promises with its options, and why.",
        "OPTIONS",
        "    The engine's options and their values.",
        "METRICS",
        "    The numbers that the engine reports.",
        "BACKUP <name>",
        "    Begin a backup of that name in storage.backup_dir.",
        "VERIFY",
        "    Begin to read everything that the engine keeps; each damage is logged.",
        "COMPACT",
        "    Begin to give the space of deleted and overwritten keys back.",
    ];
    print_help("ENGINE", &lines, replies);
    Ok(())
}

//! CONFIG: the settings as clients of Redis name them, and those that change while the server runs.
//!
//! Promises: SET changes all that it is given or nothing; nothing is written to the configuration file.

use std::time::Duration;

use adapter_api::Capabilities;

use super::connection::print_help;
use super::errors::{Failure, Outcome, PATTERN_TOO_COSTLY, SYNTAX, WORD_BYTES_SHOWN, shown};
use super::{Arguments, Context, Replies, Session, glob, number};
use crate::config::{HIDDEN, Password};
use crate::storage::keyspace::DATABASES;

/// What SET does once all of its values are known to be good.
type Change = Box<dyn FnOnce(&Context)>;

/// How SET treats a parameter.
enum Settable {
    /// Checks a value; `Err` says what is wrong with it.
    Live(fn(&[u8], &Context) -> Result<Change, String>),
    /// What it says is how this server is: its own value is taken, any other refused.
    AsItIs,
    /// Redis does not change it either.
    Never,
    /// Redis changes it only if its configuration file allows that.
    Protected,
}

/// A setting under the name that clients of Redis know.
struct Parameter {
    name: &'static str,
    value: fn(&Context) -> String,
    settable: Settable,
}

/// In the order of their names.
static PARAMETERS: [Parameter; 16] = [
    Parameter { name: "appendfsync", value: appendfsync, settable: Settable::AsItIs },
    Parameter { name: "appendonly", value: appendonly, settable: Settable::AsItIs },
    Parameter { name: "databases", value: |_| DATABASES.to_string(), settable: Settable::Never },
    Parameter {
        name: "dir",
        value: |context| context.settings.data_directory.display().to_string(),
        settable: Settable::Protected,
    },
    Parameter {
        name: "latency-monitor-threshold",
        value: |context| context.settings.live.latency_threshold_ms().to_string(),
        settable: Settable::Live(|word, _| {
            let threshold = integer(word, 0, i64::MAX)?;
            Ok(Box::new(move |context| context.settings.live.set_latency_threshold_ms(threshold as u64)))
        }),
    },
    Parameter {
        name: "maxclients",
        value: |context| context.settings.live.clients_max().to_string(),
        settable: Settable::Live(maxclients),
    },
    Parameter { name: "maxmemory", value: |_| "0".to_string(), settable: Settable::AsItIs },
    Parameter { name: "maxmemory-policy", value: |_| "noeviction".to_string(), settable: Settable::AsItIs },
    Parameter { name: "notify-keyspace-events", value: |_| String::new(), settable: Settable::AsItIs },
    Parameter {
        name: "port",
        value: |context| context.settings.tcp_port.to_string(),
        settable: Settable::Never,
    },
    Parameter {
        name: "proto-max-bulk-len",
        value: |context| context.settings.value_bytes_max.to_string(),
        settable: Settable::Never,
    },
    Parameter {
        name: "requirepass",
        value: |context| context.settings.live.password().map_or("", |_| HIDDEN).to_string(),
        settable: Settable::Live(|word, _| {
            let password = Password::from_setting(word);
            Ok(Box::new(move |context| context.settings.live.set_password(password)))
        }),
    },
    // Nothing is saved at intervals: what is answered OK is stored already, or never will be.
    Parameter { name: "save", value: |_| String::new(), settable: Settable::AsItIs },
    Parameter {
        name: "slowlog-log-slower-than",
        value: |context| context.settings.live.slowlog_micros().to_string(),
        settable: Settable::Live(|word, _| {
            let threshold = integer(word, -1, i64::MAX)?;
            Ok(Box::new(move |context| context.settings.live.set_slowlog_micros(threshold)))
        }),
    },
    Parameter {
        name: "slowlog-max-len",
        value: |context| context.settings.live.slowlog_len_max().to_string(),
        settable: Settable::Live(|word, _| {
            // More than Redis's own manual ever recommends; every entry may take some kilobytes.
            let len = integer(word, 0, 1_000_000)?;
            Ok(Box::new(move |context| context.settings.live.set_slowlog_len_max(len as usize)))
        }),
    },
    Parameter {
        name: "timeout",
        value: |context| {
            context.settings.live.idle_timeout().map_or(0, |timeout| timeout.as_secs()).to_string()
        },
        settable: Settable::Live(|word, _| {
            let seconds = integer(word, 0, i64::from(i32::MAX))? as u64;
            let timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            Ok(Box::new(move |context| {
                context.settings.live.set_idle_timeout(timeout);
                context.observe.attention.call();
            }))
        }),
    },
];

fn appendfsync(context: &Context) -> String {
    if context.storage.has(Capabilities::DURABLE) { "always" } else { "no" }.to_string()
}

fn appendonly(context: &Context) -> String {
    if context.storage.has(Capabilities::DURABLE) { "yes" } else { "no" }.to_string()
}

fn maxclients(word: &[u8], context: &Context) -> Result<Change, String> {
    let clients = integer(word, 1, i64::from(u32::MAX))? as usize;
    let possible = context.settings.clients_possible;
    if clients > possible {
        return Err(format!(
            "The operating system is not able to handle the specified number of clients, try with {possible}"
        ));
    }
    Ok(Box::new(move |context| context.settings.live.set_clients_max(clients)))
}

fn integer(word: &[u8], min: i64, max: i64) -> Result<i64, String> {
    let number = number::parse(word).ok_or("argument couldn't be parsed into an integer")?;
    match (min..=max).contains(&number) {
        true => Ok(number),
        false => Err(format!("argument must be between {min} and {max} inclusive")),
    }
}

fn find(name: &[u8]) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The settings that clients of Redis ask for, and the server's own as its configuration file names them.
fn settings(context: &Context) -> Vec<(&str, String)> {
    let own = context.settings.settings.iter();
    let own = own.filter(|(name, _)| find(name.as_bytes()).is_none());
    let mut settings: Vec<_> = own.map(|(name, value)| (name.as_str(), value.clone())).collect();
    settings.extend(PARAMETERS.iter().map(|parameter| (parameter.name, (parameter.value)(context))));
    settings.sort();
    settings
}

pub(super) fn get(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
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

pub(super) fn set(
    arguments: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    if arguments.len() % 2 == 1 {
        return Err(SYNTAX);
    }
    let names = || (2..arguments.len()).step_by(2);
    let mut changes: Vec<Change> = Vec::new();
    for place in names() {
        let (name, value) = (arguments.word(place), arguments.word(place + 1));
        let own =
            || context.settings.settings.iter().any(|(own, _)| own.as_bytes().eq_ignore_ascii_case(name));
        let parameter = find(name);
        if parameter.is_none() && !own() {
            let shown = shown(name, WORD_BYTES_SHOWN);
            let text = format!("ERR Unknown option or number of arguments for CONFIG SET - '{shown}'");
            return Err(Failure::Reply(text.into()));
        }
        if names()
            .take_while(|earlier| *earlier < place)
            .any(|at| arguments.word(at).eq_ignore_ascii_case(name))
        {
            return Err(not_set(name, "duplicate parameter"));
        }
        match parameter.map(|parameter| (parameter, &parameter.settable)) {
            Some((_, Settable::Live(check))) => {
                changes.push(check(value, context).map_err(|why| not_set(name, &why))?);
            }
            Some((parameter, Settable::AsItIs)) => {
                let now = (parameter.value)(context);
                if !value.eq_ignore_ascii_case(now.as_bytes()) {
                    return Err(not_set(name, &format!("this server can only have it as '{now}'")));
                }
            }
            Some((_, Settable::Protected)) => return Err(not_set(name, "can't set protected config")),
            Some((_, Settable::Never)) | None => {
                return Err(not_set(name, "can't set immutable config"));
            }
        }
    }
    changes.into_iter().for_each(|change| change(context));
    replies.simple("OK");
    Ok(())
}

fn not_set(name: &[u8], why: &str) -> Failure {
    let name = shown(name, WORD_BYTES_SHOWN);
    Failure::Reply(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}").into())
}

pub(super) fn resetstat(
    _: Arguments<'_>,
    _: &mut Session,
    context: &Context,
    replies: &mut dyn Replies,
) -> Outcome {
    context.observe.counters.reset();
    context.observe.errors.reset();
    context.calls.iter().for_each(|calls| calls.reset());
    replies.simple("OK");
    Ok(())
}

pub(super) fn rewrite(_: Arguments<'_>, _: &mut Session, context: &Context, _: &mut dyn Replies) -> Outcome {
    Err(Failure::fixed(match context.settings.config_file.as_os_str().is_empty() {
        true => "ERR The server is running without a config file",
        false => {
            "ERR Rewriting config file: this server never writes its configuration; change the file by hand"
        }
    }))
}

pub(super) fn help(_: Arguments<'_>, _: &mut Session, _: &Context, replies: &mut dyn Replies) -> Outcome {
    let lines = [
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
    ];
    print_help("CONFIG", &lines, replies);
    Ok(())
}

//! INFO: facts about the server in the form that clients of Redis read.

use std::fmt::Write;

use super::connection::REDIS_VERSION;
use super::errors::Outcome;
use super::{Arguments, Context, Replies};
use crate::config::durability_text;
use crate::storage::keyspace::DATABASES;
use adapter_api::Capabilities;

/// The metric in which an engine says when it last made a write durable, if it does.
const LAST_DURABLE_WRITE: &str = "last_durable_write_unix_ms";

type Section = fn(&Context, &mut Lines) -> Outcome;

/// Every section with its name, in the order in which they are shown.
const SECTIONS: [(&str, Section); 9] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Enginebay", enginebay),
    ("Keyspace", keyspace),
];

/// Lines `name:value` in the making.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{name}:");
        let start = self.0.len();
        let _ = write!(self.0, "{value}");
        if self.0[start..].contains(['\r', '\n']) {
            let one_line = self.0[start..].replace(['\r', '\n'], " ");
            self.0.truncate(start);
            self.0.push_str(&one_line);
        }
        self.0.push_str("\r\n");
    }
}

pub(super) fn info(arguments: Arguments<'_>, _: u8, context: &Context, replies: &mut dyn Replies) -> Outcome {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let every = arguments.len() == 1
        || arguments.from(1).any(|word| ["default", "all", "everything"].iter().any(|name| is(word, name)));
    let mut lines = Lines::default();
    for (name, section) in SECTIONS {
        if every || arguments.from(1).any(|word| is(word, name)) {
            if !lines.0.is_empty() {
                lines.0.push_str("\r\n");
            }
            let _ = write!(lines.0, "# {name}\r\n");
            section(context, &mut lines)?;
        }
    }
    replies.verbatim(&lines.0);
    Ok(())
}

fn server(context: &Context, lines: &mut Lines) -> Outcome {
    let uptime = context.observe.uptime();
    lines.add("redis_version", REDIS_VERSION);
    lines.add("redis_mode", "standalone");
    lines.add("os", format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    lines.add("arch_bits", usize::BITS);
    lines.add("process_id", std::process::id());
    lines.add("run_id", context.observe.run_id());
    lines.add("tcp_port", context.settings.tcp_port);
    lines.add("server_time_usec", context.storage.clock().wall().as_micros());
    lines.add("uptime_in_seconds", uptime.as_secs());
    lines.add("uptime_in_days", uptime.as_secs() / 86_400);
    let executable = std::env::current_exe().unwrap_or_default();
    lines.add("executable", executable.display());
    lines.add("config_file", context.settings.config_file.display());
    Ok(())
}

fn clients(context: &Context, lines: &mut Lines) -> Outcome {
    lines.add("connected_clients", context.observe.clients.len());
    lines.add("maxclients", context.settings.clients_max);
    lines.add("blocked_clients", 0);
    Ok(())
}

fn memory(_: &Context, lines: &mut Lines) -> Outcome {
    let used = resident_bytes();
    lines.add("used_memory", used);
    lines.add("used_memory_human", format_args!("{:.2}M", used as f64 / f64::from(1 << 20)));
    lines.add("used_memory_rss", used);
    lines.add("maxmemory", 0);
    lines.add("maxmemory_policy", "noeviction");
    Ok(())
}

/// The memory of the process that is in use, in bytes; 0 where the operating system does not say.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|n| n.trim().parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}

fn persistence(context: &Context, lines: &mut Lines) -> Outcome {
    lines.add("loading", 0);
    lines.add("rdb_bgsave_in_progress", 0);
    lines.add("rdb_last_bgsave_status", "ok");
    lines.add("aof_enabled", u8::from(context.storage.has(Capabilities::DURABLE)));
    lines.add("aof_last_write_status", if context.storage.write_refusal().is_none() { "ok" } else { "err" });
    Ok(())
}

fn stats(context: &Context, lines: &mut Lines) -> Outcome {
    for (name, counter) in context.observe.counters.named() {
        lines.add(name, counter.get());
    }
    for name in ["expired_keys", "evicted_keys", "pubsub_channels", "pubsub_patterns", "latest_fork_usec"] {
        lines.add(name, 0);
    }
    Ok(())
}

fn replication(_: &Context, lines: &mut Lines) -> Outcome {
    lines.add("role", "master");
    lines.add("connected_slaves", 0);
    Ok(())
}

fn cluster(_: &Context, lines: &mut Lines) -> Outcome {
    lines.add("cluster_enabled", 0);
    Ok(())
}

fn enginebay(context: &Context, lines: &mut Lines) -> Outcome {
    let storage = &context.storage;
    lines.add("enginebay_version", env!("CARGO_PKG_VERSION"));
    lines.add("engine", &storage.description().name);
    lines.add("engine_version", &storage.description().version);
    lines.add("engine_path", storage.engine_path().display());
    lines.add("durability", durability_text(storage.durability()));
    if let Some(last) = storage.metrics().iter().find(|metric| metric.name == LAST_DURABLE_WRITE) {
        lines.add(LAST_DURABLE_WRITE, last.value);
    }
    lines.add("data_directory", context.settings.data_directory.display());
    lines.add("write_groups", context.sequencer.groups());
    lines.add("write_requests", context.sequencer.requests());
    lines.add("writes_admitted", u8::from(storage.write_refusal().is_none()));
    Ok(())
}

fn keyspace(context: &Context, lines: &mut Lines) -> Outcome {
    for database in 0..DATABASES {
        let keys = context.storage.count_about(database)?;
        if keys > 0 {
            lines.add(&format!("db{database}"), format_args!("keys={keys},expires=0,avg_ttl=0"));
        }
    }
    Ok(())
}

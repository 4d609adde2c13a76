//! INFO: facts about the server in the form that clients of Redis read.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::connection::REDIS_VERSION;
use super::errors::Outcome;
use super::table::TABLE;
use super::{Arguments, Context, Replies};
use crate::config::durability_text;
use crate::storage::keyspace::DATABASES;
use adapter_api::Capabilities;

/// The metric in which an engine says when it last made a write durable, if it does.
pub(super) const LAST_DURABLE_WRITE: &str = "last_durable_write_unix_ms";

type Section = fn(&Context, &mut Lines) -> Outcome;

/// Every section with its name, in the order in which they are shown, and whether it is shown unasked.
const SECTIONS: [(&str, Section, bool); 14] = [
    ("Server", server, true),
    ("Clients", clients, true),
    ("Memory", memory, true),
    ("Persistence", persistence, true),
    ("Stats", stats, true),
    ("Replication", replication, true),
    ("CPU", cpu, true),
    ("Modules", modules, true),
    ("Commandstats", commandstats, false),
    ("Errorstats", errorstats, true),
    ("Latencystats", latencystats, false),
    ("Cluster", cluster, true),
    ("Enginebay", enginebay, true),
    ("Keyspace", keyspace, true),
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
    let asked = |name: &str| arguments.from(1).any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let all = asked("all") || asked("everything");
    let default = arguments.len() == 1 || asked("default");
    let mut lines = Lines::default();
    for (name, section, unasked) in SECTIONS {
        if all || (default && unasked) || asked(name) {
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
    lines.add("cluster_connections", 0);
    lines.add("maxclients", context.settings.live.clients_max());
    lines.add("blocked_clients", 0);
    lines.add("tracking_clients", 0);
    Ok(())
}

fn memory(context: &Context, lines: &mut Lines) -> Outcome {
    let used = process_bytes("VmRSS:");
    let human = |bytes: u64| format!("{:.2}M", bytes as f64 / f64::from(1 << 20));
    let peak = process_bytes("VmHWM:").max(used);
    for (name, bytes) in [("used_memory", used), ("used_memory_rss", used), ("used_memory_peak", peak)] {
        lines.add(name, bytes);
        lines.add(&format!("{name}_human"), human(bytes));
    }
    lines.add("used_memory_dataset", 0);
    lines.add("maxmemory", 0);
    lines.add("maxmemory_human", "0B");
    lines.add("maxmemory_policy", "noeviction");
    lines.add("mem_fragmentation_ratio", "1.00");
    let of_clients = |bytes: &AtomicUsize| bytes.load(Ordering::Relaxed);
    let observe = &context.observe;
    lines.add("mem_clients_normal", of_clients(&observe.input_bytes) + of_clients(&observe.unsent_bytes));
    Ok(())
}

/// A size of the process, in bytes; 0 where the operating system does not say.
fn process_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|n| n.trim().parse().ok());
    kibibytes.unwrap_or(0_u64) * 1024
}

fn persistence(context: &Context, lines: &mut Lines) -> Outcome {
    lines.add("loading", 0);
    lines.add("async_loading", 0);
    lines.add("rdb_changes_since_last_save", 0);
    lines.add("rdb_bgsave_in_progress", 0);
    lines.add("rdb_last_bgsave_status", "ok");
    lines.add("aof_enabled", u8::from(context.storage.has(Capabilities::DURABLE)));
    lines.add("aof_rewrite_in_progress", 0);
    lines.add("aof_rewrite_scheduled", 0);
    lines.add("aof_last_bgrewrite_status", "ok");
    lines.add("aof_last_write_status", if context.storage.write_refusal().is_none() { "ok" } else { "err" });
    Ok(())
}

fn stats(context: &Context, lines: &mut Lines) -> Outcome {
    let calls: u64 = context.calls.iter().map(|calls| calls.made.get()).sum();
    lines.add("total_commands_processed", calls);
    for (name, counter) in context.observe.counters.named() {
        lines.add(name, counter.get());
    }
    lines.add("total_error_replies", context.observe.errors.total());
    for name in ["expired_keys", "evicted_keys", "pubsub_channels", "pubsub_patterns", "latest_fork_usec"] {
        lines.add(name, 0);
    }
    Ok(())
}

fn replication(_: &Context, lines: &mut Lines) -> Outcome {
    lines.add("role", "master");
    lines.add("connected_slaves", 0);
    lines.add("master_failover_state", "no-failover");
    lines.add("master_repl_offset", 0);
    Ok(())
}

/// The processor time of the process, in seconds.
fn cpu(_: &Context, lines: &mut Lines) -> Outcome {
    /// What `/proc` counts times in, on every Linux.
    const TICKS_A_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program stands in parentheses and may contain anything.
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let seconds = |place: usize| {
        let ticks = fields.get(place).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        format!("{:.6}", ticks as f64 / TICKS_A_SECOND)
    };
    for (name, place) in [
        ("used_cpu_sys", 12),
        ("used_cpu_user", 11),
        ("used_cpu_sys_children", 14),
        ("used_cpu_user_children", 13),
    ] {
        lines.add(name, seconds(place));
    }
    Ok(())
}

fn modules(_: &Context, _: &mut Lines) -> Outcome {
    Ok(())
}

/// Times are estimates: see `observe::Calls`.
fn commandstats(context: &Context, lines: &mut Lines) -> Outcome {
    for (row, calls) in TABLE.iter().zip(&context.calls) {
        let (made, rejected, failed) = (calls.made.get(), calls.rejected.get(), calls.failed.get());
        if made > 0 || rejected > 0 {
            let microseconds = calls.microseconds();
            let each = microseconds as f64 / made.max(1) as f64;
            lines.add(
                &format!("cmdstat_{}", row.name),
                format_args!(
                    "calls={made},usec={microseconds},usec_per_call={each:.2},rejected_calls={rejected},\
                     failed_calls={failed}"
                ),
            );
        }
    }
    Ok(())
}

fn errorstats(context: &Context, lines: &mut Lines) -> Outcome {
    for (code, count) in context.observe.errors.by_code() {
        lines.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
    Ok(())
}

/// Percentiles are upper bounds, rounded up to a power of two.
fn latencystats(context: &Context, lines: &mut Lines) -> Outcome {
    for (row, calls) in TABLE.iter().zip(&context.calls) {
        let bounds = calls.histogram();
        let Some((_, all)) = bounds.last() else { continue };
        let percentile = |share: f64| {
            let wanted = (*all as f64 * share).ceil() as u64;
            bounds.iter().find(|(_, calls)| *calls >= wanted).map_or(0, |(microseconds, _)| *microseconds)
        };
        let (p50, p99, p999) = (percentile(0.5), percentile(0.99), percentile(0.999));
        let values = format_args!("p50={p50}.000,p99={p99}.000,p99.9={p999}.000");
        lines.add(&format!("latency_percentiles_usec_{}", row.name), values);
    }
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

//! The settings that change while the server runs: by CONFIG SET, read by whoever goes by them.
//!
//! Promises: reading a number is one load. The server's layers read; `command` writes after it has checked.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::Password;

/// The settings that change while the server runs.
#[derive(Debug)]
pub struct LiveSettings {
    clients_max: AtomicUsize,
    /// In milliseconds; 0 lets idle clients stay.
    idle_timeout: AtomicU64,
    slowlog_micros: AtomicI64,
    slowlog_len_max: AtomicUsize,
    latency_threshold_ms: AtomicU64,
    password: RwLock<Option<Password>>,
}

impl Default for LiveSettings {
    /// Redis's defaults.
    fn default() -> Self {
        Self {
            clients_max: AtomicUsize::new(10_000),
            idle_timeout: AtomicU64::new(0),
            slowlog_micros: AtomicI64::new(10_000),
            slowlog_len_max: AtomicUsize::new(128),
            latency_threshold_ms: AtomicU64::new(0),
            password: RwLock::new(None),
        }
    }
}

impl LiveSettings {
    /// How many clients may be connected at once.
    pub fn clients_max(&self) -> usize {
        self.clients_max.load(Ordering::Relaxed)
    }

    /// Sets how many clients may be connected at once; those that are stay.
    pub fn set_clients_max(&self, clients: usize) {
        self.clients_max.store(clients, Ordering::Relaxed);
    }

    /// After how long a client that sends nothing is closed; `None` lets it stay.
    pub fn idle_timeout(&self) -> Option<Duration> {
        let milliseconds = self.idle_timeout.load(Ordering::Relaxed);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    /// Sets after how long a client that sends nothing is closed.
    pub fn set_idle_timeout(&self, timeout: Option<Duration>) {
        let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis());
        self.idle_timeout.store(u64::try_from(milliseconds).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// From how many microseconds on a request is slow; negative if none is.
    pub fn slowlog_micros(&self) -> i64 {
        self.slowlog_micros.load(Ordering::Relaxed)
    }

    /// Sets from how many microseconds on a request is slow.
    pub fn set_slowlog_micros(&self, microseconds: i64) {
        self.slowlog_micros.store(microseconds, Ordering::Relaxed);
    }

    /// How many slow requests are kept.
    pub fn slowlog_len_max(&self) -> usize {
        self.slowlog_len_max.load(Ordering::Relaxed)
    }

    /// Sets how many slow requests are kept.
    pub fn set_slowlog_len_max(&self, len: usize) {
        self.slowlog_len_max.store(len, Ordering::Relaxed);
    }

    /// From how many milliseconds on an event is noted for LATENCY; 0 if none is.
    pub fn latency_threshold_ms(&self) -> u64 {
        self.latency_threshold_ms.load(Ordering::Relaxed)
    }

    /// Sets from how many milliseconds on an event is noted.
    pub fn set_latency_threshold_ms(&self, milliseconds: u64) {
        self.latency_threshold_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// The password that clients have to give; `None` lets everybody in.
    pub fn password(&self) -> Option<Password> {
        self.password.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the password for clients that connect from now on.
    pub fn set_password(&self, password: Option<Password>) {
        *self.password.write().unwrap_or_else(PoisonError::into_inner) = password;
    }
}

//! Who is connected, for CLIENT LIST and INFO.
//!
//! Promises: a client is in the list from `connected` to `disconnected`; its numbers never repeat in one run
//! of the server. What CLIENT LIST prints of a client is written here by its connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// One connected client.
#[derive(Debug)]
pub struct Client {
    id: u64,
    address: String,
    local_address: String,
    connected: Instant,
    /// Milliseconds from `connected` to the last request.
    last_active: AtomicU64,
    database: AtomicU8,
    protocol: AtomicU8,
    monitors: AtomicBool,
    keeps_place: AtomicBool,
    dismissal: OnceLock<&'static str>,
    labels: Mutex<Labels>,
}

/// What a client is apart from an ordinary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFlag {
    /// It watches every request: MONITOR.
    Monitors,
    /// It is not closed to make room: CLIENT NO-EVICT.
    KeepsPlace,
}

/// The texts that a client gives itself, and its last command.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Labels {
    name: String,
    library_name: String,
    library_version: String,
    last_command: &'static str,
}

impl Client {
    fn new(id: u64, address: String, local_address: String) -> Self {
        Self {
            id,
            address,
            local_address,
            connected: Instant::now(),
            last_active: AtomicU64::new(0),
            database: AtomicU8::new(0),
            protocol: AtomicU8::new(2),
            monitors: AtomicBool::new(false),
            keeps_place: AtomicBool::new(false),
            dismissal: OnceLock::new(),
            labels: Mutex::default(),
        }
    }

    /// Its number, from 1.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it connected to.
    pub fn local_address(&self) -> &str {
        &self.local_address
    }

    /// Sets or clears a flag.
    pub fn set(&self, flag: ClientFlag, on: bool) {
        self.flag(flag).store(on, Ordering::Relaxed);
    }

    /// Whether the flag is set.
    pub fn has(&self, flag: ClientFlag) -> bool {
        self.flag(flag).load(Ordering::Relaxed)
    }

    fn flag(&self, flag: ClientFlag) -> &AtomicBool {
        match flag {
            ClientFlag::Monitors => &self.monitors,
            ClientFlag::KeepsPlace => &self.keeps_place,
        }
    }

    /// Tells it to go, for a reason that is logged. Its event loop closes it at the next call for attention.
    pub fn dismiss(&self, reason: &'static str) {
        // Who was told to go before goes for the reason that it was told then.
        let _ = self.dismissal.set(reason);
    }

    /// Why it has to go, if it has.
    pub fn dismissal(&self) -> Option<&'static str> {
        self.dismissal.get().copied()
    }

    /// Its name, empty if it has none.
    pub fn name(&self) -> String {
        self.labels().name.clone()
    }

    /// Gives it a name; an empty one takes the name away.
    pub fn set_name(&self, name: &str) {
        self.labels().name = name.to_string();
    }

    /// Notes the client library that it says it uses.
    pub fn set_library_name(&self, name: &str) {
        self.labels().library_name = name.to_string();
    }

    /// Notes the version of the client library.
    pub fn set_library_version(&self, version: &str) {
        self.labels().library_version = version.to_string();
    }

    /// Notes the database that it works in.
    pub fn set_database(&self, database: u8) {
        self.database.store(database, Ordering::Relaxed);
    }

    /// Notes the version of the protocol that it speaks, 2 or 3.
    pub fn set_protocol(&self, version: u8) {
        self.protocol.store(version, Ordering::Relaxed);
    }

    /// Notes that it sent requests just now, the last of which was `command`. Once for a run of requests is
    /// enough.
    pub fn active(&self, command: &'static str) {
        let age = u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX);
        self.last_active.store(age, Ordering::Relaxed);
        self.labels().last_command = command;
    }

    /// How long it has been connected.
    pub fn age(&self) -> Duration {
        self.connected.elapsed()
    }

    /// Its line in CLIENT LIST, without a line break.
    pub fn line(&self) -> String {
        let age = self.age();
        let idle = age.saturating_sub(Duration::from_millis(self.last_active.load(Ordering::Relaxed)));
        let labels = self.labels().clone();
        let command = if labels.last_command.is_empty() { "NULL" } else { labels.last_command };
        let mut flags = String::new();
        flags.extend(self.has(ClientFlag::Monitors).then_some('O'));
        flags.extend(self.has(ClientFlag::KeepsPlace).then_some('e'));
        if flags.is_empty() {
            flags.push('N');
        }
        format!(
            "id={} addr={} laddr={} name={} age={} idle={} flags={flags} db={} sub=0 psub=0 ssub=0 multi=-1 cmd={} \
             user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local_address,
            labels.name,
            age.as_secs(),
            idle.as_secs(),
            self.database.load(Ordering::Relaxed),
            command,
            self.protocol.load(Ordering::Relaxed),
            labels.library_name,
            labels.library_version,
        )
    }

    fn labels(&self) -> MutexGuard<'_, Labels> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every connected client.
#[derive(Debug, Default)]
pub struct Clients {
    last_id: AtomicU64,
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
}

impl Clients {
    /// Adds a client that connected from `address` to `local_address`.
    pub fn connected(&self, address: &str, local_address: &str) -> Arc<Client> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client::new(id, address.to_string(), local_address.to_string()));
        self.lock().insert(id, Arc::clone(&client));
        client
    }

    /// Removes a client.
    pub fn disconnected(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// The client of that number, if it is connected.
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.lock().get(&id).cloned()
    }

    /// How many clients are connected.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The clients in the order in which they connected.
    pub fn list(&self) -> Vec<Arc<Client>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_listed_until_it_disconnects() {
        let clients = Clients::default();
        let first = clients.connected("127.0.0.1:1", "127.0.0.1:6379");
        let second = clients.connected("127.0.0.1:2", "127.0.0.1:6379");
        first.set_name("alice");
        first.active("get");
        let lines: Vec<_> = clients.list().iter().map(|client| client.line()).collect();
        assert!(
            lines[0].starts_with("id=1 addr=127.0.0.1:1 laddr=127.0.0.1:6379 name=alice"),
            "{}",
            lines[0]
        );
        assert!(lines[0].contains(" cmd=get ") && lines[1].contains(" cmd=NULL "));
        clients.disconnected(first.id());
        assert_eq!(clients.list().iter().map(|client| client.id()).collect::<Vec<_>>(), [second.id()]);
    }

    #[test]
    fn numbers_of_clients_never_repeat() {
        let clients = Clients::default();
        clients.disconnected(clients.connected("a", "b").id());
        assert_eq!(clients.connected("a", "b").id(), 2);
    }
}

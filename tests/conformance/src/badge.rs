//! The badges: what an engine may be trusted with, each judged by itself.

use std::fmt;
use std::str::FromStr;

use adapter_api::{Capabilities, Promise};

/// A badge. Each is earned or not by itself; the numbers are an order of reading, not of merit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Badge {
    /// An ordered map: what was written is what is read.
    Semantics,
    /// An orderly end brings everything back.
    Restart,
    /// After a crash batches are there as a whole, and none without those before it.
    AtomicUnderCrash,
    /// What was answered OK is there after a crash.
    DurableOnOk,
    /// Points in time, and entries in order.
    ViewsAndScans,
    /// Errors, full disks, failed syncs and damage lose nothing silently.
    HostileDisk,
    /// No socket, and no file but those that it was given.
    Confined,
}

impl Badge {
    /// Every badge, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Semantics,
        Self::Restart,
        Self::AtomicUnderCrash,
        Self::DurableOnOk,
        Self::ViewsAndScans,
        Self::HostileDisk,
        Self::Confined,
    ];

    /// `L0` to `L6`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Semantics => "L0",
            Self::Restart => "L1",
            Self::AtomicUnderCrash => "L2",
            Self::DurableOnOk => "L3",
            Self::ViewsAndScans => "L4",
            Self::HostileDisk => "L5",
            Self::Confined => "L6",
        }
    }

    /// What it is for, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Semantics => "semantics",
            Self::Restart => "restart",
            Self::AtomicUnderCrash => "atomic under crash",
            Self::DurableOnOk => "durable on OK",
            Self::ViewsAndScans => "views and ordered scans",
            Self::HostileDisk => "hostile disk",
            Self::Confined => "no socket, no file of its own",
        }
    }

    /// What an engine must have for this badge to mean anything.
    pub const fn needs(self) -> Capabilities {
        match self {
            Self::Semantics | Self::Confined => Capabilities::NONE,
            Self::ViewsAndScans => Capabilities::READ_VIEW,
            Self::Restart | Self::AtomicUnderCrash | Self::DurableOnOk | Self::HostileDisk => {
                Capabilities::DURABLE
            }
        }
    }

    /// The line of an engine's own table of guarantees that says the same, if there is one.
    pub const fn promise(self) -> Option<Promise> {
        match self {
            Self::Semantics => Some(Promise::Semantics),
            Self::Restart => Some(Promise::Restart),
            Self::AtomicUnderCrash => Some(Promise::Atomicity),
            Self::DurableOnOk => Some(Promise::CrashSafety),
            Self::ViewsAndScans => Some(Promise::Transactions),
            Self::HostileDisk | Self::Confined => None,
        }
    }
}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Badge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|badge| badge.code().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("{text:?} is no level; there are L0 to L6"))
    }
}

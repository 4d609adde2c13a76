//! A case: one fact about an engine, by its name.

use adapter_api::Capabilities;

use crate::badge::Badge;
use crate::cases;
use crate::outcome::{Outcome, Verdict};
use crate::trial::Trial;

/// How long a case goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Until it is done.
    Once,
    /// It rolls dice as long as it is given; so many parts of the time that there is for all of them.
    Share(u32),
}

/// One fact about an engine.
#[derive(Clone, Copy)]
pub struct Case {
    /// The fact.
    pub name: &'static str,
    /// The badge that it counts for.
    pub badge: Badge,
    /// What an engine must have for it to mean anything.
    pub needs: Capabilities,
    /// How long it goes on.
    pub time: Time,
    /// Whether it takes rights away from its process, which must be its own.
    pub is_confining: bool,
    pub(crate) run: fn(&Trial) -> Verdict,
}

impl Case {
    /// A case without needs that is done once.
    pub(crate) const fn new(badge: Badge, name: &'static str, run: fn(&Trial) -> Verdict) -> Self {
        Self { name, badge, needs: badge.needs(), time: Time::Once, is_confining: false, run }
    }

    /// The same for engines that have this, too.
    pub(crate) const fn needs(self, needs: Capabilities) -> Self {
        Self { needs: Capabilities::from_bits(self.needs.bits() | needs.bits()), ..self }
    }

    /// The same whatever the badge needs.
    pub(crate) const fn for_every_engine(self) -> Self {
        Self { needs: Capabilities::NONE, ..self }
    }

    /// The same, with a share of the time.
    pub(crate) const fn share(self, parts: u32) -> Self {
        Self { time: Time::Share(parts), ..self }
    }

    /// The same, in a process of its own.
    pub(crate) const fn confining(self) -> Self {
        Self { is_confining: true, ..self }
    }

    /// Runs the case in this process and on this thread.
    pub fn run(&self, trial: &Trial) -> Outcome {
        trial.run(self.needs, self.run).into()
    }
}

/// Every case, badge by badge.
pub fn all_cases() -> Vec<Case> {
    let mut all = cases::all();
    all.sort_by_key(|case| case.badge);
    all
}

/// The case of that name.
pub fn case_named(name: &str) -> Option<Case> {
    cases::all().into_iter().find(|case| case.name == name)
}

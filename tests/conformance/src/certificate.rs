//! The certificate: which badges an engine earned, and by which cases.

use crate::badge::Badge;
use crate::case::Case;
use crate::outcome::Outcome;

/// How an engine stands with a badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every case that could be judged passed.
    Earned,
    /// At least one case failed.
    Failed,
    /// The engine does not claim what the badge is about.
    NotOffered,
    /// Nobody could say, here.
    NotJudged,
}

impl Standing {
    /// The standing in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Earned => "earned",
            Self::Failed => "FAILED",
            Self::NotOffered => "not offered",
            Self::NotJudged => "not judged",
        }
    }
}

/// The outcomes of all cases.
#[derive(Default)]
pub struct Certificate {
    outcomes: Vec<(Case, Outcome)>,
}

impl Certificate {
    /// Adds what came of a case.
    pub fn add(&mut self, case: Case, outcome: Outcome) {
        self.outcomes.push((case, outcome));
        self.outcomes.sort_by_key(|(case, _)| case.badge);
    }

    /// Every case with what came of it, badge by badge.
    pub fn outcomes(&self) -> impl Iterator<Item = (&Case, &Outcome)> {
        self.outcomes.iter().map(|(case, outcome)| (case, outcome))
    }

    /// The outcomes that count for a badge.
    pub fn of(&self, badge: Badge) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(move |(case, _)| case.badge == badge).map(|(_, outcome)| outcome)
    }

    /// How the engine stands with a badge. What it lacks of the optional primitives costs it no badge; a case
    /// that nobody could judge does.
    pub fn standing(&self, badge: Badge) -> Standing {
        let is_any = |which: fn(&Outcome) -> bool| self.of(badge).any(which);
        let lacks_core = self
            .outcomes
            .iter()
            .any(|(case, outcome)| case.badge == badge && case.needs == badge.needs() && is_lacking(outcome));
        if is_any(|outcome| matches!(outcome, Outcome::Failed(_))) {
            Standing::Failed
        } else if lacks_core {
            Standing::NotOffered
        } else if is_any(|outcome| matches!(outcome, Outcome::NotJudged(_)))
            || !is_any(|outcome| matches!(outcome, Outcome::Passed(_)))
        {
            Standing::NotJudged
        } else {
            Standing::Earned
        }
    }

    /// The badges of this standing, by their codes.
    pub fn badges(&self, standing: Standing) -> Vec<&'static str> {
        let badges = Badge::ALL.into_iter().filter(|badge| self.standing(*badge) == standing);
        badges.map(Badge::code).collect()
    }
}

fn is_lacking(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotOffered(_))
}

//! Every case, one file for each part of the contract.

mod backup;
mod batch;
mod concurrency;
mod confinement;
mod crashes;
mod damage;
mod description;
mod durability;
mod estimate;
mod failure;
mod ingest;
mod limits;
mod lives;
mod maintenance;
mod point;
mod restart;
mod salvage;
mod scan;
mod view;

use crate::case::Case;

/// All of them, file by file.
pub fn all() -> Vec<Case> {
    let files: [&[Case]; 19] = [
        description::CASES,
        point::CASES,
        batch::CASES,
        limits::CASES,
        estimate::CASES,
        ingest::CASES,
        maintenance::CASES,
        concurrency::CASES,
        lives::CASES,
        restart::CASES,
        backup::CASES,
        crashes::CASES,
        durability::CASES,
        scan::CASES,
        view::CASES,
        failure::CASES,
        damage::CASES,
        salvage::CASES,
        confinement::CASES,
    ];
    files.concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own_that_is_a_word_on_a_command_line() {
        let names: Vec<_> = all().iter().map(|case| case.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let is_word = |name: &&str| {
            name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
        };
        assert!(names.iter().all(is_word), "{names:?}");
    }
}

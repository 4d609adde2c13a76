//! Takes rights away from this very process, for good: that is why a case that does so has one of its own.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// Calls that open a socket, or a ring that can do without calls.
pub const SOCKETS: &[i64] = &[libc::SYS_socket, libc::SYS_socketpair, libc::SYS_io_uring_setup];

/// Calls that open a file, change a name, or start another program.
pub const FILES: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_open_by_handle_at,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_truncate,
    libc::SYS_memfd_create,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_io_uring_setup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
];

/// Ends this process with SIGSYS at any of these calls, whoever makes it.
///
/// # Errors
/// Why the kernel does not do that.
pub fn forbid(calls: &[i64]) -> Result<(), String> {
    let unable = |error: &dyn std::fmt::Display| format!("seccomp cannot be used here: {error}");
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| unable(&error))?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, machine);
    let program = filter.and_then(BpfProgram::try_from).map_err(|error| unable(&error))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| unable(&error))
}

/// From now on this thread, and those that it starts, reach no file but those below a folder.
///
/// # Errors
/// Why the kernel does not do that.
pub fn stay_below(folder: &Path) -> Result<(), String> {
    let restrict = || {
        let all = AccessFs::from_all(ABI::V5);
        let below = PathFd::new(folder).map_err(|error| error.to_string())?;
        let rules = Ruleset::default().handle_access(all).map_err(text)?.create().map_err(text)?;
        let rules = rules.add_rule(PathBeneath::new(below, all)).map_err(text)?;
        rules.restrict_self().map_err(text)
    };
    match restrict().map_err(|error: String| format!("Landlock cannot be used here: {error}"))?.ruleset {
        RulesetStatus::NotEnforced => Err("this kernel has no Landlock".to_string()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

fn text(error: RulesetError) -> String {
    error.to_string()
}

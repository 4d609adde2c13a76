//! `export_engine!`: what turns an author's crate into a plugin.

use abi_stable::library::LibHeader;

use crate::abi::plugin;
use crate::engine::Plugin;

/// Exports an engine from a `cdylib`: the one line that makes a crate a plugin.
///
/// Takes the type that implements [`Plugin`](crate::Plugin). At most one engine of a program or library can
/// be exported, for all export the same symbol.
#[macro_export]
macro_rules! export_engine {
    ($engine:ty) => {
        const _: () = {
            // The symbol that the loader looks up.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static HEADER: $crate::__export::Header = $crate::__export::header::<$engine>();
        };
    };
}

/// What `export_engine!` expands to; not for use by hand.
#[doc(hidden)]
pub mod __export {
    use super::{LibHeader, Plugin, plugin};

    /// The type of the exported symbol.
    pub type Header = LibHeader;

    /// The value of the exported symbol.
    pub const fn header<E: Plugin>() -> Header {
        plugin::header::<E>()
    }
}

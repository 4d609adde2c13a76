//! `export_engine!`: what turns an author's crate into a plugin.

/// Exports the engine type, which implements [`Plugin`](crate::Plugin), from a `cdylib`.
#[macro_export]
macro_rules! export_engine {
    ($engine:ty) => {
        const _: () = $crate::__export::<$engine>();
    };
}

#[doc(hidden)]
pub const fn __export<E: crate::Plugin>() {}

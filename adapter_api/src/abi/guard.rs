//! The panic border: a panic on one side never unwinds into the other.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::errors::{AbiError, AbiIoResult, AbiResult, io_to_abi, to_abi};
use crate::error::Result;

/// Answers a call on an engine; a panic becomes an error that the caller can tell from others.
pub(crate) fn guard<T>(call: &str, answer: impl FnOnce() -> Result<T>) -> AbiResult<T> {
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(result) => to_abi(result),
        Err(payload) => AbiError::panicked(format!("panic in {call}: {}", text_of(payload))),
    }
}

/// Answers a call on a file or a directory; a panic becomes an error of no particular kind.
pub(crate) fn guard_io<T>(call: &str, answer: impl FnOnce() -> std::io::Result<T>) -> AbiIoResult<T> {
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(result) => io_to_abi(result),
        Err(payload) => {
            io_to_abi(Err(std::io::Error::other(format!("panic in {call}: {}", text_of(payload)))))
        }
    }
}

/// Answers a call that has no error; a panic answers with `otherwise`.
pub(crate) fn guard_or<T>(otherwise: T, answer: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|payload| {
        text_of(payload);
        otherwise
    })
}

/// The text of a panic. The payload is dropped inside a border of its own, for its drop may panic too.
fn text_of(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text.to_string(),
        (_, Some(text)) => text.clone(),
        _ => "a value that is not a text".to_string(),
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // A payload that panics twice is not worth a third try.
        std::mem::forget(second);
    }
    text
}

/// Whether a value of one engine has panicked while it was dropped: there is no caller to tell then, so the
/// engine's next `apply` does.
pub(crate) type DropPanicked = Arc<AtomicBool>;

/// A value whose drop cannot panic outwards.
pub(crate) struct Guarded<T> {
    value: ManuallyDrop<T>,
    drop_panicked: DropPanicked,
}

impl<T> Guarded<T> {
    pub(crate) fn new(value: T, drop_panicked: &DropPanicked) -> Self {
        Self { value: ManuallyDrop::new(value), drop_panicked: Arc::clone(drop_panicked) }
    }
}

impl<T> Deref for Guarded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the value is dropped here and nowhere else, and never touched again.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { ManuallyDrop::drop(&mut self.value) }));
        if let Err(payload) = dropped {
            text_of(payload);
            self.drop_panicked.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineError;
    use crate::abi::errors::from_abi;

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_panic_becomes_failed_and_keeps_its_text() {
        let answer: Result<()> = from_abi(guard("get", || panic!("text {}", 1)));
        assert_eq!(answer.unwrap_err().to_string(), "failed: panic in get: text 1");
    }

    #[test]
    fn a_payload_that_panics_in_drop_is_contained() {
        let answer: Result<()> = from_abi(guard("get", || std::panic::panic_any(PanicsInDrop)));
        assert!(matches!(answer, Err(EngineError::Failed { .. })));
    }

    #[test]
    fn a_guarded_drop_does_not_unwind_and_is_remembered() {
        let panicked = DropPanicked::default();
        drop(Guarded::new(PanicsInDrop, &panicked));
        assert!(panicked.load(Ordering::Relaxed));
    }
}

//! The password of clients, kept as a digest.
//!
//! Promises: the text of a password is not kept; comparing takes the same time whatever a stranger guesses.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What stands for a password wherever settings are shown.
pub const HIDDEN: &str = "(hidden)";

/// The SHA-256 of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password([u8; 32]);

impl Password {
    /// The password in a setting: as it is, or `#` and its SHA-256 in 64 hexadecimal digits, so that a file need
    /// not hold it. `None` for the empty text, which means that there is no password.
    pub fn from_setting(text: &[u8]) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let digest = text.strip_prefix(b"#").and_then(digest_of_hexadecimal);
        Some(Self(digest.unwrap_or_else(|| Sha256::digest(text).into())))
    }

    /// Whether the guess is the password.
    pub fn is(&self, guess: &[u8]) -> bool {
        let guess: [u8; 32] = Sha256::digest(guess).into();
        self.0.ct_eq(&guess).into()
    }
}

fn digest_of_hexadecimal(text: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() {
        return None;
    }
    for (byte, digits) in digest.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |letter: u8| char::from(letter).to_digit(16);
        *byte = (digit(digits[0])? * 16 + digit(digits[1])?) as u8;
    }
    Some(digest)
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_itself_or_by_its_digest() {
        let plain = Password::from_setting(b"sekrit").unwrap();
        let digest = "#42f44ca8edca917e1b56e2ffb2cd82cdbb34bb01446f7ba9b3a5a4c1c0b1aafb";
        assert!(plain.is(b"sekrit") && !plain.is(b"sekri") && !plain.is(b""));
        let hashed: String = Sha256::digest(b"sekrit").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(Password::from_setting(format!("#{hashed}").as_bytes()), Some(plain.clone()));
        assert_eq!(Password::from_setting(format!("#{}", hashed.to_uppercase()).as_bytes()), Some(plain));
        let other = Password::from_setting(digest.as_bytes()).unwrap();
        assert!(!other.is(digest.as_bytes()), "a digest is not a password");
        assert!(Password::from_setting(b"#sekrit").unwrap().is(b"#sekrit"), "no digest, so a password");
        assert_eq!(Password::from_setting(b""), None);
    }

    #[test]
    fn a_password_is_never_printed() {
        assert_eq!(format!("{:?}", Password::from_setting(b"sekrit")), "Some((hidden))");
    }
}

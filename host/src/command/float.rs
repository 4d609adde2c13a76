//! Floating-point numbers as INCRBYFLOAT reads, adds and writes them.
//!
//! Promises: the digits are those of Redis on x86-64, whose `long double` has 64 bits of significand; on
//! every machine that Enginebay runs on. Reads what C reads: decimal and hexadecimal numbers, and infinity,
//! which no sum may be.

use std::fmt;

use rustc_apfloat::ieee::X87DoubleExtended;
use rustc_apfloat::{Float, Round};

/// A longer text is no number.
const TEXT_BYTES_END: usize = 5 * 1024;
/// A larger exponent makes every number of so many digits infinite, or nothing.
const EXPONENT_MAX: i32 = 50_000;
/// How many digits behind the point are written at most.
const DECIMALS: u32 = 17;
/// A number is its significand times two to the power of its exponent less this.
const EXPONENT_BIAS: i32 = 16_383 + 63;

/// A number of Redis's `long double`; infinity only if a client wrote that.
#[derive(Clone, Copy)]
pub(super) struct Extended(X87DoubleExtended);

impl Extended {
    /// Nothing.
    pub(super) const ZERO: Self = Self(X87DoubleExtended::ZERO);

    /// The number that the bytes spell; `None` if they spell none, or one too large or too close to zero.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() < TEXT_BYTES_END)?;
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let magnitude = match unsigned.to_ascii_lowercase().as_str() {
            "inf" | "infinity" => X87DoubleExtended::INFINITY,
            lower => match lower.strip_prefix("0x") {
                Some(digits) => finite(digits, 'p', char::is_ascii_hexdigit, "0x")?,
                None => finite(lower, 'e', char::is_ascii_digit, "")?,
            },
        };
        Some(Self(if text.starts_with('-') { -magnitude } else { magnitude }))
    }

    /// The sum; `None` if it is infinite or no number.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let sum = self.0.add_r(other.0, Round::NearestTiesToEven).value;
        sum.is_finite().then_some(Self(sum))
    }
}

/// Reads `digits.digits` with an exponent behind the sign for it. The parts are checked here, because the
/// library reads less and more than C does.
fn finite(
    text: &str,
    exponent_sign: char,
    is_digit: fn(&char) -> bool,
    prefix: &str,
) -> Option<X87DoubleExtended> {
    let (significand, exponent) = text.split_once(exponent_sign).unwrap_or((text, "0"));
    let (whole, fraction) = significand.split_once('.').unwrap_or((significand, ""));
    let digits = || whole.chars().chain(fraction.chars());
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_number = digits().count() > 0
        && digits().all(|digit| is_digit(&digit))
        && !exponent_digits.is_empty()
        && exponent_digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number {
        return None;
    }
    if digits().all(|digit| digit == '0') {
        return Some(X87DoubleExtended::ZERO);
    }
    let exponent = exponent_digits.parse::<i32>().unwrap_or(i32::MAX).min(EXPONENT_MAX);
    let sign = if text.contains(&format!("{exponent_sign}-")) { "-" } else { "" };
    let plain = format!("{prefix}{whole}.{fraction}{exponent_sign}{sign}{exponent}");
    let read = X87DoubleExtended::from_str_r(&plain, Round::NearestTiesToEven).ok()?.value;
    (read.is_finite() && !read.is_zero()).then_some(read)
}

impl fmt::Display for Extended {
    /// The shortest form of the number rounded to 17 decimals: no exponent, no zero that could be left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.to_bits();
        let significand = bits as u64;
        let exponent = ((bits >> 64) as i32 & 0x7fff).max(1) - EXPONENT_BIAS;
        let text = match u32::try_from(exponent) {
            Ok(doublings) => whole_number(significand, doublings),
            Err(_) => with_decimals(significand, exponent.unsigned_abs()),
        };
        let sign = if self.0.is_negative() && text != "0" { "-" } else { "" };
        write!(f, "{sign}{text}")
    }
}

/// The digits of a significand doubled some times.
fn whole_number(significand: u64, doublings: u32) -> String {
    const LIMB: u64 = 1_000_000_000;
    // From the lowest to the highest, nine digits each.
    let mut limbs = vec![significand % LIMB, significand / LIMB % LIMB, significand / LIMB / LIMB];
    let mut left = doublings;
    while left > 0 {
        let step = left.min(32);
        left -= step;
        let mut carry = 0;
        for limb in &mut limbs {
            let sum = (*limb << step) + carry;
            (*limb, carry) = (sum % LIMB, sum / LIMB);
        }
        while carry > 0 {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
    }
    let digits: String = limbs.iter().rev().map(|limb| format!("{limb:09}")).collect();
    match digits.trim_start_matches('0') {
        "" => "0".to_string(),
        digits => digits.to_string(),
    }
}

/// The digits of a significand halved some times, rounded to `DECIMALS` behind the point, ties to even.
fn with_decimals(significand: u64, halvings: u32) -> String {
    let scaled = u128::from(significand) * 10_u128.pow(DECIMALS);
    // There are fewer than 128 bits: halved that often, nothing is left that could be rounded up.
    let rounded = match halvings {
        ..128 => {
            let (kept, rest) = (scaled >> halvings, scaled & ((1 << halvings) - 1));
            let half = 1 << (halvings - 1);
            kept + u128::from(rest > half || (rest == half && kept % 2 == 1))
        }
        _ => 0,
    };
    let one = 10_u128.pow(DECIMALS);
    let text = format!("{}.{:017}", rounded / one, rounded % one);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(one: &str, other: &str) -> Option<String> {
        let parse = |text: &str| Extended::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text:?}"));
        parse(one).plus(parse(other)).map(|sum| sum.to_string())
    }

    #[test]
    fn sums_have_the_digits_of_redis() {
        // What redis-server 7.0.15 answers on x86-64.
        for (one, other, expected) in [
            ("10.50", "0.1", "10.6"),
            ("10.6", "5.0e3", "5010.60000000000000009"),
            ("5010.60000000000000009", "0x10", "5026.60000000000000009"),
            ("0", "1e-4940", "0"),
            ("0", ".5", "0.5"),
            ("0.5", "5.", "5.5"),
            ("5.5", "0x.8", "6"),
            ("6", "0X1P-3", "6.125"),
            ("7.125", "-1.0000000000000000000001", "6.125"),
            ("0", "-0", "0"),
            ("0", "-1e-20", "0"),
            ("3", "1.1", "4.1"),
            ("1", "-1.5", "-0.5"),
            ("0", "18446744073709551616", "18446744073709551616"),
            ("0", "1e27", "1000000000000000000000000000"),
            ("4.1", "-0x1.8p0", "2.6"),
            // Halfway between two ends.
            ("0", "0x1p-18", "0.00000381469726562"),
            ("0", "0x3p-18", "0.00001144409179688"),
        ] {
            assert_eq!(sum(one, other).as_deref(), Some(expected), "{one} + {other}");
        }
        let large = sum("0", "1e400").unwrap();
        assert!(large.starts_with("10000000000000000000281880683947586514586453") && large.len() == 401);
    }

    #[test]
    fn what_c_does_not_read_is_no_number() {
        let long = "1".repeat(TEXT_BYTES_END);
        for text in [
            "",
            " 1",
            "1 ",
            "x",
            "1e",
            "1e+",
            "3e1e",
            "0x",
            "0x.",
            "0x1p",
            ".",
            "-",
            "+-1",
            "nan",
            "nan(1)",
            "1e5000",
            "-1e5000",
            "1e-5000",
            "1e99999999999",
            "1e-99999999999",
            "1_0",
            "1,0",
            "1\0",
            &long,
        ] {
            assert!(Extended::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        for text in ["0e99999999999", "0x0p9999999999", "1e-4940", "1e4932", "+1", "-.5e-0", &long[1..4000]] {
            assert!(Extended::parse(text.as_bytes()).is_some(), "{text:?}");
        }
    }

    #[test]
    fn no_sum_is_infinite() {
        for (one, other) in [("inf", "1"), ("1", "-Infinity"), ("inf", "-inf"), ("1.1e4932", "1.1e4932")] {
            assert_eq!(sum(one, other), None, "{one} + {other}");
        }
    }

    #[test]
    fn the_largest_number_has_all_of_its_digits() {
        let largest = sum("0", "0x1.fffffffffffffffep16383").unwrap();
        assert_eq!((&largest[..40], largest.len()), ("1189731495357231765021263853030970205169", 4933));
        assert_eq!(Extended::parse(largest.as_bytes()).unwrap().to_string(), largest);
    }
}

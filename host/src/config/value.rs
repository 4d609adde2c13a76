//! Values on their way from a TOML file or a flag into a setting.
//!
//! Promises: a value is either taken as a whole, by the one rule of its kind, or nothing changes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use adapter_api::Durability;
use toml::de::DeValue;

use super::schema::{DURABILITY_INTERVAL_MAX, Kind};
use super::{GivenOption, HIDDEN, Origin, Password, Settings};

/// A value as it was written, before anybody asked whether it fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// Several values.
    List(Vec<Value>),
    /// Anything else that TOML knows, or a number too large; no setting takes it.
    Other(String),
}

impl Value {
    /// The value of a TOML file.
    pub fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Self::Other(number.to_string()), Self::Integer),
            DeValue::Float(number) => Self::Other(number.to_string()),
            DeValue::Datetime(time) => Self::Other(time.to_string()),
            DeValue::Array(values) => {
                Self::List(values.iter().map(|one| Self::from_toml(one.get_ref())).collect())
            }
            DeValue::Table(_) => Self::Other("a table".to_string()),
        }
    }

    /// A list of texts.
    pub fn texts(texts: &[String]) -> Self {
        Self::List(texts.iter().cloned().map(Self::Text).collect())
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list, or the one text that stands for a list of one.
    fn as_texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Text(text) => Some(vec![text]),
            Self::List(values) => values.iter().map(Self::as_text).collect(),
            _ => None,
        }
    }

    /// The value of an engine's option, which the engine's own schema checks later.
    fn as_option(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::List(_) | Self::Other(_) => None,
        }
    }
}

/// As TOML, on one line; long texts are cut.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// The text as a TOML string on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// Puts `value` where `kind` says. Returns the value in its plain form, as TOML; `None` if the kind does not
/// take it, and then nothing changed. Tables are stored entry by entry, by [`store_entry`].
pub fn store(kind: &Kind, value: &Value, settings: &mut Settings) -> Option<String> {
    match kind {
        Kind::Text(set) => set(settings, value.as_text().filter(|text| !text.is_empty())?.to_string()),
        Kind::Path(set) => set(settings, PathBuf::from(value.as_text().filter(|text| !text.is_empty())?)),
        Kind::OptionalPath(set) => {
            let text = value.as_text()?;
            set(settings, (!text.is_empty()).then(|| PathBuf::from(text)));
        }
        Kind::Paths(set) => {
            let texts = value.as_texts().filter(|texts| texts.iter().all(|text| !text.is_empty()))?;
            set(settings, texts.into_iter().map(PathBuf::from).collect());
        }
        Kind::Addresses(set) => {
            set(settings, value.as_texts()?.into_iter().map(address).collect::<Option<_>>()?);
        }
        Kind::Secret(set) => {
            let password = Password::from_setting(value.as_text()?.as_bytes());
            let shown = if password.is_some() { HIDDEN } else { "" };
            set(settings, password);
            return Some(quoted(shown));
        }
        Kind::Flag(set) => match value {
            Value::Flag(flag) => set(settings, *flag),
            _ => return None,
        },
        Kind::Integer { min, max, set, .. } => match value {
            Value::Integer(number) => {
                set(settings, u64::try_from(*number).ok().filter(|number| (min..=max).contains(&number))?);
            }
            _ => return None,
        },
        Kind::Bytes { min, max, set } => {
            let bytes = bytes(value).filter(|bytes| (min..=max).contains(&bytes))?;
            set(settings, bytes);
            return Some(size_toml(bytes));
        }
        Kind::Durability(set) => set(settings, durability(value.as_text()?)?),
        Kind::Pins(_) | Kind::EngineOptions(_) => return None,
    }
    Some(value.to_string())
}

/// Puts one entry of a table where `kind` says; `None` if it is not taken.
pub fn store_entry(
    kind: &Kind,
    name: &str,
    value: &Value,
    origin: &Origin,
    settings: &mut Settings,
) -> Option<()> {
    match kind {
        Kind::Pins(set) => {
            let hash = value
                .as_text()
                .filter(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()))?;
            set(settings, name.to_string(), hash.to_ascii_lowercase());
        }
        Kind::EngineOptions(set) => {
            set(
                settings,
                GivenOption { name: name.to_string(), value: value.as_option()?, origin: origin.clone() },
            );
        }
        _ => return None,
    }
    Some(())
}

/// Reads `IP:PORT` or `localhost:PORT`. No other names: what they mean may change between check and start.
fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?)),
        None => text.parse().ok(),
    }
}

const SIZES: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn bytes(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) => {
            let (digits, factor) = SIZES
                .iter()
                .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
                .unwrap_or((text, 1));
            digits.trim().parse::<u64>().ok()?.checked_mul(factor)
        }
        _ => None,
    }
}

/// A number of bytes for people, in the largest unit that divides it: `64MiB`, `100`.
pub fn size(bytes: u64) -> String {
    let whole = SIZES.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    whole.map_or_else(|| bytes.to_string(), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

fn size_toml(bytes: u64) -> String {
    let text = size(bytes);
    if text.ends_with('B') { quoted(&text) } else { text }
}

/// Reads `always`, `os`, `interval(100ms)` or `interval(1s)`.
fn durability(text: &str) -> Option<Durability> {
    match text {
        "always" => Some(Durability::Always),
        "os" => Some(Durability::Os),
        _ => {
            let inner = text.strip_prefix("interval(")?.strip_suffix(')')?;
            let interval = match inner.strip_suffix("ms") {
                Some(number) => Duration::from_millis(number.trim().parse().ok()?),
                None => Duration::from_secs(inner.strip_suffix('s')?.trim().parse().ok()?),
            };
            let taken = !interval.is_zero() && interval <= DURABILITY_INTERVAL_MAX;
            taken.then_some(Durability::Interval(interval))
        }
    }
}

/// The durability class as it is written in the configuration.
pub fn durability_text(durability: Durability) -> String {
    match durability {
        Durability::Always => "always".to_string(),
        Durability::Os => "os".to_string(),
        Durability::Interval(interval) => format!("interval({}ms)", interval.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_with_binary_units() {
        let read = |text: &str| bytes(&Value::Text(text.to_string()));
        assert_eq!(
            (read("64MiB"), read("1 KiB"), read("7"), read("7MB"), read("-1"), read("")),
            (Some(64 << 20), Some(1024), Some(7), None, None, None)
        );
        assert_eq!(read("99999999999TiB"), None, "more bytes than 64 bits can count");
        assert_eq!(
            (size(64 << 20), size(1025), size(0)),
            ("64MiB".to_string(), "1025".to_string(), "0".to_string())
        );
    }

    #[test]
    fn durability_takes_three_forms_and_bounds_the_interval() {
        let interval = |ms| Some(Durability::Interval(Duration::from_millis(ms)));
        assert_eq!(
            (durability("always"), durability("os")),
            (Some(Durability::Always), Some(Durability::Os))
        );
        assert_eq!(
            (durability("interval(100ms)"), durability("interval(1s)")),
            (interval(100), interval(1000))
        );
        for refused in
            ["", "Always", "interval", "interval(0ms)", "interval(61s)", "interval(100)", "interval(-1ms)"]
        {
            assert_eq!(durability(refused), None, "{refused}");
        }
        assert_eq!(durability_text(Durability::Interval(Duration::from_secs(1))), "interval(1000ms)");
    }

    #[test]
    fn addresses_are_numbers_or_localhost() {
        assert_eq!(address("localhost:7"), "127.0.0.1:7".parse().ok());
        assert_eq!(address("[::1]:0"), "[::1]:0".parse().ok());
        for refused in ["", "127.0.0.1", "6379", "example.org:1", "127.0.0.1:65536", "localhost:x"] {
            assert_eq!(address(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_text_with_any_letter_is_written_as_toml_and_read_back() {
        let text = "a \"b\" \\ c\n\u{7}é";
        let document = format!("key = {}", quoted(text));
        let table: toml::Table = document.parse().expect("valid TOML");
        assert_eq!(table["key"].as_str(), Some(text));
    }
}

//! The options of an engine: declared once (`OptionSpec`), checked by the host, read by the engine
//! (`Options`).
//!
//! Promises: what reaches `Plugin::open` names every declared option exactly once, inside its range; so an
//! engine reads options without error handling. The host calls `OptionSpec::check` and `Options::complete`.

use std::fmt;

/// One option of an engine: name, unit, default, range, help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// `snake_case`.
    pub name: String,
    /// What kind of value it takes, and which values.
    pub kind: OptionKind,
    /// The unit of a number, such as `bytes` or `ms`; empty where there is none.
    pub unit: String,
    /// The value when nobody sets it, as text.
    pub default: String,
    /// What the option does: behaviour first, then when to change it.
    pub help: String,
}

/// The values that an option takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionKind {
    /// A whole number between two bounds, both included. A number of bytes may end in `KiB`, `MiB`, `GiB`.
    Integer {
        /// The least value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// One of the listed words.
    Choice(Vec<String>),
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
}

impl OptionSpec {
    /// A whole number between `min` and `max`.
    pub fn integer(name: &str, unit: &str, default: i64, min: i64, max: i64, help: &str) -> Self {
        Self::with_kind(name, unit, default.to_string(), OptionKind::Integer { min, max }, help)
    }

    /// One of several words; the first is the default.
    pub fn choice(name: &str, words: &[&str], help: &str) -> Self {
        let default = words.first().copied().unwrap_or_default().to_string();
        let words = words.iter().map(ToString::to_string).collect();
        Self::with_kind(name, "", default, OptionKind::Choice(words), help)
    }

    /// `true` or `false`.
    pub fn flag(name: &str, default: bool, help: &str) -> Self {
        Self::with_kind(name, "", default.to_string(), OptionKind::Flag, help)
    }

    /// Any text.
    pub fn text(name: &str, default: &str, help: &str) -> Self {
        Self::with_kind(name, "", default.to_string(), OptionKind::Text, help)
    }

    fn with_kind(name: &str, unit: &str, default: String, kind: OptionKind, help: &str) -> Self {
        Self { name: name.to_string(), kind, unit: unit.to_string(), default, help: help.to_string() }
    }

    /// Checks a value given as text and returns it in its plain form: numbers in digits alone.
    ///
    /// # Errors
    /// A sentence that names the option, the value and the values that are taken.
    pub fn check(&self, value: &str) -> Result<String, String> {
        let plain = match &self.kind {
            OptionKind::Integer { min, max } => {
                parse_integer(value).filter(|number| (min..=max).contains(&number)).map(|n| n.to_string())
            }
            OptionKind::Choice(words) => words.iter().find(|word| *word == value).cloned(),
            OptionKind::Flag => matches!(value, "true" | "false").then(|| value.to_string()),
            OptionKind::Text => Some(value.to_string()),
        };
        plain.ok_or_else(|| format!("option {} = {value:?} is not {}", self.name, self.range()))
    }

    /// The values that are taken, for people.
    pub fn range(&self) -> String {
        match &self.kind {
            OptionKind::Integer { min, max } => {
                format!(
                    "a whole number from {min} to {max}{}{}",
                    if self.unit.is_empty() { "" } else { " " },
                    self.unit
                )
            }
            OptionKind::Choice(words) => format!("one of {}", words.join(", ")),
            OptionKind::Flag => "true or false".to_string(),
            OptionKind::Text => "a text".to_string(),
        }
    }
}

/// Reads a whole number, with or without a binary unit behind it.
fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1_i64 << 40)];
    for (unit, factor) in units {
        if let Some(number) = text.strip_suffix(unit) {
            return number.trim().parse::<i64>().ok()?.checked_mul(factor);
        }
    }
    text.parse().ok()
}

/// The options that an engine is opened with: each name with its value as text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Options {
    values: Vec<(String, String)>,
}

impl Options {
    /// No options.
    pub const fn new() -> Self {
        Self { values: Vec::new() }
    }

    /// Every option of `specs`: with its value in `given` if there is one, else with its default.
    ///
    /// # Errors
    /// A sentence for the first name in `given` that is not declared, or value outside its range.
    pub fn complete<'a>(
        specs: &[OptionSpec],
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let mut options = Self::new();
        for spec in specs {
            options.set(&spec.name, &spec.default);
        }
        for (name, value) in given {
            let spec = specs.iter().find(|spec| spec.name == name);
            let spec = spec.ok_or_else(|| format!("the engine has no option {name:?}"))?;
            options.set(name, &spec.check(value)?);
        }
        Ok(options)
    }

    /// Sets an option, replacing its earlier value.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.to_string(),
            None => self.values.push((name.to_string(), value.to_string())),
        }
    }

    /// The value of an option as text, empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The value of a whole-number option, 0 if there is none.
    pub fn integer(&self, name: &str) -> i64 {
        parse_integer(self.text(name)).unwrap_or(0)
    }

    /// The value of a flag, `false` if there is none.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// Every option with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<OptionSpec> {
        vec![
            OptionSpec::choice("mode", &["atomic", "naive"], ""),
            OptionSpec::integer("cache", "bytes", 1 << 20, 0, 1 << 30, ""),
            OptionSpec::flag("fast", false, ""),
        ]
    }

    #[test]
    fn complete_fills_in_defaults_and_normalises_numbers() {
        let options = Options::complete(&specs(), [("cache", "64 KiB"), ("fast", "true")]).unwrap();
        assert_eq!(
            (options.text("mode"), options.integer("cache"), options.flag("fast")),
            ("atomic", 65536, true)
        );
        assert_eq!(options.text("cache"), "65536");
    }

    #[test]
    fn values_outside_the_range_and_unknown_names_are_named() {
        let refused = |name, value| Options::complete(&specs(), [(name, value)]).unwrap_err();
        assert_eq!(refused("mode", "quick"), "option mode = \"quick\" is not one of atomic, naive");
        assert!(refused("cache", "2GiB").ends_with("is not a whole number from 0 to 1073741824 bytes"));
        assert!(refused("fast", "1").ends_with("is not true or false"));
        assert!(refused("cahce", "1").contains("cahce"));
    }

    #[test]
    fn a_number_too_large_for_its_unit_is_refused() {
        assert_eq!(parse_integer("9223372036854775807KiB"), None);
    }
}

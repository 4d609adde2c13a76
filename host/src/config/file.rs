//! The configuration file: TOML text into assignments, each with its line.
//!
//! Promises: every key of the file is either an assignment to a declared setting or an error that names the
//! line and the nearest key. At most [`FILE_BYTES_MAX`] bytes are read, whatever the path leads to.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::{self, SETTINGS};
use super::{Assignment, ConfigError, Origin, Value, suggest};

/// The largest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the assignments of a file, in the order of its lines.
pub(super) fn read(path: &Path) -> Result<Vec<Assignment>, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable { file: path.to_path_buf(), reason };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        unreadable(format!("it is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
    })?;
    parse(&text, path)
}

/// Reads the assignments of a text that is called `path` in messages.
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<Assignment>, ConfigError> {
    let place = Place { text, file: Arc::from(path) };
    let document = DeTable::parse(text).map_err(|error| {
        let origin = place.origin(error.span().map_or(0, |span| span.start));
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        ConfigError::refused(&origin, format!("this is not TOML: {message}"))
    })?;
    let mut found = Vec::new();
    place.walk(document.get_ref(), "", &mut found);
    // Tables come out in the order of their names; people read files from the top.
    found.sort_by_key(|(offset, _)| *offset);
    found.into_iter().map(|(_, assignment)| assignment).collect()
}

type Found = Vec<(usize, Result<Assignment, ConfigError>)>;

struct Place<'a> {
    text: &'a str,
    file: Arc<Path>,
}

impl Place<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File { file: Arc::clone(&self.file), line }
    }

    /// Collects what `table`, called `name`, assigns.
    fn walk(&self, table: &DeTable<'_>, name: &str, found: &mut Found) {
        for (key, value) in table {
            let dotted = if name.is_empty() { key.to_string() } else { format!("{name}.{}", key.get_ref()) };
            let offset = key.span().start;
            let origin = self.origin(offset);
            let setting = schema::find(&dotted);
            match (setting, value.get_ref()) {
                (Some(setting), DeValue::Table(entries)) if setting.is_table() => {
                    found.extend(entries.iter().map(|(entry, value)| self.entry(setting, entry, value)));
                }
                (Some(setting), value) => {
                    let value = Value::from_toml(value);
                    found.push((offset, Ok(Assignment { setting, entry: None, value, origin })));
                }
                (None, DeValue::Table(inner)) if is_section(&dotted) => self.walk(inner, &dotted, found),
                (None, value) => found.push((offset, Err(unknown(&dotted, value, &origin)))),
            }
        }
    }

    fn entry(
        &self,
        setting: &'static schema::Setting,
        name: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> (usize, Result<Assignment, ConfigError>) {
        let offset = name.span().start;
        let entry = Some(name.get_ref().to_string());
        let value = Value::from_toml(value.get_ref());
        (offset, Ok(Assignment { setting, entry, value, origin: self.origin(offset) }))
    }
}

/// Whether settings are declared inside a table of that name.
fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.table() == name)
}

fn unknown(name: &str, value: &DeValue<'_>, origin: &Origin) -> ConfigError {
    let message = if is_section(name) {
        format!("{name} is a table; write [{name}] and its keys on the lines below")
    } else if value.is_table() {
        let near = suggest::nearest(
            name,
            SETTINGS.iter().map(schema::Setting::table).filter(|name| !name.is_empty()),
        );
        let near = near.map(|name| format!("[{name}]"));
        format!("unknown table [{name}]{}", suggest::hint(near.as_deref(), EVERY_KEY))
    } else {
        let near = suggest::nearest_dotted(name, SETTINGS.iter().map(|setting| setting.name));
        format!("unknown key {name}{}", suggest::hint(near, EVERY_KEY))
    };
    ConfigError::refused(origin, message)
}

const EVERY_KEY: &str = "; `enginebay config default` shows every key";

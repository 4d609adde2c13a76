//! A script: the lives of one store, each with its operations and the crash that ended it. What the judge finds
//! is handed over as one, and anyone can run it again.
//!
//! ```text
//! engine snapshot
//! option mode=naive
//! durability always
//! life 0                                  hours by which the clock on the wall is off
//! without direct link                     optional features that the file system does not have
//! apply put 3 100 7
//! crash 4 cut nothing names-first:1       at the fourth moment of this life; or `opened`, or `end`
//! life 0                                  what this life shows is wrong
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use adapter_api::Durability;
use adapter_api::environment::FileFeatures;
use adapter_api::environment::fault::Fault;

use crate::damage::Damage;
use crate::life::LifeFault;
use crate::power_cut::Crash;
use crate::workload::Operation;

/// When in a life the store crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// When it was just opened.
    Opened,
    /// At the n-th moment that the disk recorded, from 0.
    Moment(usize),
    /// Behind the last operation.
    End,
}

/// One life.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LifeScript {
    /// By how many hours the clock on the wall is off.
    pub hours: i32,
    /// What happens to the disk before it, if the last life ended with a kill.
    pub damage: Option<Damage>,
    /// The optional features that the file system does not have.
    pub without: FileFeatures,
    /// A call that fails.
    pub fault: Option<LifeFault>,
    /// What the store is asked to do.
    pub operations: Vec<Operation>,
    /// How it ends; `None` for the last life.
    pub crash: Option<(Point, Crash)>,
}

/// The lives of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The engine's name.
    pub engine: String,
    /// The options that it was opened with.
    pub options: Vec<(String, String)>,
    /// The class of durability.
    pub durability: Durability,
    /// The planted bug, by its name.
    pub planted: Option<String>,
    /// Its lives, in order.
    pub lives: Vec<LifeScript>,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "engine {}", self.engine)?;
        for (name, value) in &self.options {
            writeln!(f, "option {name}={value}")?;
        }
        match self.durability {
            Durability::Always => writeln!(f, "durability always")?,
            Durability::Interval(time) => writeln!(f, "durability interval {}", time.as_millis())?,
            Durability::Os => writeln!(f, "durability os")?,
        }
        if let Some(planted) = &self.planted {
            writeln!(f, "planted {planted}")?;
        }
        for life in &self.lives {
            writeln!(f, "life {}", life.hours)?;
            if let Some(damage) = &life.damage {
                writeln!(f, "damage {damage}")?;
            }
            if life.without != FileFeatures::default() {
                writeln!(f, "without {}", features_written(life.without))?;
            }
            if let Some(fault) = life.fault {
                writeln!(f, "fault {}", written(fault))?;
            }
            for operation in &life.operations {
                writeln!(f, "{operation}")?;
            }
            match life.crash {
                Some((Point::Opened, crash)) => writeln!(f, "crash opened {crash}")?,
                Some((Point::End, crash)) => writeln!(f, "crash end {crash}")?,
                Some((Point::Moment(at), crash)) => writeln!(f, "crash {at} {crash}")?,
                None => {}
            }
        }
        Ok(())
    }
}

fn written(fault: LifeFault) -> String {
    match fault {
        LifeFault::Sync(at) => format!("sync {at}"),
        LifeFault::Call { fault, at, lasting } => {
            let word = match fault {
                Fault::Error => "error",
                Fault::ShortWrite => "short-write",
                Fault::NoSpace => "no-space",
            };
            format!("{word} {at}{}", if lasting { " lasting" } else { "" })
        }
    }
}

fn parse_fault(text: &str) -> Option<LifeFault> {
    let words: Vec<_> = text.split_whitespace().collect();
    let at = words.get(1)?.parse().ok()?;
    let fault = match words[0] {
        "sync" => return Some(LifeFault::Sync(at)),
        "error" => Fault::Error,
        "short-write" => Fault::ShortWrite,
        "no-space" => Fault::NoSpace,
        _ => return None,
    };
    Some(LifeFault::Call { fault, at, lasting: words.get(2) == Some(&"lasting") })
}

fn features_written(features: FileFeatures) -> String {
    let FileFeatures { direct, allocate, punch, link } = features;
    let words = [("direct", direct), ("allocate", allocate), ("punch", punch), ("link", link)];
    words.iter().filter(|(_, is_named)| *is_named).map(|(word, _)| *word).collect::<Vec<_>>().join(" ")
}

fn parse_features(text: &str) -> Option<FileFeatures> {
    let mut features = FileFeatures::default();
    for word in text.split_whitespace() {
        *match word {
            "direct" => &mut features.direct,
            "allocate" => &mut features.allocate,
            "punch" => &mut features.punch,
            "link" => &mut features.link,
            _ => return None,
        } = true;
    }
    Some(features)
}

fn parse_durability(text: &str) -> Option<Durability> {
    let mut words = text.split_whitespace();
    match (words.next()?, words.next()) {
        ("always", None) => Some(Durability::Always),
        ("os", None) => Some(Durability::Os),
        ("interval", Some(millis)) => Some(Durability::Interval(Duration::from_millis(millis.parse().ok()?))),
        _ => None,
    }
}

fn parse_crash(text: &str) -> Result<(Point, Crash), String> {
    let (point, crash) = text.split_once(' ').ok_or("a crash has a point and a choice")?;
    let point = match point {
        "opened" => Point::Opened,
        "end" => Point::End,
        number => Point::Moment(number.parse().map_err(|_| format!("{number:?} is no moment"))?),
    };
    Ok((point, crash.parse()?))
}

impl Script {
    /// Takes one line of the written form.
    fn take(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let refused = || format!("{line:?} makes no sense here");
        match (word, self.lives.last_mut()) {
            ("engine", None) => self.engine = rest.to_string(),
            ("option", None) => {
                let (name, value) = rest.split_once('=').ok_or_else(refused)?;
                self.options.push((name.to_string(), value.to_string()));
            }
            ("durability", None) => self.durability = parse_durability(rest).ok_or_else(refused)?,
            ("planted", None) => self.planted = Some(rest.to_string()),
            ("life", _) => {
                let hours = rest.parse().map_err(|_| refused())?;
                self.lives.push(LifeScript { hours, ..LifeScript::default() });
            }
            (_, None) => return Err(refused()),
            ("damage", Some(life)) => life.damage = Some(rest.parse()?),
            ("without", Some(life)) => life.without = parse_features(rest).ok_or_else(refused)?,
            ("fault", Some(life)) => life.fault = Some(parse_fault(rest).ok_or_else(refused)?),
            ("crash", Some(life)) => life.crash = Some(parse_crash(rest)?),
            (_, Some(life)) => life.operations.push(line.parse()?),
        }
        Ok(())
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut script = Self {
            engine: String::new(),
            options: Vec::new(),
            durability: Durability::Always,
            planted: None,
            lives: Vec::new(),
        };
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or(line).trim());
        for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
            script.take(line).map_err(|reason| format!("line {}: {reason}", number + 1))?;
        }
        match script.lives.split_last() {
            None => Err("a script has at least one life".to_string()),
            Some((_, earlier)) if earlier.iter().any(|life| life.crash.is_none()) => {
                Err("every life but the last ends with a crash".to_string())
            }
            Some(_) => Ok(script),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_back_as_it_is_written() {
        let text = "engine logmap\noption log_segment=65536\ndurability interval 50\nplanted late-syncs\nlife -1\n\
                    without allocate link\nfault short-write 3 lasting\napply put 1 2 3; delete 4\nlane 0\ncrash 12 cut but:1 names-first:0\n\
                    life 1\ncrash opened kill\nlife 0\ndamage flip log-1 4100 8\n";
        let script: Script = text.parse().unwrap();
        assert_eq!(script.to_string(), text);
        assert_eq!(script.lives.len(), 3);
    }

    #[test]
    fn what_is_no_script_is_refused_with_its_line() {
        let error = "engine x\nlife 0\nsleep\n".parse::<Script>().unwrap_err();
        assert!(error.starts_with("line 3"), "{error}");
        assert!("engine x\n".parse::<Script>().is_err());
        assert!("engine x\nlife 0\nlife 0\n".parse::<Script>().is_err());
    }
}

//! Shapes of commands, written as in the documentation of Redis, and random requests that have them.
//!
//! ```text
//! SET key value [NX|XX] [GET]
//! ```
//!
//! A word in capitals, a number and `'quoted'` stand for themselves, any other word names a kind (`Words` knows
//! them); `[…]` is there or not, `(…|…)` is one of several, `+` repeats what is before it at least once, `*` any
//! number of times.

use super::words::Words;

/// How often something repeats at most.
const REPEATS_MAX: usize = 4;

/// A part of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A word that stands for itself.
    Literal(&'static str),
    /// Any word of that kind.
    Word(&'static str),
    /// One of several sequences.
    Choice(Vec<Vec<Part>>),
    /// There or not.
    Maybe(Box<Part>),
    /// So many times at least.
    Repeat(Box<Part>, usize),
}

/// Reads a shape.
///
/// # Panics
/// If the text is no shape.
pub fn parse(shape: &'static str) -> Vec<Part> {
    let mut reader = Reader { rest: shape };
    let choices = reader.choices();
    assert!(reader.rest.is_empty() && choices.len() == 1, "{shape:?} is no shape: {:?}", reader.rest);
    choices.into_iter().flatten().collect()
}

struct Reader {
    rest: &'static str,
}

impl Reader {
    fn choices(&mut self) -> Vec<Vec<Part>> {
        let mut choices = vec![Vec::new()];
        loop {
            self.rest = self.rest.trim_start();
            match self.rest.as_bytes().first() {
                None | Some(b')' | b']') => return choices,
                Some(b'|') => {
                    self.rest = &self.rest[1..];
                    choices.push(Vec::new());
                }
                Some(_) => {
                    let part = self.repeated();
                    choices.last_mut().expect("there is one").push(part);
                }
            }
        }
    }

    fn repeated(&mut self) -> Part {
        let part = self.single();
        let least = match self.rest.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'*') => 0,
            _ => return part,
        };
        self.rest = &self.rest[1..];
        Part::Repeat(Box::new(part), least)
    }

    fn single(&mut self) -> Part {
        let open = self.rest.as_bytes()[0];
        if !matches!(open, b'(' | b'[') {
            let end = self.rest.find([' ', '(', ')', '[', ']', '|', '+', '*']).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            return match word.starts_with(char::is_lowercase) {
                true => Part::Word(word),
                false => Part::Literal(word.trim_matches('\'')),
            };
        }
        self.rest = &self.rest[1..];
        let choice = Part::Choice(self.choices());
        assert!(self.rest.starts_with([')', ']']), "a bracket is open before {:?}", self.rest);
        self.rest = &self.rest[1..];
        if open == b'[' { Part::Maybe(Box::new(choice)) } else { choice }
    }
}

/// Adds a random sequence of words that has the shape.
pub fn expand(parts: &[Part], words: &mut Words, request: &mut Vec<Vec<u8>>) {
    for part in parts {
        match part {
            Part::Literal(word) => request.push(words.spelled(word)),
            Part::Word(kind) => request.push(words.word(kind)),
            Part::Choice(choices) => {
                let choice = words.random.usize(..choices.len());
                expand(&choices[choice], words, request);
            }
            Part::Maybe(part) if words.random.bool() => {
                expand(std::slice::from_ref(part.as_ref()), words, request);
            }
            Part::Maybe(_) => {}
            Part::Repeat(part, least) => {
                for _ in 0..words.random.usize(*least..=REPEATS_MAX) {
                    expand(std::slice::from_ref(part.as_ref()), words, request);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_read_as_it_is_written() {
        let shape = parse("SET key [NX|XX] ('u8' value)+");
        let expected = [
            Part::Literal("SET"),
            Part::Word("key"),
            Part::Maybe(Box::new(Part::Choice(vec![vec![Part::Literal("NX")], vec![Part::Literal("XX")]]))),
            Part::Repeat(Box::new(Part::Choice(vec![vec![Part::Literal("u8"), Part::Word("value")]])), 1),
        ];
        assert_eq!(shape, expected);
    }

    #[test]
    fn an_expansion_has_the_shape() {
        let mut words = Words::new(7);
        let shape = parse("A [B] (C|D) E*");
        let mut lengths = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut request = Vec::new();
            expand(&shape, &mut words, &mut request);
            let text: Vec<_> = request.iter().map(|word| word[0].to_ascii_uppercase()).collect();
            let rest = text.strip_prefix(b"A").unwrap();
            let rest = rest.strip_prefix(b"B").unwrap_or(rest);
            assert!(matches!(rest[0], b'C' | b'D') && rest[1..].iter().all(|word| *word == b'E'), "{text:?}");
            lengths.insert(request.len());
        }
        assert_eq!(lengths, (2..=7).collect());
    }
}

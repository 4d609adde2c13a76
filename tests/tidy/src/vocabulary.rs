//! The contract speaks of mutations and reads: words of disks, networks and layers above are not its words.
//!
//! Every public name of `adapter_api` outside `environment` is split at `_` and at capitals and compared.

use proc_macro2::Ident;
use syn::visit::{self, Visit};
use syn::{FnArg, ImplItem, Item, Pat, Signature, TraitItem, Visibility};

use crate::code;
use crate::source::{Source, Violation};

/// Words that no public name contains, in the singular.
const BANNED: [&str; 10] =
    ["wal", "lsn", "offset", "flush", "fsync", "page", "sstable", "client", "query", "transaction"];
/// Pairs of words that do not follow each other.
const BANNED_PAIRS: [(&str, &str); 1] = [("sequence", "number")];

/// Names that contain a banned word for a reason: file, name, reason.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "adapter_api/src/describe.rs",
    "Transactions",
    "a promise to users of the server, which an engine keeps by changing several keys together",
)];

/// Public names of the contract that contain a banned word.
pub fn check(sources: &[Source]) -> Vec<Violation> {
    let in_scope = sources.iter().filter(|source| {
        !source.path.starts_with("adapter_api/src/environment/")
            && !source.path.starts_with("adapter_api/src/abi/")
    });
    in_scope.flat_map(check_file).collect()
}

fn check_file(source: &Source) -> Vec<Violation> {
    let mut names = Names { found: Vec::new() };
    for item in code::items(source) {
        names.item(&item);
    }
    let mut violations = Vec::new();
    for name in names.found {
        let text = name.to_string();
        let is_exception =
            EXCEPTIONS.iter().any(|(path, exception, _)| source.path == *path && text == *exception);
        if let Some(word) = banned_word(&text).filter(|_| !is_exception) {
            let message =
                format!("the public name {text} contains {word:?}, which is not a word of the contract");
            violations.push(source.violation(name.span().start().line, message));
        }
    }
    violations
}

/// The first banned word in a name.
fn banned_word(name: &str) -> Option<String> {
    let words = words(name);
    let single = words.iter().find(|word| {
        let singular = word.strip_suffix("es").filter(|it| BANNED.contains(it)).or(word.strip_suffix('s'));
        BANNED.contains(&word.as_str())
            || singular.is_some_and(|word| BANNED.contains(&word))
            || *word == "queries"
    });
    let pair = words.windows(2).find(|two| BANNED_PAIRS.contains(&(two[0].as_str(), two[1].as_str())));
    single.cloned().or_else(|| pair.map(|two| two.join(" ")))
}

/// The words of a name in lower case: split at `_` and in front of capitals.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut after_lower = false;
    for letter in name.chars() {
        let is_start = words.is_empty() || letter == '_' || (letter.is_uppercase() && after_lower);
        if is_start {
            words.push(String::new());
        }
        if let (Some(word), true) = (words.last_mut(), letter != '_') {
            word.extend(letter.to_lowercase());
        }
        after_lower = letter.is_lowercase() || letter.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Collects the public names of items.
struct Names {
    found: Vec<Ident>,
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

impl Names {
    fn item(&mut self, item: &Item) {
        match item {
            Item::Const(item) if is_public(&item.vis) => self.found.push(item.ident.clone()),
            Item::Static(item) if is_public(&item.vis) => self.found.push(item.ident.clone()),
            Item::Type(item) if is_public(&item.vis) => self.found.push(item.ident.clone()),
            Item::Fn(item) if is_public(&item.vis) => self.signature(&item.sig),
            Item::Mod(item) if is_public(&item.vis) => {
                self.found.push(item.ident.clone());
                item.content.iter().flat_map(|(_, items)| items).for_each(|item| self.item(item));
            }
            Item::Struct(item) if is_public(&item.vis) => {
                self.found.push(item.ident.clone());
                let fields = item.fields.iter().filter(|field| is_public(&field.vis));
                self.found.extend(fields.filter_map(|field| field.ident.clone()));
            }
            Item::Enum(item) if is_public(&item.vis) => {
                self.found.push(item.ident.clone());
                for variant in &item.variants {
                    self.found.push(variant.ident.clone());
                    self.found.extend(variant.fields.iter().filter_map(|field| field.ident.clone()));
                }
            }
            Item::Trait(item) if is_public(&item.vis) => {
                self.found.push(item.ident.clone());
                item.items.iter().for_each(|item| self.trait_item(item));
            }
            // The names in an implementation of a trait are the trait's.
            Item::Impl(item) if item.trait_.is_none() => {
                item.items.iter().for_each(|item| self.impl_item(item))
            }
            Item::Macro(item) => self.found.extend(item.ident.clone()),
            _ => {}
        }
    }

    fn trait_item(&mut self, item: &TraitItem) {
        match item {
            TraitItem::Fn(item) => self.signature(&item.sig),
            TraitItem::Const(item) => self.found.push(item.ident.clone()),
            TraitItem::Type(item) => self.found.push(item.ident.clone()),
            _ => {}
        }
    }

    fn impl_item(&mut self, item: &ImplItem) {
        match item {
            ImplItem::Fn(item) if is_public(&item.vis) => self.signature(&item.sig),
            ImplItem::Const(item) if is_public(&item.vis) => self.found.push(item.ident.clone()),
            _ => {}
        }
    }

    fn signature(&mut self, signature: &Signature) {
        self.found.push(signature.ident.clone());
        for input in &signature.inputs {
            if let FnArg::Typed(input) = input {
                Parameters(&mut self.found).visit_pat(&input.pat);
            }
        }
    }
}

/// Collects the names that a pattern binds.
struct Parameters<'a>(&'a mut Vec<Ident>);

impl<'ast> Visit<'ast> for Parameters<'_> {
    fn visit_pat(&mut self, pattern: &'ast Pat) {
        if let Pat::Ident(name) = pattern {
            self.0.push(name.ident.clone());
        }
        visit::visit_pat(self, pattern);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_tidy, source};

    #[test]
    fn the_contract_speaks_of_mutations_and_reads() {
        let sources = source::below("adapter_api/src", ".rs");
        assert!(sources.len() > 10, "the contract is found");
        assert_tidy(&check(&sources));
    }

    #[test]
    fn every_kind_of_public_name_is_looked_at() {
        let planted = [
            "pub struct WalWriter;",
            "pub struct S { pub next_lsn: u64 }",
            "pub enum E { SequenceNumber }",
            "pub enum E { A { offset: u64 } }",
            "pub trait T { fn flush(&self); }",
            "pub trait T { fn sync(&self, fsync: bool); }",
            "pub struct S;\nimpl S { pub fn pages(&self) {} }",
            "pub fn f(sstable: u8) {}",
            "pub mod client {}",
            "pub const QUERY_MAX: u8 = 1;",
            "pub type Q = u8;\npub mod inner { pub struct TransactionId; }",
            "pub static QUERIES: u8 = 1;",
        ];
        for text in planted {
            let found = check(&[Source::planted("adapter_api/src/engine.rs", text)]);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
        }
    }

    #[test]
    fn private_names_the_environment_and_similar_words_pass() {
        let text = "struct Offset;\npub(crate) fn flush() {}\npub struct S { offset: u64 }\npub fn pageant(walk: u8) {}\n\
                    impl std::io::Write for S { fn flush(&mut self) {} }\n#[cfg(test)]\npub mod client {}\n";
        assert_eq!(check(&[Source::planted("adapter_api/src/engine.rs", text)]), []);
        let text = "pub struct R { pub offset: u64 }";
        assert_eq!(check(&[Source::planted("adapter_api/src/environment/mod.rs", text)]), []);
    }

    #[test]
    fn an_exception_holds_in_its_file_alone() {
        let text = "pub enum Promise { Transactions }";
        assert_eq!(check(&[Source::planted("adapter_api/src/describe.rs", text)]), []);
        assert_eq!(check(&[Source::planted("adapter_api/src/engine.rs", text)]).len(), 1);
    }

    #[test]
    fn names_are_split_at_underscores_and_capitals() {
        assert_eq!(words("next_lsn"), ["next", "lsn"]);
        assert_eq!(words("KEY_BYTES_MAX"), ["key", "bytes", "max"]);
        assert_eq!(words("WalWriter"), ["wal", "writer"]);
    }
}

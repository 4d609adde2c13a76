//! The code of a Rust file as tokens with lines: without comments, attributes and the tests inside it.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, Meta, UseTree};

use crate::source::Source;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// As it is written.
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// A path such as `std::fs::File`, from a `use` or written in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodePath {
    /// Its parts.
    pub parts: Vec<String>,
    /// From 1.
    pub line: usize,
}

/// The parsed file.
///
/// # Panics
/// If the file is not Rust.
pub fn parse(source: &Source) -> syn::File {
    syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path))
}

/// The items of the file that are not tests.
pub fn items(source: &Source) -> Vec<Item> {
    let items = parse(source).items;
    items.into_iter().filter(|item| !attributes(item).iter().any(is_cfg_test)).collect()
}

/// Every token of the file outside attributes and tests.
pub fn tokens(source: &Source) -> Vec<Token> {
    let mut tokens = Vec::new();
    for item in items(source) {
        flatten(item.to_token_stream(), &mut tokens);
    }
    tokens
}

/// Every path of the file outside attributes and tests; those of a nested `use` in full.
pub fn paths(source: &Source) -> Vec<CodePath> {
    let (mut paths, mut others) = (Vec::new(), Vec::new());
    for item in items(source) {
        match &item {
            Item::Use(used) => use_paths(&used.tree, &mut Vec::new(), &mut paths),
            other => flatten(other.to_token_stream(), &mut others),
        }
    }
    paths.extend(written_paths(&others));
    paths
}

/// The names of the macros that are called, with their lines.
pub fn macros(source: &Source) -> Vec<Token> {
    let tokens = tokens(source);
    let called = tokens.windows(3).filter(|three| three[1].text == "!" && three[2].text != "=");
    called
        .map(|three| three[0].clone())
        .filter(|name| name.text.starts_with(|c: char| c.is_alphabetic()))
        .collect()
}

fn written_paths(tokens: &[Token]) -> Vec<CodePath> {
    let mut paths: Vec<CodePath> = Vec::new();
    let mut joins = false;
    for (place, token) in tokens.iter().enumerate() {
        let is_name = token.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let is_colons = token.text == ":" && place > 0 && tokens[place - 1].text == ":";
        match (is_name, joins, paths.last_mut()) {
            (true, true, Some(path)) => path.parts.push(token.text.clone()),
            (true, ..) => paths.push(CodePath { parts: vec![token.text.clone()], line: token.line }),
            _ => {}
        }
        joins = is_colons;
    }
    paths
}

fn use_paths(tree: &UseTree, parts: &mut Vec<String>, paths: &mut Vec<CodePath>) {
    let mut leaf = |ident: &proc_macro2::Ident| {
        let mut parts = parts.clone();
        parts.push(ident.to_string());
        paths.push(CodePath { parts, line: ident.span().start().line });
    };
    match tree {
        UseTree::Name(name) => leaf(&name.ident),
        UseTree::Rename(name) => leaf(&name.ident),
        UseTree::Glob(glob) => {
            let line = glob.star_token.spans[0].start().line;
            paths.push(CodePath { parts: parts.clone(), line });
        }
        UseTree::Path(path) => {
            parts.push(path.ident.to_string());
            use_paths(&path.tree, parts, paths);
            parts.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| use_paths(tree, parts, paths)),
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut after_hash = false;
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            // `#[…]` is an attribute, doc comments among them.
            TokenTree::Group(group) if after_hash && group.delimiter() == proc_macro2::Delimiter::Bracket => {
                tokens.pop();
            }
            TokenTree::Group(group) => {
                tokens.push(Token { text: "(".to_string(), line });
                flatten(group.stream(), tokens);
                tokens.push(Token { text: ")".to_string(), line: group.span_close().start().line });
            }
            other => tokens.push(Token { text: other.to_string(), line }),
        }
        after_hash = tokens.last().is_some_and(|token| token.text == "#");
    }
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.tokens.clone().into_iter().any(|token| token.to_string() == "test")
        }
        _ => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_uses_and_in_place_and_tests_are_left_out() {
        let text = "//! std::comment\nuse a::{b, c::{d as e, *}};\n#[doc = \"x::y\"]\nfn f() { g::h(i::J::k()); }\n\
                    #[cfg(test)]\nmod tests { use std::fs; }\n";
        let found: Vec<_> =
            paths(&Source::planted("x.rs", text)).iter().map(|path| path.parts.join("::")).collect();
        assert_eq!(found, ["a::b", "a::c::d", "a::c", "fn", "f", "g::h", "i::J::k"]);
    }

    #[test]
    fn macros_are_found_with_their_lines() {
        let text = "fn f() {\n    if a != b { todo!() }\n    dbg! { 1 };\n}\n";
        let found = macros(&Source::planted("x.rs", text));
        assert_eq!(
            found.iter().map(|token| (token.text.as_str(), token.line)).collect::<Vec<_>>(),
            [("todo", 2), ("dbg", 3)]
        );
    }
}

//! A function fits a screen, a file holds one idea.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::code::parse;
use crate::source::{Source, Violation};

/// The longest function, in lines.
pub const FUNCTION_LINES_MAX: usize = 70;
/// The longest file, in lines.
pub const FILE_LINES_MAX: usize = 600;

/// Functions and files that are longer for a reason: file, function or empty, reason.
const EXCEPTIONS: [(&str, &str, &str); 0] = [];

/// Functions and files that are too long.
pub fn check(sources: &[Source]) -> Vec<Violation> {
    sources.iter().flat_map(check_file).filter(|found| !is_exception(found)).collect()
}

fn check_file(source: &Source) -> Vec<Violation> {
    let mut visitor = Functions { source, violations: Vec::new() };
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let message =
            format!("the file has {lines} lines, more than {FILE_LINES_MAX}: it may hold two ideas");
        visitor.violations.push(source.violation(0, message));
    }
    visitor.visit_file(&parse(source));
    visitor.violations
}

fn is_exception(found: &Violation) -> bool {
    EXCEPTIONS.iter().any(|(path, function, _)| {
        found.path == *path && (function.is_empty() || found.message.starts_with(&format!("fn {function} ")))
    })
}

struct Functions<'a> {
    source: &'a Source,
    violations: Vec<Violation>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let start = signature.span().start().line;
        let lines = block.span().end().line + 1 - start;
        if lines > FUNCTION_LINES_MAX {
            let message = format!("fn {} has {lines} lines, more than {FUNCTION_LINES_MAX}", signature.ident);
            self.violations.push(self.source.violation(start, message));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assert_tidy, source};

    #[test]
    fn functions_and_files_are_short() {
        let sources = source::below("", ".rs");
        assert!(sources.len() > 20, "the walk finds the sources");
        assert_tidy(&check(&sources));
    }

    #[test]
    fn a_long_function_and_a_long_file_are_caught() {
        let body = "    work();\n".repeat(69);
        let fits = format!("fn fits() {{\n{}}}\n", &body[..body.len() - 12]);
        assert_eq!(check(&[Source::planted("a.rs", &fits)]), []);
        let long = format!("struct S;\nimpl S {{\nfn long() {{\n{body}}}\n}}\n");
        let found = check(&[Source::planted("a.rs", &long)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].line == 3 && found[0].message.starts_with("fn long has 71 lines"), "{found:?}");
        let found = check(&[Source::planted("a.rs", &"// a line\n".repeat(601))]);
        assert!(found[0].message.starts_with("the file has 601 lines"), "{found:?}");
    }
}

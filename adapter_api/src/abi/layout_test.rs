//! The layout of the border, pinned: everything reachable from the root of a plugin, with every field, its
//! type, and the size and alignment of each type, in the order in which they cross.
//!
//! A difference means that plugins built before no longer fit, unless it is a method or field appended where
//! the rules of `abi` allow it. To pin a change on purpose, copy what the failing test has written.

use std::fs;
use std::path::Path;

use abi_stable::StableAbi;
use abi_stable::std_types::UTypeId;
use abi_stable::type_layout::TypeLayout;

use super::plugin::PluginModule_Ref;

const GOLDEN: &str = "tests/golden/border_v1.txt";

#[test]
fn the_layout_of_the_border_is_the_one_pinned() {
    let mut found = String::new();
    describe(<PluginModule_Ref as StableAbi>::LAYOUT, &mut Vec::new(), &mut found);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if fs::read_to_string(&golden).ok().as_deref() != Some(&found) {
        let written = std::env::temp_dir().join("enginebay_border_v1.txt");
        fs::write(&written, &found).expect("the temporary folder can be written");
        panic!("the border is not the one in {}; what it is now: {}", golden.display(), written.display());
    }
}

/// Writes the type and then every type its fields and functions mention, each once.
fn describe(layout: &'static TypeLayout, seen: &mut Vec<UTypeId>, text: &mut String) {
    if seen.contains(&layout.get_utypeid()) {
        return;
    }
    seen.push(layout.get_utypeid());
    let mut lines = format!("{}  size {} align {}\n", name_of(layout), layout.size(), layout.alignment());
    let mut mentioned = parameters_of(layout);
    for field in layout.get_fields().into_iter().flat_map(|fields| fields.to_vec()) {
        lines += &format!("    {}:", field.name());
        for function in field.function_range().iter() {
            let answer = function.return_type_layout();
            let crossing: Vec<_> =
                function.param_type_layouts.iter().chain(answer).map(|layout| layout()).collect();
            lines += &format!(
                " fn {}",
                crossing.iter().map(|layout| name_of(layout)).collect::<Vec<_>>().join(", ")
            );
            mentioned.extend(crossing);
        }
        if !field.is_function() {
            lines += &format!(" {}", name_of(field.layout()));
            mentioned.push(field.layout());
        }
        lines += "\n";
    }
    // What is inside of abi_stable's own types is checked by the version of abi_stable.
    if layout.package() == env!("CARGO_PKG_NAME") {
        *text += &lines;
    }
    mentioned.extend(layout.phantom_fields().to_vec().iter().map(|field| field.layout()));
    for layout in mentioned {
        describe(layout, seen, text);
    }
}

/// The name of a type with those of its parameters. A table's functions are named after the table's module.
fn name_of(layout: &'static TypeLayout) -> String {
    let mut name = layout.name().to_string();
    if name == "VTable" {
        name = format!("{}::{name}", layout.mod_path().to_string().rsplit("::").next().unwrap_or_default());
    }
    let parameters: Vec<_> = parameters_of(layout).into_iter().map(name_of).collect();
    if parameters.is_empty() { name } else { format!("{name}<{}>", parameters.join(", ")) }
}

/// The parameters of the two enums that cross; other generic types of abi_stable do not tell theirs.
fn parameters_of(layout: &'static TypeLayout) -> Vec<&'static TypeLayout> {
    let parameters = match layout.name() {
        "RResult" | "ROption" => layout.get_fields().map(|fields| fields.to_vec()),
        _ => None,
    };
    parameters.unwrap_or_default().iter().map(|field| field.layout()).collect()
}

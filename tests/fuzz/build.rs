//! Lets two engines be linked into one target: the address sanitizer gives the entry symbol, which every plugin has, a
//! mark of its own that is global.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--allow-multiple-definition");
}

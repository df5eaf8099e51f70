//! How the program is linked.

/// At a fixed address the loader has nothing to relocate, in each of a run's processes: docs/design/decisions.md, "From the
/// start to the first job". One that is linked statically is left as it is.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let setting = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = setting("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if setting("CARGO_CFG_TARGET_OS") == "linux" && setting("CARGO_CFG_TARGET_ENV") == "gnu" && !is_static {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}

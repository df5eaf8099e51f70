//! How the program is linked.

/// What the loader does is done in each of a run's processes: docs/design/decisions.md, "From the start to the first job".
/// At a fixed address there is nothing to relocate. The unwinder is in the program, as libgcc_eh, before the linker comes to
/// libgcc_s: one library less to map. A program that is linked statically is left as it is.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let setting = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = setting("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if setting("CARGO_CFG_TARGET_OS") == "linux" && setting("CARGO_CFG_TARGET_ENV") == "gnu" && !is_static {
        println!("cargo:rustc-link-arg-bins=-no-pie");
        println!("cargo:rustc-link-lib=gcc_eh");
    }
}

//! How the program is linked.

/// Workers and helpers are new processes of this program, so what the loader does is done for each of them. At a fixed address
/// it has nothing to relocate.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let setting = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = setting("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if setting("CARGO_CFG_TARGET_OS") == "linux" && setting("CARGO_CFG_TARGET_ENV") == "gnu" && !is_static {
        println!("cargo:rustc-link-arg-bins=-no-pie");
        println!("cargo:rustc-link-arg-bins=-static-libgcc");
    }
}

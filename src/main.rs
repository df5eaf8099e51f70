//! The `mprun` program: the library with the built-in stages.
fn main() -> std::process::ExitCode {
    mprun::main(mprun::Registry::builtin())
}

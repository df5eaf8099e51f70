//! STUB for the config branch only.
use std::path::PathBuf;
pub mod guardian {
    use std::process::ExitCode;
    pub fn run() -> ExitCode {
        ExitCode::SUCCESS
    }
}
pub struct RunOptions {
    pub file: PathBuf,
    pub load: crate::config::LoadOptions,
    pub watch: bool,
}
pub fn run(options: RunOptions, registry: &crate::stage::Registry) -> u8 {
    let _ = options.watch;
    match crate::config::load(&options.file, &options.load, registry) {
        Ok(_) => 0,
        Err(report) => {
            eprint!("{report}");
            2
        }
    }
}

//! Reads the pipeline file again.

use super::Performer;
use crate::config;
use crate::supervisor::event::{Event, Loading};
use crate::supervisor::shown;
use crate::supervisor::wanted::Wanted;
use log::{Level, log};

impl Performer<'_> {
    pub(super) fn load(&mut self) {
        // First the watch, then the file: what is written after this look is seen by the next.
        if let Some(watch) = &mut self.watch
            && let Err(error) = watch.aim()
        {
            log!(target: "mprun", Level::Warn, "the file is not watched any more ({error}); SIGHUP reloads it");
        }
        let loading = self.read_file();
        self.events.push_back(Event::Loaded(loading));
    }

    fn read_file(&mut self) -> Loading {
        let file = &self.options.file;
        match std::fs::metadata(file) {
            Err(error) => return Loading::Gone(format!("{}: {error}", file.display())),
            // A named pipe would be waited for, and everybody here with it.
            Ok(about) if !about.is_file() => {
                return Loading::Gone(format!(
                    "{}: it is no regular file: it can't be read again",
                    file.display()
                ));
            }
            Ok(_) => {}
        }
        let loaded = config::load(file, &self.options.load, self.registry);
        match loaded.and_then(config::surveyed) {
            Err(report) => Loading::Bad(shown(&report)),
            Ok(loaded) => {
                let held = self.held_by_name();
                Loading::Good(Box::new(Wanted::new(loaded, self.registry)), held)
            }
        }
    }
}

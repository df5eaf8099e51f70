//! Reads pipeline files again, by errands.

use super::performer::{Performer, Purpose};
use crate::config::{self, Report, Survey, Texts, Watched};
use crate::control::protocol::{self, Answer, Reason, Refused, Reply};
use crate::supervisor::error::shown;
use crate::supervisor::machine::event::{Event, Loading};
use crate::supervisor::machine::state::State;
use crate::supervisor::machine::wanted::Wanted;
use crate::supervisor::options::RunOptions;
use crate::supervisor::runtime::children::Auxiliary;
use crate::supervisor::runtime::environment;
use crate::supervisor::runtime::errand::{self, Ended, Errand, Start};
use crate::supervisor::runtime::inbox::Notice;
use crate::supervisor::runtime::loader;
use crate::sys::fd;
use crate::sys::process::SpawnError;
use crate::terminal;
use log::{Level, log};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use tokio::sync::oneshot;

const NO_FILE: &str = "the run is of a command line: there is no file to read again";

impl Performer<'_> {
    /// A second request before the first one is through makes that needless: only the last look counts.
    pub(super) fn load(&mut self) {
        // First the watch, then the file: what is written after this look is seen by the next.
        if let Some(watch) = &mut self.watch
            && let Err(error) = watch.aim()
        {
            log!(target: "mprun", Level::Warn, "the file is not watched any more ({error}); SIGHUP reloads it");
        }
        let is_load = |errand: &Errand<Purpose>| matches!(errand.purpose, Purpose::Load);
        self.errands.extract_if(.., |errand| is_load(errand)).for_each(|errand| errand.kill());
        if self.run.options.text.is_some() {
            let why = NO_FILE.to_owned();
            return self.events.push_back(Event::Loaded(Loading::Gone(why)));
        }
        let file = self.run.options.file.clone();
        if let Err(error) = self.start_loader(file, Purpose::Load, terminal::stderr().colour) {
            let why = format!("no process to read the file with: {error}");
            self.events.push_back(Event::Loaded(Loading::Gone(why)));
        }
    }

    /// What a file would change, if it were taken over now.
    pub(super) fn plan(&mut self, plan: &protocol::Plan, sender: oneshot::Sender<Reply>) {
        if self.run.options.text.is_some() && plan.file.is_none() {
            let _ = sender.send(Err(Refused { reason: Reason::BadFile, error: NO_FILE.to_owned() }));
            return;
        }
        let own = &self.run.options.file;
        let file = plan.file.as_deref().map_or_else(|| own.clone(), PathBuf::from);
        // On failure the sender is dropped with the purpose, which is an answer, too.
        if let Err(error) = self.start_loader(file, Purpose::Plan(sender), false) {
            log!(target: "mprun", Level::Warn, "no process to read a file with: {error}");
        }
    }

    fn start_loader(&mut self, file: PathBuf, purpose: Purpose, colour: bool) -> Result<(), SpawnError> {
        let place = self.run.options.file.clone();
        let request = loader::Request { file, place, options: self.run.options.load.clone(), colour };
        let request = errand::request(&request).map_err(|error| SpawnError::preparing(&error))?;
        self.start_errand(purpose, loader::VERB, &request)
    }

    /// A process of our own that does what the file `request` says.
    pub(super) fn start_errand(
        &mut self,
        purpose: Purpose,
        verb: &str,
        request: &OwnedFd,
    ) -> Result<(), SpawnError> {
        let start = Start {
            arguments: vec![CString::new(verb).unwrap_or_default()],
            descriptors: &[(request.as_fd(), errand::REQUEST_FD)],
            environment: &environment::kept(|_| true).collect::<Vec<_>>(),
            stderr: Some(self.log_writer.stderr()),
        };
        let errand = Errand::start(purpose, start)?;
        self.add_errand(errand);
        Ok(())
    }

    pub(super) fn add_errand(&mut self, errand: Errand<Purpose>) {
        self.children.add_auxiliary(errand.pid, Auxiliary::Errand);
        self.errands.push(errand);
    }

    /// An errand's process was reaped. One whose time was up is not known any more.
    pub(super) fn errand_ended(&mut self, pid: u32, exit: crate::sys::wait::Exit) {
        if let Some(at) = self.errands.iter().position(|errand| errand.pid == pid) {
            let errand = self.errands.swap_remove(at);
            self.ended_errands.push((errand, Ended::Exit(exit)));
        }
    }

    /// Those whose time is up are over, whether their processes can be killed or not.
    pub(super) fn expire_errands(&mut self) {
        let now = std::time::Instant::now();
        let late: Vec<_> = self.errands.extract_if(.., |errand| errand.until() <= now).collect();
        for errand in late {
            errand.kill();
            self.ended_errands.push((errand, Ended::TimedOut));
        }
    }

    /// What they have found out.
    pub(super) fn report_errands(&mut self, state: &State) {
        for (errand, ended) in std::mem::take(&mut self.ended_errands) {
            let answer = errand.answer();
            match errand.purpose {
                Purpose::Load => {
                    let (loading, watched) = self.loading(&ended, &answer, shown);
                    self.watch_also(watched, matches!(loading, Loading::Good(..)));
                    self.events.push_back(Event::Loaded(loading));
                }
                Purpose::Plan(sender) => {
                    let (loading, _) = self.loading(&ended, &answer, |report| report.render(false));
                    let _ = sender.send(planned(loading, state)); // the client may be gone
                }
                Purpose::Preflight(program) => self.preflight_done(program, &ended, &answer),
                Purpose::Identify(asked) => self.identified(asked, &ended, &answer),
            }
        }
    }

    /// What came of it, and what else is to be watched, as far as that is known.
    fn loading(
        &mut self,
        ended: &Ended,
        answer: &str,
        render: impl Fn(&Report) -> String,
    ) -> (Loading, Watched) {
        match serde_json::from_str(answer) {
            Ok(loader::Answer::Gone(why)) => (Loading::Gone(why), Watched::default()),
            Ok(loader::Answer::Bad(report, watched)) => (Loading::Bad(report), watched),
            Ok(loader::Answer::Good(main, included, survey)) => {
                let mut watched = Watched::default();
                let loading = match self.understand(Texts { main, included }, &survey, &mut watched) {
                    Ok(wanted) => Loading::Good(Box::new(wanted), self.held_by_name()),
                    Err(report) => Loading::Bad(render(&report)),
                };
                (loading, watched)
            }
            Err(_) => {
                let why = format!("failed to read {}: {ended}", self.run.options.file.display());
                (Loading::Gone(why), Watched::default())
            }
        }
    }

    fn understand(&self, texts: Texts, survey: &Survey, watched: &mut Watched) -> Result<Wanted, Report> {
        let RunOptions { file, load, .. } = self.run.options;
        let loaded = config::load_texts(file, texts, load, self.run.registry)?;
        watched.clone_from(&loaded.watched);
        let loaded = config::settle(loaded, survey)?;
        Ok(Wanted::new(loaded, self.run.registry, fd::is_file(io::stdout())))
    }

    /// What only now is watched may have changed while it was not: then the file is read once more. Beside a bad file all
    /// stays watched that was.
    fn watch_also(&mut self, watched: Watched, is_all: bool) {
        let Some(watch) = &mut self.watch else { return };
        match watch.set(watched, is_all) {
            Ok(true) => self.inbox.put_back(Notice::FileTouched),
            Ok(false) => {}
            Err(error) => {
                log!(target: "mprun", Level::Warn, "not all files are watched ({error}); SIGHUP reloads them");
            }
        }
    }
}

fn planned(loading: Loading, state: &State) -> Reply {
    match loading {
        Loading::Good(wanted, held) => {
            Ok(Answer::Plan(protocol::ReloadSteps { steps: state.plan(&wanted, &held)? }))
        }
        Loading::Bad(error) | Loading::Gone(error) => Err(Refused { reason: Reason::BadFile, error }),
    }
}

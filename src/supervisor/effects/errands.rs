//! Reads pipeline files again, by errands.

use super::performer::{Performer, Purpose};
use crate::config::{self, Report, Survey};
use crate::control::protocol::{self, Answer, Reason, Refused, Reply};
use crate::supervisor::error::shown;
use crate::supervisor::machine::event::{Event, Loading};
use crate::supervisor::machine::state::State;
use crate::supervisor::machine::wanted::Wanted;
use crate::supervisor::runtime::children::Auxiliary;
use crate::supervisor::runtime::environment;
use crate::supervisor::runtime::errand::{self, Ended, Errand, Start};
use crate::supervisor::runtime::loader;
use crate::sys::process::SpawnError;
use crate::terminal;
use log::{Level, log};
use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use tokio::sync::oneshot;

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
        let file = self.run.options.file.clone();
        if let Err(error) = self.start_loader(file, Purpose::Load, terminal::stderr().colour) {
            let why = format!("no process to read the file with: {error}");
            self.events.push_back(Event::Loaded(Loading::Gone(why)));
        }
    }

    /// What a file would change, if it were taken over now.
    pub(super) fn plan(&mut self, plan: &protocol::Plan, sender: oneshot::Sender<Reply>) {
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
        let errand = Errand::start(
            purpose,
            Start {
                arguments: vec![CString::new(loader::VERB).unwrap_or_default()],
                descriptors: &[(request.as_fd(), loader::REQUEST_FD)],
                environment: &environment::kept(|_| true).collect::<Vec<_>>(),
                stderr: Some(self.log_writer.stderr()),
            },
        )?;
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
                    let loading = self.loading(&ended, &answer, shown);
                    self.events.push_back(Event::Loaded(loading));
                }
                Purpose::Plan(sender) => {
                    let loading = self.loading(&ended, &answer, |report| report.render(false));
                    let _ = sender.send(planned(loading, state)); // the client may be gone
                }
                Purpose::Preflight(program) => self.preflight_done(program, &ended, &answer),
                Purpose::Identify(asked) => self.identified(asked, &ended, &answer),
            }
        }
    }

    fn loading(&mut self, ended: &Ended, answer: &str, render: impl Fn(&Report) -> String) -> Loading {
        match serde_json::from_str(answer) {
            Ok(loader::Answer::Gone(why)) => Loading::Gone(why),
            Ok(loader::Answer::Bad(report)) => Loading::Bad(report),
            Ok(loader::Answer::Good(text, survey)) => match self.understand(text, &survey) {
                Ok(wanted) => Loading::Good(Box::new(wanted), self.held_by_name()),
                Err(report) => Loading::Bad(render(&report)),
            },
            Err(_) => Loading::Gone(format!("failed to read {}: {ended}", self.run.options.file.display())),
        }
    }

    fn understand(&self, text: String, survey: &Survey) -> Result<Wanted, Report> {
        let loaded =
            config::load_text(&self.run.options.file, text, &self.run.options.load, self.run.registry)?;
        let loaded = config::settle(loaded, survey)?;
        Ok(Wanted::new(loaded, self.run.registry))
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

//! The first and the last words with the service manager.

use crate::exit;
use crate::service::{Manager, Message, Received};
use crate::supervisor::error::SetUpError;
use log::{Level, log};

/// The manager that started this process. One that can't be reached is told of, and done without.
pub fn manager() -> Manager {
    Manager::from_environment().unwrap_or_else(|error| {
        log!(target: "mprun", Level::Warn, "the service manager at $NOTIFY_SOCKET can't be reached: {error}");
        Manager::default()
    })
}

/// Says what the manager has kept that nobody here knows: another version's, or another pipeline's of the same unit.
pub fn warn_of_unknown(received: &Received) {
    for fault in received.faults() {
        log!(target: "mprun", Level::Warn, "{fault}");
    }
    for name in received.names() {
        log!(target: "mprun", Level::Warn, "the service manager keeps {name:?}, which is not used here: it stays there");
    }
}

/// Tells a line for people and, if it is not a good end, the code.
pub fn send_exit(manager: &Manager, line: &str, code: u8) {
    let code = (code != exit::DONE).then_some(Message::ExitStatus(code));
    tell(manager, std::iter::once(Message::Status(line.to_owned())).chain(code));
}

/// Tells why there was no run at all.
pub fn send_failure(manager: &Manager, error: &SetUpError) {
    let number = match error {
        SetUpError::Queue(fault) => fault.errno(),
        SetUpError::Control(_) | SetUpError::Refused(_) | SetUpError::Missing(_) => None,
        SetUpError::System(_, error) => error.raw_os_error(),
        SetUpError::Start(error) => Some(error.errno as i32),
    };
    tell(manager, number.map(Message::Errno));
    send_exit(manager, &error.to_string(), exit::FAILED);
}

fn tell(manager: &Manager, messages: impl IntoIterator<Item = Message>) {
    let messages: Vec<Message> = messages.into_iter().collect();
    if let Err(error) = manager.tell(&messages) {
        log!(target: "mprun", Level::Debug, "the service manager was not told {messages:?}: {error}");
    }
}

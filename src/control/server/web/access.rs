//! Who may do what. Pure.
//!
//! | | socket | TCP, no token | TCP, token for looking | TCP, token for everything |
//! |---|---|---|---|---|
//! | look: status, logs, items, dead letters, metrics | yes | no | yes | yes |
//! | the other pipelines of this user, by their names | yes | no | no | yes |
//! | change: scale, pause, stop, reload, retry, drop … | yes | no | no | yes |
//! | the plan of another file than the pipeline's own, a link (`mprun open`) | yes | no | no | no |
//!
//! A browser with the cookie of a session alone gets the files of the page, which are the same for all; with the key, what
//! the session's token may.

use super::files::{self, Needs};
use crate::control::protocol::{OPEN, PIPELINES, PLAN, Plan, Reason, Refused, Request};
use hyper::Method;

/// What a client has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::server) enum Right {
    /// No token, or a wrong one.
    Nothing,
    /// It may look.
    Look,
    /// It may do everything.
    All,
}

/// What a client has shown with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::server) struct Client {
    pub right: Right,
    /// The same, if it is a browser, without the key.
    pub session: Right,
}

/// Whether a client over TCP may ask that.
///
/// # Errors
/// When it may not.
pub(in crate::control::server) fn check(client: Client, method: &Method, path: &str) -> Result<(), Refused> {
    let right = match files::needs(path) {
        Needs::Nothing => return Ok(()),
        Needs::Session => client.session,
        Needs::Token => client.right,
    };
    let is_look = matches!(*method, Method::GET | Method::HEAD);
    match right {
        Right::All | Right::Look if path == OPEN => {
            Err(Refused::new(Reason::NotAllowed, "a link is made on the control socket only: `mprun open`"))
        }
        Right::All => Ok(()),
        Right::Look if path == PIPELINES => {
            let error =
                "this token is for looking at this pipeline only: the others need the one for everything";
            Err(Refused::new(Reason::NotAllowed, error))
        }
        Right::Look if is_look => Ok(()),
        Right::Look => {
            let error =
                format!("this token is for looking only: {method} {path} needs the one for everything");
            Err(Refused::new(Reason::NotAllowed, error))
        }
        Right::Nothing => {
            let error = "a request over TCP needs a token: `Authorization: Bearer TOKEN`";
            Err(Refused::new(Reason::NoToken, error))
        }
    }
}

/// Whether that may be asked over TCP at all: a plan of any file would show what is in it.
///
/// # Errors
/// When it may not.
pub(in crate::control::server) fn check_request(request: &Request) -> Result<(), Refused> {
    match request {
        Request::Plan(Plan { file: Some(_) }) => {
            let error = format!("{PLAN} of another file is answered on the control socket only");
            Err(Refused::new(Reason::NotAllowed, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::PATHS;

    #[test]
    fn without_a_token_nothing_and_with_the_one_for_looking_no_change() {
        for (path, method) in PATHS {
            let of = |right| check(Client { right, session: Right::All }, &method, path);
            let allowed = [Right::Nothing, Right::Look, Right::All].map(of);
            assert_eq!(allowed[0].as_ref().unwrap_err().reason, Reason::NoToken, "{path}");
            assert_eq!(allowed[1].is_ok(), method == Method::GET && path != PIPELINES, "{path}");
            assert_eq!(allowed[2].is_ok(), path != OPEN, "{path}");
        }
    }
}

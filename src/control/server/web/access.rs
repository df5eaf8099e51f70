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

use super::files::Target;
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

/// What a client has to show for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Session,
    /// A token.
    Look,
    /// The token for everything: it changes something.
    Change,
    /// The token for everything: it is about more than this pipeline.
    Others,
    /// The control socket.
    Socket,
}

fn needs(target: &Target) -> Needs {
    match target {
        Target::Open => Needs::Nothing,
        Target::File(Some(file)) if file.is_public => Needs::Nothing,
        Target::Index | Target::File(_) => Needs::Session,
        Target::Api(Some((OPEN, _))) => Needs::Socket,
        Target::Api(Some((PIPELINES, _))) => Needs::Others,
        // A path has one method, and is refused with every other one.
        Target::Api(Some((_, method))) if *method != Method::GET => Needs::Change,
        Target::Api(_) => Needs::Look,
    }
}

/// Whether a client over TCP may ask for that.
///
/// # Errors
/// When it may not.
pub(in crate::control::server) fn check(client: Client, target: &Target) -> Result<(), Refused> {
    let needs = needs(target);
    let shown = if needs == Needs::Session { client.session } else { client.right };
    let not_allowed = |error: &str| Err(Refused::new(Reason::NotAllowed, error));
    match (needs, shown) {
        (Needs::Nothing, _) | (Needs::Session | Needs::Look, Right::All | Right::Look) => Ok(()),
        (Needs::Change | Needs::Others, Right::All) => Ok(()),
        (_, Right::Nothing) => {
            let error = "a request over TCP needs a token: `Authorization: Bearer TOKEN`";
            Err(Refused::new(Reason::NoToken, error))
        }
        (Needs::Socket, _) => not_allowed("a link is made on the control socket only: `mprun open`"),
        (Needs::Others, Right::Look) => not_allowed(
            "this token is for looking at this pipeline only: the others need the one for everything",
        ),
        (Needs::Change, Right::Look) => {
            not_allowed("this token is for looking only: a change needs the one for everything")
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

    /// Each path as it stands in the list, and in all ways in which it may be asked.
    fn ways(path: &str) -> [String; 6] {
        [
            path.to_owned(),
            format!("{path}/"),
            format!("{path}//"),
            format!("/{path}"),
            path.replacen("/v1/", "/v1//", 1),
            path.replacen("/v1/", "/v1%2f", 1),
        ]
    }

    #[test]
    fn without_a_token_nothing_and_with_the_one_for_looking_no_change() {
        for (known, method) in PATHS {
            for path in ways(known) {
                let target = Target::over_tcp(&path);
                let leads = target == Target::Api(Some((known, method.clone())));
                assert!(leads || target == Target::Api(None), "{path}");
                assert!(leads || path.trim_end_matches('/') != known, "{path}");
                let of = |right| check(Client { right, session: Right::All }, &target);
                let allowed = [Right::Nothing, Right::Look, Right::All].map(of);
                assert_eq!(allowed[0].as_ref().unwrap_err().reason, Reason::NoToken, "{path}");
                // What leads nowhere has no right of its own: its answer is that it is not there.
                let looks = !leads || method == Method::GET && known != PIPELINES;
                assert_eq!(allowed[1].is_ok(), looks, "{path}");
                assert_eq!(allowed[2].is_ok(), !leads || known != OPEN, "{path}");
            }
        }
    }

    #[test]
    fn a_browser_without_a_session_gets_no_more_than_the_way_to_one() {
        for (path, public) in [
            ("/open", true),
            ("/page/open.js", true),
            ("/page/page.css", true),
            ("/", false),
            ("/page/main.js", false),
            ("/page/none.js", false),
            ("/page/open.js/", false),
            ("/page//open.js", false),
            ("/open/", false),
            ("//", false),
            ("/page/%6fpen.js", false),
        ] {
            let client = Client { right: Right::Nothing, session: Right::Nothing };
            assert_eq!(check(client, &Target::over_tcp(path)).is_ok(), public, "{path}");
        }
    }
}

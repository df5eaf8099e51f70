//! Whether a request over TCP comes from where it says: a page of another site must not act by a browser that has a token
//! (CSRF), nor become this site by a name of its own that it points here (DNS rebinding). Pure.

use crate::control::protocol::{Reason, Refused};
use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};
use std::net::IpAddr;

/// Browsers say in it how the page that asks is related to the one that is asked.
const FETCH_SITE: &str = "sec-fetch-site";
const FETCH_MODE: &str = "sec-fetch-mode";

/// `names`: those of proxies. An IP address can't be pointed elsewhere by somebody else's DNS.
///
/// # Errors
/// When the request is for another host, or from another page.
pub(super) fn check(headers: &HeaderMap, names: &[String]) -> Result<(), Refused> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(refused("a request needs one `Host`"));
    };
    let authority = host.to_str().unwrap_or_default().to_ascii_lowercase();
    if !is_known(host_of(&authority), names) {
        return Err(refused(
            "the `Host` of the request is no address of this machine, and none of `[control] hosts`: add it there if this page has that name",
        ));
    }
    if headers.contains_key(ORIGIN) && !is_same(text("origin").unwrap_or_default(), &authority) {
        return Err(refused("the request comes from a page of another origin"));
    }
    let is_link = text(FETCH_MODE) == Some("navigate");
    match text(FETCH_SITE) {
        None | Some("same-origin" | "none") => Ok(()),
        // A link from another page: the browser shows what is here, and the other page learns nothing of it.
        Some(_) if is_link && !headers.contains_key(ORIGIN) => Ok(()),
        Some(_) => Err(refused("the request comes from a page of another site")),
    }
}

/// `https://HOST` of a proxy, or `http://HOST:PORT`.
fn is_same(origin: &str, authority: &str) -> bool {
    let origin = origin.to_ascii_lowercase();
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest == Some(authority)
}

fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if port.is_empty() || port.starts_with(':') => host,
        Some(_) => "",
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn is_known(host: &str, names: &[String]) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok() || names.iter().any(|name| name == host)
}

fn refused(why: &str) -> Refused {
    Refused::new(Reason::NotAllowed, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn is_good(pairs: &[(&str, &str)]) -> bool {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        pairs.iter().map(pair).for_each(|(name, value)| {
            headers.append(name, value);
        });
        check(&headers, &["mprun.example.com".to_owned()]).is_ok()
    }

    #[test]
    fn a_name_that_anybody_can_point_here_is_refused() {
        for host in ["127.0.0.1:7070", "localhost:8080", "[::1]:7070", "10.0.0.7", "MPRUN.example.com"] {
            assert!(is_good(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7070",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "[::1].evil.example",
            "[::1",
            "",
        ] {
            assert!(!is_good(&[("host", host)]), "{host}");
        }
        assert!(!is_good(&[]));
        assert!(!is_good(&[("host", "127.0.0.1"), ("host", "evil.example")]));
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let from = |origin| is_good(&[("host", "localhost:7070"), ("origin", origin)]);
        assert!(from("http://localhost:7070"));
        for origin in ["http://localhost:7071", "http://evil.example", "null", "localhost:7070", ""] {
            assert!(!from(origin), "{origin}");
        }
        assert!(is_good(&[("host", "mprun.example.com"), ("origin", "https://mprun.example.com")]));
    }

    #[test]
    fn another_site_may_link_here_and_no_more() {
        let site = |site, mode| {
            is_good(&[("host", "localhost:7070"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)])
        };
        assert!(site("same-origin", "cors") && site("none", "navigate"));
        assert!(site("cross-site", "navigate") && site("same-site", "navigate"));
        assert!(
            !site("cross-site", "no-cors") && !site("same-site", "cors") && !site("same-site", "no-cors")
        );
        let form = [
            ("host", "localhost:7070"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "navigate"),
            ("origin", "http://localhost:9999"),
        ];
        assert!(!is_good(&form));
    }
}

//! What is said of a service whose program has ended and left processes behind: mostly it has made itself a daemon.

/// Programs that make themselves daemons, by how their processes' names begin, and what keeps them from it.
const FOREGROUND: [(&str, &str); 12] = [
    ("nginx", "`daemon off;`"),
    ("apache2", "`-DFOREGROUND`"),
    ("httpd", "`-DFOREGROUND`"),
    ("sshd", "`-D`"),
    ("php-fpm", "`--nodaemonize`"),
    ("redis-server", "`--daemonize no`"),
    ("rsyslogd", "`-n`"),
    ("cron", "`-f`"),
    ("dnsmasq", "`--keep-in-foreground`"),
    ("named", "`-f`"),
    ("supervisord", "`--nodaemon`"),
    ("exim", "`-bdf`"),
];
/// Names that are listed.
const NAMES: usize = 3;

/// `names`: of the processes that it has left. `None`: there are none.
pub(super) fn left_behind_text(service: &str, names: &[String]) -> Option<String> {
    let first = names.first()?;
    let mut different = names.to_vec();
    different.sort();
    different.dedup();
    let more = if different.len() > NAMES { " and others" } else { "" };
    different.truncate(NAMES);
    let advice = FOREGROUND
        .iter()
        .find(|(program, _)| first.starts_with(program))
        .map_or("many have an option for that".to_owned(), |(program, way)| format!("{program}: {way}"));
    Some(format!(
        "{service}: its program has ended and left {}{more} behind, which is killed: a program that mprun runs must \
         stay in the foreground, not become a daemon ({advice})",
        different.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_named_with_what_keeps_it_in_the_foreground() {
        let text = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            left_behind_text("web[0]", &names)
        };
        assert_eq!(text(&[]), None);
        let nginx = text(&["nginx", "nginx"]).unwrap();
        assert!(nginx.starts_with("web[0]: its program has ended and left nginx behind, which"), "{nginx}");
        assert!(nginx.ends_with("(nginx: `daemon off;`)"), "{nginx}");
        let others = text(&["d", "c", "b", "a"]).unwrap();
        assert!(
            others.contains("left a, b, c and others behind") && others.contains("an option"),
            "{others}"
        );
    }
}

//! What the server's own settings promise, from its `INFO`: managed servers forbid `CONFIG`.

/// What the server says of itself.
pub(super) struct Server<'a> {
    pub(super) info: &'a str,
    /// `appendfsync`, where the server tells it.
    pub(super) fsync: Option<&'a str>,
    /// `no-appendfsync-on-rewrite`: no fsync while it writes its file anew.
    pub(super) is_lax: bool,
}

impl Server<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| line.split_once(':').is_some_and(|(key, _)| key == name);
        Some(self.info.lines().find(|text| line(text))?.split_once(':')?.1.trim())
    }

    fn version(&self) -> (u32, u32) {
        let mut parts = self.value("redis_version").unwrap_or_default().split('.');
        let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        (next(), next())
    }

    fn loses(&self) -> Vec<String> {
        let mut losses = Vec::new();
        if self.value("aof_enabled") != Some("1") {
            losses.push(
                "it keeps no append-only file, so what is in it goes with it (`appendonly yes`)".to_owned(),
            );
        }
        let policy = self.value("maxmemory_policy").unwrap_or("noeviction");
        if policy.starts_with("allkeys") {
            losses.push(format!(
                "it deletes queues when its memory is full: `maxmemory-policy` is {policy}, not noeviction"
            ));
        }
        losses
    }

    /// It reads what it had before a restart: until then it tells settings that it doesn't have, such as no append-only file.
    pub(super) fn is_loading(&self) -> bool {
        self.value("loading") == Some("1")
    }

    /// What it doesn't protect from; an error if that is the loss of items and nobody has allowed it.
    pub(super) fn check(&self, allow_loss: bool) -> Result<Vec<String>, String> {
        if self.value("redis_mode") == Some("sentinel") {
            return Err(
                "the server is a Sentinel, which holds no items: write the address of the Redis that it watches".into(),
            );
        }
        let (major, minor) = self.version();
        if (major, minor) < (6, 2) {
            return Err(format!("the server is Redis {major}.{minor}: 6.2 is needed"));
        }
        if self.value("role") == Some("slave") {
            return Err("the server is a replica, which takes no items".into());
        }
        let mut warnings = self.loses();
        if !warnings.is_empty() && !allow_loss {
            let reasons = warnings.join("; ");
            return Err(format!(
                "the server may lose items: {reasons}; `allow_loss = true` runs on it all the same"
            ));
        }
        match self.fsync {
            Some("everysec") => warnings.push(
                "`appendfsync everysec`: a power cut may take back the last second, and a kill of the server two where its disk is slow".into(),
            ),
            Some("no") => warnings.push("`appendfsync no`: a power cut may take back half a minute".into()),
            _ => {}
        }
        if self.is_lax && self.fsync != Some("no") {
            warnings.push(
                "`no-appendfsync-on-rewrite yes`: while it writes its file anew a power cut may take back half a minute".into(),
            );
        }
        Ok(warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "# Server\r\nredis_version:7.0.15\r\nrole:master\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n";

    fn check(info: &str, allow_loss: bool) -> Result<Vec<String>, String> {
        Server { info, fsync: Some("always"), is_lax: false }.check(allow_loss)
    }

    #[test]
    fn a_server_that_keeps_what_it_acknowledges_is_taken_without_a_word() {
        assert_eq!(check(GOOD, false), Ok(Vec::new()));
    }

    #[test]
    fn a_server_that_may_lose_items_is_refused_unless_that_is_allowed() {
        for bad in [("aof_enabled:1", "aof_enabled:0"), (":noeviction", ":allkeys-lru")] {
            let info = GOOD.replace(bad.0, bad.1);
            assert!(check(&info, false).unwrap_err().contains("allow_loss"), "{bad:?}");
            assert_eq!(check(&info, true).unwrap().len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_server_that_still_loads_is_asked_again() {
        let is_loading = |info| Server { info, fsync: None, is_lax: false }.is_loading();
        assert!(
            is_loading("loading:1\r\naof_enabled:0\r\n") && !is_loading("loading:0\r\n") && !is_loading(GOOD)
        );
    }

    #[test]
    fn policies_that_take_only_keys_with_a_time_to_live_are_taken() {
        assert_eq!(check(&GOOD.replace("noeviction", "volatile-lru"), false), Ok(Vec::new()));
    }

    #[test]
    fn old_servers_replicas_and_sentinels_are_refused_whatever_is_allowed() {
        let sentinel = "redis_version:7.0.15\r\nredis_mode:sentinel\r\n";
        assert!(check(sentinel, true).unwrap_err().contains("Sentinel"));
        assert!(check(&GOOD.replace("7.0.15", "6.0.16"), true).unwrap_err().contains("6.2"));
        assert!(check(&GOOD.replace("master", "slave"), true).unwrap_err().contains("replica"));
    }

    #[test]
    fn what_a_power_cut_takes_is_told() {
        let warned = |fsync| Server { info: GOOD, fsync, is_lax: false }.check(false).unwrap();
        assert!(warned(Some("everysec"))[0].contains("second"));
        assert!(warned(Some("no"))[0].contains("minute"));
        assert_eq!((warned(Some("always")).len(), warned(None).len()), (0, 0));
        let lax = |fsync| Server { info: GOOD, fsync: Some(fsync), is_lax: true }.check(false).unwrap();
        assert!(lax("always")[0].contains("no-appendfsync-on-rewrite") && lax("no").len() == 1);
    }
}

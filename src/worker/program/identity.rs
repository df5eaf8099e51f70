//! Whom a program runs as: looked up in the user database, which may take its time (a directory server).

use crate::config::pipeline::Command;
use crate::stage::Failure;
use crate::sys::process::UserIds;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::path::PathBuf;

/// A user and a group, as the kernel knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// `None`: stays.
    user: Option<u32>,
    group: u32,
    groups: Vec<u32>,
    /// What the database says of the user.
    pub account: Option<Account>,
}

/// What of a user stands in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub name: String,
    pub home: PathBuf,
}

impl Identity {
    /// `None`: the command asks for no other one than this process's.
    pub(crate) fn of(command: &Command) -> Result<Option<Identity>, Failure> {
        if command.user.is_none() && command.group.is_none() {
            return Ok(None);
        }
        let user = command.user.as_deref().map(find_user).transpose()?;
        let group = command.group.as_deref().map(find_group).transpose()?;
        let number = user.as_ref().map(|(uid, _)| uid.as_raw());
        let known = user.and_then(|(_, user)| user);
        let own_group = known.as_ref().map(|user| user.gid);
        let Some(group) = group.or(own_group) else {
            return Err(Failure::fatal("a user by number that has no name needs a `group` too"));
        };
        let groups = match &known {
            Some(user) => getgrouplist(&CString::new(user.name.as_str())?, group)?,
            None => vec![group],
        };
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        let account = known.map(|user| Account { name: user.name, home: user.dir });
        Ok(Some(Identity { user: number, group: group.as_raw(), groups, account }))
    }

    pub(crate) fn ids(&self) -> UserIds {
        UserIds { user: self.user, group: self.group, groups: self.groups.clone() }
    }
}

fn find_user(name: &str) -> Result<(Uid, Option<User>), Failure> {
    if let Some(user) = User::from_name(name)? {
        return Ok((user.uid, Some(user)));
    }
    let number = name.parse().map_err(|_| Failure::fatal(format!("there is no user `{name}`")))?;
    let uid = Uid::from_raw(number);
    Ok((uid, User::from_uid(uid)?))
}

fn find_group(name: &str) -> Result<Gid, Failure> {
    if let Some(group) = Group::from_name(name)? {
        return Ok(group.gid);
    }
    name.parse().map(Gid::from_raw).map_err(|_| Failure::fatal(format!("there is no group `{name}`")))
}

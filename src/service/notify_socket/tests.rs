use super::*;
use nix::sys::socket::{ControlMessageOwned, recvmsg};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};

/// A listener in the abstract name space, where nothing has to be cleaned up, and a manager that speaks to it.
fn pair(more: &[(&str, &str)]) -> (UnixDatagram, NotifySocket) {
    let name = format!("mprun-test-{}-{:x}", std::process::id(), fastrand::u64(..));
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixDatagram::bind_addr(&address).unwrap();
    let socket = format!("@{name}");
    let all = [&[("NOTIFY_SOCKET", socket.as_str())], more].concat();
    let find = |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
    (listener, NotifySocket::new(find, 7).unwrap())
}

fn heard(listener: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = listener.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn messages_of_one_call_come_as_one_datagram() {
    let (listener, manager) = pair(&[]);
    manager.send(&[Message::Ready, Message::Status("up".into())]).unwrap();
    assert_eq!(heard(&listener), "READY=1\nSTATUS=up");
}

#[test]
fn without_a_socket_nothing_is_sent_and_nothing_fails() {
    let manager = NotifySocket::new(|_| None, 7).unwrap();
    assert!(!manager.listens());
    manager.send(&[Message::Ready]).unwrap();
    manager.store_fd("queues", std::io::stdin().as_fd()).unwrap();
}

#[test]
fn a_socket_that_is_not_there_is_an_error() {
    for address in ["/nonexistent/mprun", "vsock:2:1", "relative"] {
        assert!(NotifySocket::new(|name| (name == "NOTIFY_SOCKET").then(|| address.into()), 7).is_err());
    }
}

#[test]
fn the_watchdog_of_another_process_is_none_of_ours() {
    let usec = ("WATCHDOG_USEC", "2000000");
    let two = Some(Duration::from_secs(2));
    assert_eq!(pair(&[usec]).1.watchdog(), two);
    assert_eq!(pair(&[usec, ("WATCHDOG_PID", "7")]).1.watchdog(), two);
    assert_eq!(pair(&[usec, ("WATCHDOG_PID", "8")]).1.watchdog(), None);
    assert_eq!(pair(&[("WATCHDOG_USEC", "0")]).1.watchdog(), None);
    assert_eq!(pair(&[("WATCHDOG_USEC", "soon")]).1.watchdog(), None);
}

#[test]
fn behind_a_shell_it_says_who_the_main_process_is() {
    assert_eq!(pair(&[]).1.main_pid(), None);
    assert_eq!(pair(&[("SYSTEMD_EXEC_PID", "7")]).1.main_pid(), None);
    assert_eq!(pair(&[("SYSTEMD_EXEC_PID", "6")]).1.main_pid(), Some(7));
}

#[test]
fn a_descriptor_travels_with_its_name() {
    let (listener, manager) = pair(&[]);
    let (reader, writer) = nix::unistd::pipe().unwrap();
    manager.store_fd("queues", writer.as_fd()).unwrap();
    drop(writer);
    let (text, copy) = received(&listener);
    assert_eq!(text, "FDSTORE=1\nFDNAME=queues\nFDPOLL=0");
    nix::unistd::write(&copy, b"x").unwrap();
    assert_eq!(nix::unistd::read(&reader, &mut [0; 2]).unwrap(), 1);
    manager.remove_fd("queues").unwrap();
    assert_eq!(heard(&listener), "FDSTOREREMOVE=1\nFDNAME=queues");
}

#[test]
fn a_name_that_would_break_the_protocol_is_refused() {
    let (_listener, manager) = pair(&[]);
    for name in ["", "a:b", "a\nb", "ä", &"x".repeat(256)] {
        assert_eq!(manager.remove_fd(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
    }
}

fn received(listener: &UnixDatagram) -> (String, OwnedFd) {
    let mut buffer = [0; 4096];
    let mut space = nix::cmsg_space!(i32);
    let mut bytes = [IoSliceMut::new(&mut buffer)];
    let message =
        recvmsg::<UnixAddr>(listener.as_raw_fd(), &mut bytes, Some(&mut space), MsgFlags::empty()).unwrap();
    let length = message.bytes;
    let fd = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    let fd = crate::sys::inherited::owned_for_tests(fd.unwrap());
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), fd)
}

#[test]
fn a_manager_that_reads_nothing_is_not_waited_for_and_misses_nothing_but_what_is_old() {
    let (listener, manager) = pair(&[]);
    let busy = |n: u32| manager.send(&[Message::Status(format!("busy {n}"))]).unwrap();
    (0..5000).for_each(busy);
    manager.send(&[Message::Stopping]).unwrap();
    manager.send(&[Message::Status("last".into())]).unwrap();
    let mut all = Vec::new();
    while all.last().is_none_or(|last| last != "STATUS=last") {
        all.push(heard(&listener));
    }
    assert!(all.contains(&"STOPPING=1".to_owned()), "{all:?}");
    assert!(all.len() < 5000, "it had room for all, so this shows nothing");
    manager.flush();
}

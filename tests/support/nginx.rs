//! A real web server, of a test's own folder and port.

use super::{Folder, process, wait_until};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

pub struct Nginx(Child);

impl Nginx {
    /// `server`: what it does, as the block `server` has it.
    pub fn start(folder: &Folder, port: u16, server: &str) -> Nginx {
        let at = folder.path().display().to_string();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {at}/nginx-{what};"))
            .join(" ");
        let settings = folder.file(
            "nginx.conf",
            &format!(
                "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.log; events {{}}\n\
                 http {{ log_format key '$http_idempotency_key $status'; access_log off; {temp}\n\
                 server {{ listen 127.0.0.1:{port}; {server} }} }}\n"
            ),
        );
        let mut command = Command::new("nginx");
        command.args(["-p", &at, "-e", "nginx.log", "-c"]).arg(settings);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nginx is installed");
        wait_until("the server", || TcpStream::connect(("127.0.0.1", port)).ok());
        Nginx(child)
    }

    /// It writes down each request that it has answered: a killed one may not.
    pub fn stop(mut self) {
        process::kill(self.0.id(), libc::SIGQUIT);
        self.0.wait().unwrap();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

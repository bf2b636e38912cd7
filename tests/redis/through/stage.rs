//! A server, a sidecar before it, and ways to both.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::{Connection, Reply, Server};
use bulkhead_tests::sidecar::{Launch, Sidecar};

/// A world of one test's own.
pub struct Stage {
    /// The server.
    pub server: Server,
    /// The sidecar before it.
    pub sidecar: Sidecar,
}

/// How sidecars are started here: two workers, so that clients move between them.
pub fn launch(secrets: &[(&str, &str)]) -> Launch {
    let secrets = secrets.iter();
    Launch {
        secrets: secrets
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
        workers: 2,
        grace: "1s",
        ready: true,
        arguments: Vec::new(),
        variables: Vec::new(),
        group: None,
    }
}

impl Stage {
    /// A sidecar with `policy` before a server of its own.
    pub fn start(policy: &Policy) -> Self {
        Self::before(Server::own(), policy, &[])
    }

    /// The same before this server, with these files in the secrets folder.
    pub fn before(server: Server, policy: &Policy, secrets: &[(&str, &str)]) -> Self {
        let sidecar = Sidecar::start(policy, server.port(), "0", &launch(secrets));
        Self { server, sidecar }
    }

    /// A connection on which nothing has been said.
    pub fn stranger(&self) -> Connection {
        Connection::to_port(self.sidecar.port())
    }

    /// A client of `user`, who is taken at their word.
    pub fn user(&self, user: &str) -> Connection {
        let mut client = self.stranger();
        let name = format!("bulkhead:{user}");
        let said = client.ask(&[b"CLIENT", b"SETNAME", name.as_bytes()]);
        assert_eq!(said.text(), "OK", "{user}");
        client
    }

    /// A connection past the sidecar.
    pub fn direct(&self) -> Connection {
        self.server.connect()
    }

    /// Connections of clients that the server has, without the one that asks.
    pub fn server_clients(&self) -> usize {
        let list = self.direct().ask_line("CLIENT LIST").text();
        list.lines().filter(|line| line.starts_with("id=")).count() - 1
    }
}

/// The text of an error.
pub fn error(reply: &Reply) -> String {
    assert!(reply.is_error(), "no error: {reply:?}");
    reply.text()
}

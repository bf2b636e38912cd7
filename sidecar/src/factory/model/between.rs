//! What happens by itself between two acts: everybody hears what was said to them, and it is looked at whether that may be.

use std::io::Read as _;

use bulkhead_crds::kinds::{PoolMode, Tier};

use super::server::{Running, Server, read_all, take_message};
use super::world::{Request, Way, World};
use crate::protocol::postgres::message::CancelKey;
use crate::worker::mailbox::Letter;

/// The code of a cancel request, where a startup message has its version.
const CANCEL_CODE: [u8; 4] = 80_877_102_u32.to_be_bytes();

/// Turns of the runtime in which everything that can run has run, or has been seen to move on.
const TURNS: usize = 10;

impl World {
    /// Lets everything run that runs by itself.
    pub(super) async fn pump(&mut self) {
        let mut quiet = 0;
        while quiet < 2 {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            // What a server was sent in the same moment as a cancel was sent before it.
            let moved =
                self.hear_servers() | self.accept() | self.hear_clients() | self.read_letters();
            quiet = if moved { 0 } else { quiet + 1 };
        }
    }

    fn accept(&mut self) -> bool {
        let mut moved = false;
        while let Some(mut socket) = self.stage.arrived() {
            moved = true;
            socket.set_nonblocking(false).unwrap();
            let mut begins = [0; 8];
            socket.read_exact(&mut begins).unwrap();
            if begins[4..] == CANCEL_CODE {
                // The secret stays unread for now.
                let mut pid = [0; 4];
                socket.read_exact(&mut pid).unwrap();
                let server = usize::try_from(i32::from_be_bytes(pid)).unwrap() - 1;
                let of = &self.servers[server];
                let client = of
                    .running
                    .as_ref()
                    .map_or(of.last, |running| running.by.map(|by| by.0));
                self.requests.push(Request {
                    way: Way::Open(socket),
                    server,
                    client,
                });
                continue;
            }
            let length = u32::from_be_bytes(begins[..4].try_into().unwrap()) as usize;
            socket.read_exact(&mut vec![0; length - 8]).unwrap();
            socket.set_nonblocking(true).unwrap();
            let pid = i32::try_from(self.servers.len()).unwrap() + 1;
            self.servers.push(Server::new(socket, pid));
        }
        moved
    }

    fn hear_clients(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if client.socket.is_none() {
                continue;
            }
            let open = read_all(client.socket.as_ref(), &mut client.heard);
            while let Some((tag, body)) = take_message(&mut self.clients[at].heard) {
                moved = true;
                self.told(at, tag, &body);
            }
            if !open {
                let lost = self.setup.mode == PoolMode::Session && self.deaths + self.waits > 0;
                self.must(lost, || format!("client {at} was cut off"));
                self.clients[at].socket = None;
            }
        }
        moved
    }

    /// What a client is told is the answer to its own statement.
    fn told(&mut self, at: usize, tag: u8, body: &[u8]) {
        let client = &mut self.clients[at];
        let (owed, text) = (
            client.owed,
            String::from_utf8_lossy(body).replace('\0', " "),
        );
        match tag {
            b'K' => {
                let pid = i32::from_be_bytes(body[..4].try_into().unwrap());
                client.key = CancelKey::new(pid, &body[4..]);
            }
            b'Z' => {
                client.owed = None;
                client.status = body[0];
            }
            b'D' => {
                let own = owed.is_some_and(|number| text == format!("SELECT '{at}#{number}'"));
                self.must(own, || {
                    format!("client {at} is told {text} for its {owed:?}")
                });
            }
            b'E' => {
                let cancelled = owed.is_some_and(|number| client.cancelled.contains(&number));
                let failed = client.status == b'E';
                let allowed = (text.contains("C57014") && cancelled)
                    || (text.contains("C25P02") && failed)
                    || (text.contains("C0800") && self.deaths + self.waits > 0);
                self.must(allowed, || format!("client {at} is told {text}"));
            }
            _ => {}
        }
    }

    fn hear_servers(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.servers.len() {
            moved |= self.servers[at].hear();
            while let Some((tag, body)) = self.servers[at].next_message() {
                moved = true;
                match tag {
                    b'Q' => self.begin(at, &body),
                    b'S' => self.servers[at].ready(),
                    _ => {}
                }
            }
        }
        moved
    }

    /// A server begins a statement, and that must be one that it may.
    fn begin(&mut self, at: usize, body: &[u8]) {
        let whole = String::from_utf8_lossy(body)
            .trim_end_matches('\0')
            .to_owned();
        let by = author(&whole);
        let text = whole.split(" /*").next().unwrap_or_default().to_owned();
        let open = self
            .requests
            .iter()
            .any(|request| request.server == at && request.is_open());
        self.must(!open, || {
            format!("server {at} is sent {whole} while a cancel is on its way to it")
        });
        if let Some((client, _)) = by {
            let user = self.clients[client].user;
            let mut lost = self
                .requests
                .iter()
                .filter(|request| request.server == at && request.is_lost());
            let own = lost.all(|request| request.client == Some(client));
            self.must(own, || {
                format!("server {at} is sent {whole} although a cancel may still come")
            });
            let server = &mut self.servers[at];
            server.holds.insert(user);
            server.ever.insert(user);
            server.last = Some(client);
            let who = match self.setup.tier {
                Tier::Reset => &server.holds,
                _ => &server.ever,
            };
            let alone = who.len() == 1;
            let told = format!("server {at} is sent {whole}, and is of {who:?}");
            self.must(alone, || told);
        }
        self.servers[at].running = Some(Running {
            text,
            by,
            cancelled: false,
        });
    }

    /// What workers write to each other reaches this one too.
    fn read_letters(&mut self) -> bool {
        let mut moved = false;
        while let Ok(letter) = self.stage.mailboxes[0].try_recv() {
            moved = true;
            if let Letter::Reclaim(reclaim) = letter {
                self.stage.worker.answer_reclaim(reclaim);
            }
        }
        moved
    }
}

/// Whose statement a text is: `'client#number'` stands in it.
fn author(text: &str) -> Option<(usize, u32)> {
    let (client, number) = text.split('\'').nth(1)?.split_once('#')?;
    Some((client.parse().ok()?, number.parse().ok()?))
}

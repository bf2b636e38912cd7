//! The servers of the model: each runs one statement at a time, and answers when it is told to.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use crate::worker::fixtures::{complete, error, message, ready};

/// The user of the model's clients who work for nobody else.
pub(super) type User = &'static str;

/// One server process, and what is known of whom it has served.
#[derive(Debug)]
pub(super) struct Server {
    /// The sidecar's end is open.
    pub(super) socket: Option<UnixStream>,
    pub(super) pid: i32,
    pub(super) greeted: bool,
    pub(super) running: Option<Running>,
    /// Whose statement ran last.
    pub(super) last: Option<usize>,
    pub(super) status: u8,
    /// Whose session state may be there: everybody's who has used it since it was cleaned last.
    pub(super) holds: BTreeSet<User>,
    /// Everybody who has ever used it.
    pub(super) ever: BTreeSet<User>,
    inbox: Vec<u8>,
}

/// A statement that a server runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) text: String,
    /// The client and the number of its statement; none where it is the sidecar's own.
    pub(super) by: Option<(usize, u32)>,
    pub(super) cancelled: bool,
}

impl Server {
    pub(super) fn new(socket: UnixStream, pid: i32) -> Self {
        Self {
            socket: Some(socket),
            pid,
            greeted: false,
            running: None,
            last: None,
            status: b'I',
            holds: BTreeSet::new(),
            ever: BTreeSet::new(),
            inbox: Vec::new(),
        }
    }

    /// Lets the sidecar in.
    pub(super) fn greet(&mut self) {
        self.greeted = true;
        let key = [&self.pid.to_be_bytes()[..], &[1, 2, 3, 4]].concat();
        let greeting = [message(b'R', &[0; 4]), message(b'K', &key), ready(b'I')];
        self.say(&greeting.concat());
    }

    /// Takes in what has come; whether anything has.
    pub(super) fn hear(&mut self) -> bool {
        let before = self.inbox.len();
        let open = read_all(self.socket.as_ref(), &mut self.inbox);
        if !open {
            self.socket = None;
        }
        self.inbox.len() > before
    }

    /// The next message, if it runs nothing that it would have to end first.
    pub(super) fn next_message(&mut self) -> Option<(u8, Vec<u8>)> {
        if self.running.is_some() || !self.greeted {
            return None;
        }
        take_message(&mut self.inbox)
    }

    /// Ends what it runs, as a server does.
    pub(super) fn answer(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let ends = running.text == "COMMIT" || running.text == "ROLLBACK";
        let mut said = if running.cancelled {
            vec![error("57014")]
        } else if self.status == b'E' && !ends {
            vec![error("25P02")]
        } else {
            self.carry_out(&running)
        };
        if said[0][0] == b'E' && self.status == b'T' {
            self.status = b'E';
        }
        said.push(ready(self.status));
        self.say(&said.concat());
    }

    fn carry_out(&mut self, running: &Running) -> Vec<Vec<u8>> {
        match running.text.as_str() {
            "BEGIN" => self.status = b'T',
            "COMMIT" | "ROLLBACK" => self.status = b'I',
            "DISCARD ALL" => self.holds.clear(),
            _ => return vec![message(b'D', running.text.as_bytes()), complete("SELECT 1")],
        }
        vec![complete(&running.text)]
    }

    /// Answers a Sync.
    pub(super) fn ready(&mut self) {
        self.say(&ready(self.status));
    }

    fn say(&self, bytes: &[u8]) {
        if let Some(mut socket) = self.socket.as_ref() {
            // Whoever has gone meanwhile is seen to have gone.
            let _ = socket.write_all(bytes);
        }
    }
}

/// Reads what is there; whether the other side is too.
pub(super) fn read_all(socket: Option<&UnixStream>, into: &mut Vec<u8>) -> bool {
    let Some(mut socket) = socket else {
        return false;
    };
    let mut chunk = [0; 4096];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return false,
            Ok(count) => into.extend_from_slice(&chunk[..count]),
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Takes one whole message off.
pub(super) fn take_message(inbox: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let length = u32::from_be_bytes(inbox.get(1..5)?.try_into().ok()?) as usize + 1;
    if inbox.len() < length {
        return None;
    }
    let rest = inbox.split_off(length);
    let whole = std::mem::replace(inbox, rest);
    Some((whole[0], whole[5..].to_vec()))
}

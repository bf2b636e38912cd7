//! A Unix socket that wakes its worker when there is something to read, and not when its peer has read.
//!
//! Of a Unix socket the kernel says that it can be written each time the peer has taken something out (`unix_write_space`); of TCP
//! it says so only after a write that found no room. A socket that is registered for both, as the runtime's own stream is, wakes its
//! worker once more for each answer that a client reads, for nothing. This one is registered for reading, and for writing only
//! while a peer does not keep up.
//!
//! One call is `unsafe`: the runtime lets the interest be chosen only of what it is given as a bare descriptor, and asks for the promise
//! that its number stays the same socket's ([`register`]).

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

/// Writes in a row that find room until the peer counts as one that keeps up.
const CALM_WRITES: u8 = 64;

/// A connected Unix socket.
#[derive(Debug)]
pub struct UnixSocket {
    socket: AsyncFd<UnixStream>,
    /// While the peer does not keep up.
    room: Option<Box<Room>>,
}

/// Says when there is room again.
#[derive(Debug)]
struct Room {
    /// The same socket by another number, because a runtime knows a number once.
    told: AsyncFd<UnixStream>,
    /// Writes that have found room since one has not.
    calm: u8,
}

impl UnixSocket {
    /// Registers a socket, which does not block, with the runtime that this is called in.
    ///
    /// # Errors
    /// What the system says, where it cannot be registered.
    ///
    /// # Panics
    /// Outside of a runtime.
    fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self {
            socket: register(socket, Interest::READABLE)?,
            room: None,
        })
    }

    /// Takes over what the runtime has accepted or connected.
    ///
    /// # Errors
    /// What the system says, where it cannot be registered.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn take_over(socket: tokio::net::UnixStream) -> io::Result<Self> {
        Self::new(socket.into_std()?)
    }

    /// Moves the registration to the runtime that this is called in.
    ///
    /// # Errors
    /// No file descriptor is left for the moment in which there are two.
    pub fn settle_here(&mut self) -> io::Result<()> {
        *self = Self::new(self.socket.get_ref().try_clone()?)?;
        Ok(())
    }

    /// Whether the runtime knows that nothing has come; `false` is no answer.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.socket.try_io(Interest::READABLE, |_| Ok(())).is_err()
    }

    /// Reads what has come already.
    ///
    /// # Errors
    /// `WouldBlock` where nothing has, or what the system says.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket
            .try_io(Interest::READABLE, |mut socket| socket.read(buffer))
    }

    /// The user id of the process at the other end when it connected, as the kernel knows it.
    ///
    /// # Errors
    /// What the system says.
    pub fn peer_uid(&self) -> io::Result<u32> {
        let socket = tokio::net::UnixStream::from_std(self.socket.get_ref().try_clone()?)?;
        Ok(socket.peer_cred()?.uid())
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            let buffer = target.initialize_unfilled();
            let asked = buffer.len();
            match ready.try_io(|socket| socket.get_ref().read(buffer)) {
                Ok(Ok(count)) => {
                    // What comes after this is told anew, so that nobody has to ask and find nothing.
                    if 0 < count && count < asked {
                        ready.clear_ready();
                    }
                    target.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_nothing_there) => {}
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |mut socket| socket.write(bytes))
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |mut socket| socket.write_vectored(parts))
    }

    /// Ends what is written; what has been written arrives.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self.socket.get_ref().shutdown(Shutdown::Write) {
            // The other end has gone already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }

    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match write(self.socket.get_ref()) {
            Err(error) if waits(&error) => self.poll_with_room(cx, write),
            done => {
                self.note_room();
                Poll::Ready(done)
            }
        }
    }

    fn poll_with_room(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let room = match &mut self.room {
            Some(room) => room,
            none => none.insert(Room::watch(self.socket.get_ref())?),
        };
        room.calm = 0;
        loop {
            let mut ready = ready!(room.told.poll_write_ready(cx))?;
            match write(self.socket.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if waits(&error) => ready.clear_ready(),
                done => return Poll::Ready(done),
            }
        }
    }

    fn note_room(&mut self) {
        if let Some(room) = &mut self.room {
            room.calm += 1;
            if room.calm == CALM_WRITES {
                self.room = None;
            }
        }
    }
}

impl Room {
    fn watch(socket: &UnixStream) -> io::Result<Box<Self>> {
        Ok(Box::new(Self {
            told: register(socket.try_clone()?, Interest::WRITABLE)?,
            calm: 0,
        }))
    }
}

/// Registers a socket with the runtime that this is called in, for `what` alone.
#[expect(unsafe_code, reason = "see the head of the file")]
fn register(socket: UnixStream, what: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: a `UnixStream` owns an open descriptor, says the same number whenever it is asked, and closes it when it is dropped. The
    // `AsyncFd` owns the stream from here on, and nothing here takes it out or forgets it.
    Ok(unsafe { AsyncFd::register_with_interest(socket, what) }?)
}

/// Whether a write has to be tried again: at once, or when there is room.
fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;

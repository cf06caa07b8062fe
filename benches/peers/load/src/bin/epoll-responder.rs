//! The wall: what one thread can answer when it does nothing but epoll, read and write.
//!
//! `epoll-responder PORT FILE` answers the bytes of FILE (head and body) for every `\r\n\r\n` it reads, so pipelined GETs and
//! POSTs whose bodies hold no empty line are answered, one each and in order. It knows nothing of HTTP, and refuses nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Answers that one write may hold at most, so that a pipelined batch goes out in one call.
const COPIES_BYTES: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;
const MOST_CONNECTIONS: usize = 4096;

struct Connection {
    socket: TcpStream,
    /// How much of `\r\n\r\n` the bytes so far end with.
    matched: usize,
    /// Bytes still to be written, and where in the answer they begin.
    owed: usize,
    at: usize,
    waits_to_write: bool,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, file] = arguments.as_slice() else {
        return Err(io::Error::other("usage: epoll-responder PORT FILE"));
    };
    let port = port.parse().map_err(io::Error::other)?;
    let answer = std::fs::read(file)?;
    if answer.is_empty() {
        return Err(io::Error::other("the file is empty"));
    }
    let copies = answer.repeat(COPIES_BYTES.div_ceil(answer.len()));
    respond(&TcpListener::bind((Ipv4Addr::LOCALHOST, port))?, answer.len(), &copies)
}

fn respond(listener: &TcpListener, answer_bytes: usize, copies: &[u8]) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut bytes = vec![0; 64 * 1024];
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            if event.data.u64() == LISTENER {
                accept(listener, &poll, &mut connections)?;
                continue;
            }
            let at = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(place) = connections.get_mut(at) else { continue };
            let Some(connection) = place else { continue };
            if connection.serve(&mut bytes, answer_bytes, copies).is_err() {
                // Closing the socket takes it out of the poll.
                *place = None;
                continue;
            }
            let waits = connection.owed > 0;
            if waits != connection.waits_to_write {
                let flags = if waits { EventFlags::OUT } else { EventFlags::IN };
                epoll::modify(&poll, &connection.socket, event.data, flags)?;
                connection.waits_to_write = waits;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &impl std::os::fd::AsFd,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    loop {
        let socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let at = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        if at == MOST_CONNECTIONS {
            continue;
        }
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        epoll::add(poll, &socket, EventData::new_u64(at as u64), EventFlags::IN)?;
        let connection = Some(Connection { socket, matched: 0, owed: 0, at: 0, waits_to_write: false });
        if at == connections.len() {
            connections.push(connection);
        } else {
            connections[at] = connection;
        }
    }
}

impl Connection {
    /// One read, and what it asks for. An error means that the connection is over.
    fn serve(&mut self, bytes: &mut [u8], answer_bytes: usize, copies: &[u8]) -> io::Result<()> {
        if self.owed == 0 {
            let read = match self.socket.read(bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.owed = self.requests(&bytes[..read]) * answer_bytes;
        }
        while self.owed > 0 {
            let piece = &copies[self.at..copies.len().min(self.at + self.owed)];
            match self.socket.write(piece) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.owed -= written;
                    self.at = (self.at + written) % answer_bytes;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How many empty lines end in these bytes.
    fn requests(&mut self, bytes: &[u8]) -> usize {
        const END: &[u8; 4] = b"\r\n\r\n";
        let mut count = 0;
        let mut from = 0;
        // Only an end that was cut between two reads is followed byte by byte.
        while self.matched > 0 && from < bytes.len() {
            self.matched = match bytes[from] {
                byte if byte == END[self.matched] => self.matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            from += 1;
            if self.matched == END.len() {
                count += 1;
                self.matched = 0;
            }
        }
        let rest = &bytes[from..];
        let mut after = 0;
        for found in memchr::memmem::find_iter(rest, END) {
            count += 1;
            after = found + END.len();
        }
        if self.matched == 0 {
            let tail = &rest[after..];
            self.matched = (1..END.len()).rev().find(|&length| tail.ends_with(&END[..length])).unwrap_or(0);
        }
        count
    }
}

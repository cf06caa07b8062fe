//! One connection: requests out, answers in, and what each open request must be answered with.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::answer::{Answer, Reader};
use crate::source::Expected;

const CONNECT: Duration = Duration::from_secs(2);

pub struct Connection {
    pub socket: TcpStream,
    pub stream: usize,
    pub waits_to_write: bool,
    pub open: VecDeque<Open>,
    /// Written by the caller; [`Connection::send`] sends it.
    pub out: Vec<u8>,
    sent_bytes: usize,
    reader: Reader,
    /// The beginning of an answer whose end has not come.
    rest: Vec<u8>,
}

/// A request that has no answer yet.
pub struct Open {
    /// When it was to be sent, which is not later than when it was.
    pub due: Instant,
    pub sent: Instant,
    pub expected: Expected,
}

impl Connection {
    pub fn open(address: SocketAddr, stream: usize) -> io::Result<Connection> {
        let socket = TcpStream::connect_timeout(&address, CONNECT)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Connection {
            socket,
            stream,
            waits_to_write: false,
            open: VecDeque::new(),
            out: Vec::new(),
            sent_bytes: 0,
            reader: Reader::default(),
            rest: Vec::new(),
        })
    }

    /// Sends what it can; whether some is left.
    pub fn send(&mut self) -> io::Result<bool> {
        while self.sent_bytes < self.out.len() {
            match self.socket.write(&self.out[self.sent_bytes..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.sent_bytes += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent_bytes = 0;
        Ok(false)
    }

    /// One read; every answer that it completes goes to `take` with the request that it answers.
    pub fn receive(&mut self, space: &mut [u8], mut take: impl FnMut(Open, Answer)) -> io::Result<()> {
        let kept = self.rest.len();
        space[..kept].copy_from_slice(&self.rest);
        let read = match self.socket.read(&mut space[kept..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let bytes = &space[..kept + read];
        let open = &mut self.open;
        let mut is_unasked = false;
        let used = self.reader.read(bytes, |answer| match open.pop_front() {
            Some(request) => take(request, answer),
            None => is_unasked = true,
        });
        let Ok(used) = used else { return Err(ErrorKind::InvalidData.into()) };
        if is_unasked {
            return Err(ErrorKind::InvalidData.into());
        }
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[used..]);
        Ok(())
    }
}

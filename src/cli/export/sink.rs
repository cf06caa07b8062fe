//! Where an export's bytes go: standard output, a file that is there whole or not at all, or a part that is kept.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::partial::{Partial, State};
use crate::cli::failure::CliError;
use crate::cli::new_file::NewFile;

pub(super) struct Sink {
    target: Target,
    /// What packs; what is packed is taken out of it at once.
    gzip: Option<GzEncoder<Vec<u8>>>,
    path: PathBuf,
    is_fresh: bool,
}

enum Target {
    Out(io::BufWriter<io::Stdout>),
    New(io::BufWriter<NewFile>),
    Partial(Box<Partial>),
}

impl Sink {
    pub fn out() -> Sink {
        let target = Target::Out(io::BufWriter::new(io::stdout()));
        Sink { target, gzip: None, path: PathBuf::from("-"), is_fresh: false }
    }

    pub fn file(path: &Path) -> Result<Sink, CliError> {
        let file = io::BufWriter::with_capacity(256 << 10, NewFile::create(path)?);
        Ok(Sink { target: Target::New(file), gzip: packer(path), path: path.to_owned(), is_fresh: false })
    }

    pub fn partial(path: &Path, partial: Partial) -> Sink {
        let target = Target::Partial(Box::new(partial));
        Sink { target, gzip: packer(path), path: path.to_owned(), is_fresh: true }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let written = match &mut self.gzip {
            None => self.target.write(bytes),
            Some(gzip) => gzip.write_all(bytes).and_then(|()| {
                let packed = std::mem::take(gzip.get_mut());
                self.target.write(&packed)
            }),
        };
        written.map_err(|error| self.failed(error))
    }

    /// Whether nothing was saved yet that could be.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Makes durable what came, so that a later run can go on behind it. Nothing where none could.
    pub fn save(&mut self, state: &mut State) -> Result<(), CliError> {
        if !matches!(self.target, Target::Partial(_)) {
            return Ok(());
        }
        self.is_fresh = false;
        // A packed file may consist of several members (RFC 1952, section 2.2): each run begins with one of its own.
        self.end_member()?;
        self.gzip = packer(&self.path);
        match &mut self.target {
            Target::Partial(partial) => partial.save(state),
            Target::Out(_) | Target::New(_) => Ok(()),
        }
    }

    pub fn finish(mut self) -> Result<(), CliError> {
        self.end_member()?;
        match self.target {
            Target::Out(mut out) => match out.flush() {
                Ok(()) => Ok(()),
                Err(error) => Err(failed(error, true, &self.path)),
            },
            Target::New(out) => out
                .into_inner()
                .map_err(io::IntoInnerError::into_error)
                .map_err(CliError::file("写入", "write", &self.path))?
                .finish(),
            Target::Partial(partial) => partial.finish(),
        }
    }

    fn end_member(&mut self) -> Result<(), CliError> {
        let Some(gzip) = self.gzip.take() else { return Ok(()) };
        let ended = gzip.finish().and_then(|rest| self.target.write(&rest));
        ended.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> CliError {
        failed(error, matches!(self.target, Target::Out(_)), &self.path)
    }
}

impl Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Target::Out(out) => out.write_all(bytes),
            Target::New(out) => out.write_all(bytes),
            Target::Partial(partial) => partial.write(bytes),
        }
    }
}

fn packer(path: &Path) -> Option<GzEncoder<Vec<u8>>> {
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    is_packed.then(|| GzEncoder::new(Vec::new(), Compression::default()))
}

fn failed(error: io::Error, is_output: bool, path: &Path) -> CliError {
    if is_output && error.kind() == io::ErrorKind::BrokenPipe {
        return CliError::OutputClosed;
    }
    CliError::file("写入", "write", path)(error)
}

//! A small client of our own: it speaks RESP2 and RESP3, pipelines, and can send any bytes at all.
//!
//! Promises: it takes nothing from the server's code, so the two cannot agree on a mistake; every read ends
//! within a minute.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::frame::{Frame, malformed};

/// How long the client waits for an answer before it takes the server for dead.
const PATIENCE: Duration = Duration::from_secs(60);

/// One reply of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `+`
    Simple(String),
    /// `-`
    Error(String),
    /// `:`
    Integer(i64),
    /// `$`, and `=` without its three letters.
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` and `_`.
    Null,
    /// `*`, `~` and `>`.
    Array(Vec<Reply>),
    /// `%`
    Map(Vec<(Reply, Reply)>),
    /// `#`
    Boolean(bool),
    /// `,`
    Double(f64),
}

impl Reply {
    /// The reply `+OK`.
    pub fn ok() -> Self {
        Self::Simple("OK".to_string())
    }

    /// A bulk reply with these bytes.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(bytes.as_ref().to_vec())
    }

    /// An array of bulk replies.
    pub fn bulks<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Array(items.into_iter().map(Self::bulk).collect())
    }

    /// The meaning of a reply's bytes.
    pub fn of(frame: Frame) -> io::Result<Self> {
        if frame.is_null() {
            return Ok(Self::Null);
        }
        let (kind, text) = (frame.kind(), frame.text());
        Ok(match (kind, frame.body) {
            (b'=', Some(mut body)) => Self::Bulk(body.split_off(4.min(body.len()))),
            (b'!', Some(body)) => Self::Error(String::from_utf8_lossy(&body).into_owned()),
            (_, Some(body)) => Self::Bulk(body),
            (b'-', None) => Self::Error(text),
            (b':', None) => Self::Integer(text.parse().map_err(|_| malformed(&frame.head))?),
            (b',', None) => Self::Double(text.parse().map_err(|_| malformed(&frame.head))?),
            (b'#', None) => Self::Boolean(text == "t"),
            (b'*' | b'~' | b'>', None) => Self::Array(Self::several(frame.parts)?),
            (b'%' | b'|', None) => {
                let parts = Self::several(frame.parts)?;
                Self::Map(parts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            _ => Self::Simple(text),
        })
    }

    fn several(frames: Vec<Frame>) -> io::Result<Vec<Self>> {
        frames.into_iter().map(Self::of).collect()
    }

    /// The text of a simple, error or bulk reply.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("a text was expected, not {other:?}"),
        }
    }

    /// The message of an error reply.
    #[track_caller]
    pub fn error(&self) -> &str {
        match self {
            Self::Error(text) => text,
            other => panic!("an error was expected, not {other:?}"),
        }
    }

    /// The number of an integer reply.
    #[track_caller]
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("an integer was expected, not {other:?}"),
        }
    }

    /// The parts of an array.
    #[track_caller]
    pub fn array(&self) -> &[Reply] {
        match self {
            Self::Array(items) => items,
            other => panic!("an array was expected, not {other:?}"),
        }
    }

    /// The pairs of a map, or of the flat array that RESP2 has in its place.
    #[track_caller]
    pub fn pairs(&self) -> Vec<(Reply, Reply)> {
        match self {
            Self::Map(pairs) => pairs.clone(),
            Self::Array(items) => {
                items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
            }
            other => panic!("a map was expected, not {other:?}"),
        }
    }

    /// Every text in the reply, however deep, a line each.
    pub fn all_text(&self) -> String {
        match self {
            Self::Simple(_) | Self::Error(_) | Self::Bulk(_) => self.text() + "\n",
            Self::Integer(number) => format!("{number}\n"),
            Self::Double(number) => format!("{number}\n"),
            Self::Array(items) => items.iter().map(Self::all_text).collect(),
            Self::Map(pairs) => pairs.iter().map(|(key, value)| key.all_text() + &value.all_text()).collect(),
            Self::Null | Self::Boolean(_) => String::new(),
        }
    }
}

/// What a client talks through.
trait Stream: Read + Write + Send {
    /// Ends the sending half.
    fn end(&self) -> io::Result<()>;
    /// A second handle.
    fn twin(&self) -> io::Result<Box<dyn Stream>>;
    /// Bounds every read and every write.
    fn bound(&self, patience: Duration) -> io::Result<()>;
}

macro_rules! stream {
    ($type:ty) => {
        impl Stream for $type {
            fn end(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
            fn twin(&self) -> io::Result<Box<dyn Stream>> {
                Ok(Box::new(self.try_clone()?))
            }
            fn bound(&self, patience: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(patience))?;
                self.set_write_timeout(Some(patience))
            }
        }
    };
}

stream!(TcpStream);
stream!(UnixStream);

/// A connection to a server.
pub struct Client {
    output: Box<dyn Stream>,
    input: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Connects over TCP.
    pub fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Self::over(stream)
    }

    /// Connects over a unix socket.
    pub fn connect_unix(path: &Path) -> io::Result<Self> {
        Self::over(UnixStream::connect(path)?)
    }

    fn over(stream: impl Stream + 'static) -> io::Result<Self> {
        stream.bound(PATIENCE)?;
        let input = BufReader::new(stream.twin()?);
        Ok(Self { output: Box::new(stream), input })
    }

    /// Bounds every later read and write.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.output.bound(patience)
    }

    /// Sends a command and returns its reply; a connection that ends is a failure of the test.
    #[track_caller]
    pub fn command<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Reply {
        self.try_command(words).unwrap_or_else(|error| panic!("{}: {error}", describe(words)))
    }

    /// Sends the words of a line, split at blanks, as a command.
    #[track_caller]
    pub fn line(&mut self, line: &str) -> Reply {
        self.command(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Sends a command and returns its reply, or how the connection ended.
    pub fn try_command<T: AsRef<[u8]>>(&mut self, words: &[T]) -> io::Result<Reply> {
        self.send(&encode(words))?;
        self.receive()
    }

    /// Sends all commands at once, then reads all replies.
    #[track_caller]
    pub fn pipeline<T: AsRef<[u8]>>(&mut self, commands: &[Vec<T>]) -> Vec<Reply> {
        let bytes: Vec<u8> = commands.iter().flat_map(|words| encode(words)).collect();
        self.send(&bytes).expect("send a pipeline");
        commands
            .iter()
            .map(|words| self.receive().unwrap_or_else(|e| panic!("{}: {e}", describe(words))))
            .collect()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    /// Ends the sending half; replies can still be read.
    pub fn end(&self) -> io::Result<()> {
        self.output.end()
    }

    /// Reads whatever the server still sends until it ends the connection.
    pub fn drain(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.input.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Reads one reply.
    pub fn receive(&mut self) -> io::Result<Reply> {
        Reply::of(self.receive_frame()?)
    }

    /// Reads one reply as its bytes.
    pub fn receive_frame(&mut self) -> io::Result<Frame> {
        Frame::read(&mut self.input)
    }
}

/// A command as an array of bulk strings.
pub fn encode<T: AsRef<[u8]>>(words: &[T]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn describe<T: AsRef<[u8]>>(words: &[T]) -> String {
    let words = words.iter().take(4).map(|word| word.as_ref()[..word.as_ref().len().min(40)].escape_ascii());
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
}

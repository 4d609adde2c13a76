//! The two streams of the program: answers on stdout, one-line errors on stderr.

use std::io::{self, ErrorKind, Write};

/// Writes an answer as a whole. A reader that has seen enough, such as `head`, is no error.
pub fn answer(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Writes an error on one line, whatever is in it. If even that fails, there is nobody to tell.
pub fn error(message: &str) {
    let _ = writeln!(io::stderr(), "enginebay: {}", one_line(message));
}

/// The text without line breaks and other letters that steer a terminal.
pub fn one_line(message: &str) -> String {
    message.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_stays_on_its_line_and_sends_nothing_to_the_terminal() {
        assert_eq!(one_line("a\nb\r\u{1b}[2Jc"), "a b  [2Jc");
    }
}

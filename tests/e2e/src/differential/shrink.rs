//! Makes a stream that shows a difference as short as it goes.

use super::stream::Request;

/// How often a stream is tried at most. Each try takes a few milliseconds.
const TRIES_MAX: usize = 1_500;
/// Words up to this length are left as they are.
const SHORT_WORD_BYTES: usize = 12;

/// The shortest stream found for which `fails` still holds; it holds for `stream`.
pub fn shrink(stream: &[Request], fails: impl FnMut(&[Request]) -> bool) -> Vec<Request> {
    let mut search = Search { best: stream.to_vec(), fails, tries: 0 };
    search.plain_form();
    search.fewer_requests();
    search.plain_form();
    search.shorter_words();
    search.best
}

struct Search<F> {
    best: Vec<Request>,
    fails: F,
    tries: usize,
}

impl<F: FnMut(&[Request]) -> bool> Search<F> {
    /// Keeps the stream if it fails too.
    fn keep(&mut self, stream: Vec<Request>) -> bool {
        self.tries += 1;
        let kept = stream != self.best && self.tries <= TRIES_MAX && (self.fails)(&stream);
        if kept {
            self.best = stream;
        }
        kept
    }

    /// Everything one at a time, as arrays, on one connection.
    fn plain_form(&mut self) {
        let forms: [fn(&mut Request); 3] =
            [|it| it.inline = false, |it| it.joined = false, |it| it.client = 0];
        for form in forms {
            let mut stream = self.best.clone();
            stream.iter_mut().for_each(form);
            self.keep(stream);
        }
    }

    /// Leaves out pieces, large ones first, until no single request can be missed.
    fn fewer_requests(&mut self) {
        let mut size = self.best.len().div_ceil(2);
        while size > 0 {
            let mut start = 0;
            let mut shorter = false;
            while start < self.best.len() {
                let end = (start + size).min(self.best.len());
                let mut stream = self.best.clone();
                stream.drain(start..end);
                match self.keep(stream) {
                    true => shorter = true,
                    false => start = end,
                }
            }
            if size > 1 || !shorter {
                size /= 2;
            }
        }
    }

    fn shorter_words(&mut self) {
        for request in 0..self.best.len() {
            for word in 1..self.best[request].words.len() {
                loop {
                    let len = self.best[request].words[word].len();
                    let mut stream = self.best.clone();
                    stream[request].words[word].truncate(len / 2);
                    if len <= SHORT_WORD_BYTES || !self.keep(stream) {
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        let words = text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        Request { client: 1, joined: true, inline: true, ..Request::plain(words) }
    }

    #[test]
    fn only_the_two_requests_that_matter_stay() {
        let mut stream: Vec<_> = (0..250).map(|n| request(&format!("GET key:{n}"))).collect();
        stream[17] = request(&format!("SET a {}", "x".repeat(5_000)));
        stream[203] = request("APPEND a y");
        let mut tries = 0;
        let short = shrink(&stream, |stream| {
            tries += 1;
            let at = |name: &str| stream.iter().position(|request| request.name() == name);
            at("set").zip(at("append")).is_some_and(|(set, append)| set < append)
        });
        let names: Vec<_> = short.iter().map(Request::name).collect();
        assert_eq!(names, ["set", "append"]);
        assert!(short[0].words[2].len() <= SHORT_WORD_BYTES);
        assert!(short.iter().all(|it| !it.inline && !it.joined && it.client == 0));
        assert!(tries < 200, "{tries}");
    }

    #[test]
    fn a_form_that_matters_stays() {
        let stream = vec![request("GET a"), request("GET b")];
        let short = shrink(&stream, |stream| stream.iter().any(|it| it.joined));
        assert!(short.len() == 1 && short[0].joined && !short[0].inline);
    }
}

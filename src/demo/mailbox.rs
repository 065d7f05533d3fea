//! A mail server that delivers nothing: it takes mails as a real one would (RFC 5321) and keeps them.
//!
//! It knows no TLS and no login, so it must listen on this machine only. It takes what fits: a line
//! that is too long, a mail that is too large or a command out of order is refused as the standard
//! says, and nothing of it is kept.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Most bytes of a line, its end included (RFC 5321, section 4.5.3.1.6).
const LONGEST_LINE: u64 = 1000;

/// Most bytes of a mail.
const LARGEST_MAIL: usize = 10 << 20;

/// Most receivers of a mail.
const MOST_RECEIVERS: usize = 100;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mail as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Who sends it, of the envelope; empty for a notice that wants no answer.
    pub from: String,
    /// Who gets it, of the envelope.
    pub to: Vec<String>,
    /// Head and body.
    pub text: String,
}

/// The mails so far. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Mailbox {
    mails: Arc<Mutex<Vec<Mail>>>,
}

/// What a client has said so far.
#[derive(Debug, Default)]
struct Conversation {
    has_greeted: bool,
    from: Option<String>,
    to: Vec<String>,
}

/// What comes of a command.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Line(&'static str),
    /// The mail follows.
    Data,
    Bye,
}

impl Mailbox {
    /// Every mail, in the order in which they came.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let mailbox = self.clone();
            tokio::spawn(async move {
                // A client that leaves in the middle has sent nothing.
                let _ = mailbox.converse(stream).await;
            });
        }
    }

    fn keep(&self, mail: Mail) {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
    }

    async fn converse(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        say(&mut stream, "220 mailbox.example ESMTP").await?;
        let mut conversation = Conversation::default();
        loop {
            let Some(line) = next_line(&mut stream).await? else { return Ok(()) };
            let Some(line) = line else {
                say(&mut stream, "500 the line is too long, or no text").await?;
                continue;
            };
            match conversation.hear(&line) {
                Reply::Line(reply) => say(&mut stream, reply).await?,
                Reply::Bye => return say(&mut stream, "221 bye").await,
                Reply::Data => {
                    say(&mut stream, "354 the mail, then a line with a dot").await?;
                    let text = mail_text(&mut stream).await?;
                    let from = conversation.from.take().unwrap_or_default();
                    let to = std::mem::take(&mut conversation.to);
                    let Some(text) = text else {
                        say(&mut stream, "552 the mail is too large, or no text").await?;
                        continue;
                    };
                    self.keep(Mail { from, to, text });
                    say(&mut stream, "250 taken").await?;
                }
            }
        }
    }
}

impl Conversation {
    /// Pure.
    fn hear(&mut self, line: &str) -> Reply {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" if !rest.trim().is_empty() => {
                *self = Self { has_greeted: true, ..Self::default() };
                Reply::Line(
                    "250-mailbox.example\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n250 PIPELINING",
                )
            }
            "HELO" if !rest.trim().is_empty() => {
                *self = Self { has_greeted: true, ..Self::default() };
                Reply::Line("250 mailbox.example")
            }
            "MAIL" if self.has_greeted && self.from.is_none() => match address(rest, "FROM:") {
                Some(from) => {
                    self.from = Some(from);
                    Reply::Line("250 go on")
                }
                None => Reply::Line("501 write MAIL FROM:<address>"),
            },
            "RCPT" if self.from.is_some() => match address(rest, "TO:") {
                Some(to) if !to.is_empty() && self.to.len() < MOST_RECEIVERS => {
                    self.to.push(to);
                    Reply::Line("250 go on")
                }
                Some(to) if !to.is_empty() => Reply::Line("452 too many receivers"),
                Some(_) | None => Reply::Line("501 write RCPT TO:<address>"),
            },
            "DATA" if !self.to.is_empty() => Reply::Data,
            "RSET" => {
                *self = Self { has_greeted: self.has_greeted, ..Self::default() };
                Reply::Line("250 forgotten")
            }
            "NOOP" => Reply::Line("250 nothing"),
            "VRFY" => Reply::Line("252 try and see"),
            "QUIT" => Reply::Bye,
            "EHLO" | "HELO" => Reply::Line("501 who are you"),
            "MAIL" | "RCPT" | "DATA" => Reply::Line("503 not now"),
            _ => Reply::Line("502 not known here"),
        }
    }
}

/// The address between `<` and `>` behind a keyword; parameters behind it are read over.
fn address(rest: &str, keyword: &str) -> Option<String> {
    let (found, rest) = rest.split_at_checked(keyword.len())?;
    let rest = found.eq_ignore_ascii_case(keyword).then_some(rest)?;
    let (address, _) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    Some(address.to_owned())
}

/// The next line without its end: `None` at the end of the connection, `Some(None)` where it cannot
/// be taken.
async fn next_line(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Option<String>>> {
    let mut line = Vec::new();
    let mut bounded = stream.take(LONGEST_LINE);
    let reading = bounded.read_until(b'\n', &mut line);
    timeout(PATIENCE, reading).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        // The rest of it is no command.
        let mut rest = Vec::new();
        while rest.last() != Some(&b'\n') {
            rest.clear();
            if stream.take(LONGEST_LINE).read_until(b'\n', &mut rest).await? == 0 {
                return Ok(None);
            }
        }
        return Ok(Some(None));
    }
    let text = String::from_utf8(line).ok();
    Ok(Some(text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned())))
}

/// Everything up to the line with a dot; `None` where it is too large or no text.
async fn mail_text(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut mail: Option<String> = Some(String::new());
    loop {
        let line = next_line(stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let Some(line) = line else {
            mail = None;
            continue;
        };
        if line == "." {
            return Ok(mail);
        }
        // A dot in front was doubled by the sender (RFC 5321, section 4.5.2).
        let line = line.strip_prefix('.').unwrap_or(&line);
        mail = mail.filter(|mail| mail.len() + line.len() < LARGEST_MAIL);
        if let Some(mail) = &mut mail {
            mail.push_str(line);
            mail.push_str("\r\n");
        }
    }
}

async fn say(stream: &mut BufReader<TcpStream>, reply: &str) -> io::Result<()> {
    stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says all lines at once, as a client that pipelines does, and gives the codes of the answers.
    async fn converse(lines: &str) -> (Vec<String>, Vec<Mail>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mailbox = Mailbox::default();
        let serving = tokio::spawn(mailbox.clone().serve(listener));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let lines = lines.replace('\n', "\r\n") + "\r\nQUIT\r\n";
        stream.write_all(lines.as_bytes()).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        serving.abort();
        let codes = answers.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
        let codes = codes.map(|line| line.chars().take(3).collect()).collect();
        (codes, mailbox.mails())
    }

    #[track_caller]
    fn check(heard: &(Vec<String>, Vec<Mail>), codes: &str, mails: &[Mail]) {
        assert_eq!(heard.0.join(" "), codes);
        assert_eq!(heard.1, mails);
    }

    fn mail(from: &str, to: &[&str], text: &str) -> Mail {
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        Mail { from: from.to_owned(), to, text: text.to_owned() }
    }

    #[tokio::test]
    async fn mails_are_kept() {
        let heard = converse(
            "EHLO gate\nMAIL FROM:<a@b.example> SIZE=9\nRCPT TO:<c@d.example>\nrcpt to: <e@f.example>\n\
             DATA\nSubject: x\n\n..dot\n.\nMAIL FROM:<>\nRCPT TO:<c@d.example>\nDATA\ngrüße\n.",
        )
        .await;
        let first =
            mail("a@b.example", &["c@d.example", "e@f.example"], "Subject: x\r\n\r\n.dot\r\n");
        let second = mail("", &["c@d.example"], "grüße\r\n");
        check(&heard, "220 250 250 250 250 354 250 250 250 354 250 221", &[first, second]);
    }

    #[tokio::test]
    async fn what_is_out_of_order_is_refused() {
        let heard = converse(
            "MAIL FROM:<a@b>\nEHLO\nHELO gate\nRCPT TO:<c@d>\nDATA\nMAIL FROM: a@b\nMAIL FROM:<a@b>\n\
             MAIL FROM:<a@b>\nRCPT TO:<>\nDATA\nRSET\nRCPT TO:<c@d>\nNOOP\nVRFY x\nSTARTTLS",
        )
        .await;
        check(&heard, "220 503 501 250 503 503 501 250 503 501 503 250 503 250 252 502 221", &[]);
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused() {
        let long = "x".repeat(3000);
        let start = "EHLO gate\nMAIL FROM:<a@b>\nRCPT TO:<c@d>";
        let heard = converse(&format!("{long}\n{start}\nDATA\n{long}\n.\nNOOP")).await;
        check(&heard, "220 500 250 250 250 354 552 250 221", &[]);
    }
}

//! Scoring on all cores: chunks go to whichever thread is free, and come back in the order of the input.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use llmops_metrics::rouge::RougeScratch;

use super::lines::{self, Chunk, Chunks, MAX_LINE, Pair};
use super::metrics::{Corpus, Scorer, Texts};

/// Chunks on their way for each thread; what bounds the memory.
const CHUNKS_PER_THREAD: usize = 4;

/// What became of a chunk.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The lines of the output.
    pub(super) lines: Vec<u8>,
    /// The scores of all pairs, one after another.
    pub(super) scores: Vec<f64>,
    /// Pairs that were scored.
    pub(super) pairs: u64,
    pub(super) corpus: Corpus,
    /// What is wrong, with the number of the line.
    pub(super) problems: Vec<(u64, String)>,
    /// Bytes of the input that are done.
    pub(super) position: u64,
}

struct Job {
    chunk: Chunk,
    reply: SyncSender<Done>,
}

/// The chunks of an input as they are done, in its order.
pub(super) struct Pool {
    replies: Receiver<io::Result<Receiver<Done>>>,
    only_check: Arc<AtomicBool>,
}

impl Pool {
    /// Starts to read and score. Nobody waits for the threads: one may be stuck in reading a terminal.
    pub(super) fn start(input: impl Read + Send + 'static, scorer: &Arc<Scorer>) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let (give, jobs) = sync_channel(threads * CHUNKS_PER_THREAD);
        let (promise, replies) = sync_channel(threads * CHUNKS_PER_THREAD);
        let only_check = Arc::new(AtomicBool::new(false));
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let (jobs, scorer, only_check) = (Arc::clone(&jobs), Arc::clone(scorer), Arc::clone(&only_check));
            thread::spawn(move || work(&jobs, &scorer, &only_check));
        }
        thread::spawn(move || read(input, &give, &promise));
        Self { replies, only_check }
    }

    /// From now on lines are checked and no longer scored.
    pub(super) fn only_check(&self) {
        self.only_check.store(true, Ordering::Relaxed);
    }
}

impl Iterator for Pool {
    type Item = io::Result<Done>;

    fn next(&mut self) -> Option<Self::Item> {
        let reply = self.replies.recv().ok()?;
        Some(reply.and_then(|reply| reply.recv().map_err(|_| io::Error::other("a thread that scores has died"))))
    }
}

fn read(input: impl Read, jobs: &SyncSender<Job>, promises: &SyncSender<io::Result<Receiver<Done>>>) {
    for chunk in Chunks::new(input) {
        let (job, promise) = match chunk {
            Ok(chunk) => {
                let (reply, done) = sync_channel(1);
                (Some(Job { chunk, reply }), Ok(done))
            }
            Err(error) => (None, Err(error)),
        };
        // The promise first, so that a job which nobody takes is a promise that nobody keeps.
        let wanted = promises.send(promise).is_ok();
        let taken = job.is_some_and(|job| jobs.send(job).is_ok());
        if !(wanted && taken) {
            return;
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, scorer: &Scorer, only_check: &AtomicBool) {
    let mut scratch = RougeScratch::default();
    loop {
        let Ok(Ok(job)) = jobs.lock().map(|jobs| jobs.recv()) else { return };
        let done = score(&job.chunk, scorer, &mut scratch, only_check.load(Ordering::Relaxed));
        // Who started this may have gone.
        let _ = job.reply.send(done);
    }
}

fn score(chunk: &Chunk, scorer: &Scorer, scratch: &mut RougeScratch, only_check: bool) -> Done {
    let mut done = Done { position: chunk.position, ..Done::default() };
    let mut pairs: Vec<(u64, Pair<'_>)> = Vec::with_capacity(chunk.lines.len());
    for (number, line) in (chunk.first..).zip(&chunk.lines) {
        let Some(line) = line else {
            done.problems.push((number, format!("longer than {} MiB", MAX_LINE >> 20)));
            continue;
        };
        match lines::parse(line, number == 1, scorer.needs_reference()) {
            Ok(pair) => pairs.extend(pair.map(|pair| (number, pair))),
            Err(problems) => done.problems.extend(problems.into_iter().map(|problem| (number, problem))),
        }
    }
    // Nothing more is written after a mistake.
    if only_check || !done.problems.is_empty() {
        return done;
    }
    let texts: Vec<_> = pairs.iter().map(|(_, pair)| (pair.output.as_str(), pair.references.as_slice())).collect();
    let neural = match scorer.neural().score(&texts) {
        Ok(neural) => neural,
        Err(error) => {
            done.problems.push((chunk.first, format!("here or in the next lines: {error}")));
            return done;
        }
    };
    for ((number, pair), neural) in pairs.iter().zip(neural) {
        let start = done.scores.len();
        let texts = Texts { output: &pair.output, references: &pair.references, neural };
        if scorer.score(scratch, texts, &mut done.scores, &mut done.corpus).is_none() {
            done.problems.push((*number, "reference: missing".to_owned()));
            continue;
        }
        write_line(&mut done.lines, pair.id, scorer, &done.scores[start..]);
        done.pairs += 1;
    }
    done
}

/// `{"id":…,"scores":{…}}` and a line feed.
fn write_line(out: &mut Vec<u8>, id: &str, scorer: &Scorer, scores: &[f64]) {
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b",\"scores\":{");
    for (i, ((name, _), score)) in scorer.metrics().iter().zip(scores).enumerate() {
        // Names need no escapes, and scores are finite.
        let separator = if i == 0 { "" } else { "," };
        out.extend_from_slice(format!("{separator}\"{name}\":{score:?}").as_bytes());
    }
    out.extend_from_slice(b"}}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(input: String) -> Pool {
        let scorer = Scorer::new(&["levenshtein".to_owned(), "exact_match".to_owned()], false).unwrap();
        Pool::start(io::Cursor::new(input), &Arc::new(scorer))
    }

    #[test]
    fn the_order_is_that_of_the_input() {
        let line = |i: u32| {
            // Uneven work, so that threads overtake each other.
            let text = "x".repeat(usize::try_from(i * 7919 % 300).unwrap());
            format!("{{\"id\":{i},\"output\":\"{text}y\",\"reference\":\"{text}\"}}\n")
        };
        let mut written = Vec::new();
        for done in pool((0..5000).map(line).collect()) {
            written.extend(done.unwrap().lines);
        }
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written.lines().count(), 5000);
        for (i, line) in written.lines().enumerate() {
            assert!(line.starts_with(&format!("{{\"id\":{i},\"scores\":{{\"levenshtein\":0.")), "{line}");
        }
    }

    #[test]
    fn a_line_is_json_whatever_the_id() {
        let input = "{\"id\":\"\\\"\\u0007é\",\"output\":\"\",\"reference\":\"\"}\n".to_owned();
        let lines = pool(input).next().unwrap().unwrap().lines;
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        assert_eq!(line, serde_json::json!({"id": "\"\u{7}é", "scores": {"levenshtein": 1.0, "exact_match": 1.0}}));
    }

    #[test]
    fn a_reader_that_fails_ends_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("unplugged"))
            }
        }
        let scorer = Scorer::new(&["bleu".to_owned()], false).unwrap();
        let mut pool = Pool::start(Broken, &Arc::new(scorer));
        assert_eq!(pool.next().unwrap().unwrap_err().to_string(), "unplugged");
        assert!(pool.next().is_none());
    }
}

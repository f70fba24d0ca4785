//! The log, on standard error.
//!
//! Commands log warnings and worse. Servers and workers write a line for each request besides, in the format that they are
//! told. A server does not wait for whoever reads its log: lines that find no place are left out, and counted in the next
//! one that does.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use clap::Args;
use llmops_domain::config::ServerConfig;
use llmops_domain::config::server::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Options about the log, which come before the configuration's.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// How the log is written: text or json; LLMOPS_LOG says what is in it
    #[arg(long, value_name = "FORMAT", env = "LLMOPS_LOG_FORMAT", value_parser = format)]
    log_format: Option<LogFormat>,
}

fn format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected text or json".to_owned()),
    }
}

impl LogArgs {
    /// Begins the log of a server or worker, until what is answered is dropped.
    pub(crate) fn begin(&self, config: &ServerConfig) -> Lines {
        of_server(self.log_format.unwrap_or(config.log_format))
    }
}

/// What commands log unless `LLMOPS_LOG` says otherwise.
const COMMANDS: &str = "warn";
/// What servers and workers log unless `LLMOPS_LOG` says otherwise.
const SERVERS: &str = "warn,llmops::access=info,llmops::life=info";
/// Lines that may wait for a slow reader.
const WAITING: usize = 8192;

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("LLMOPS_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}

/// The log of a command.
pub(crate) fn of_command() {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let colour = crate::terminal::wants_colour(|name| std::env::var(name).ok(), is_terminal);
    tracing_subscriber::fmt().with_env_filter(filter(COMMANDS)).with_ansi(colour).with_writer(std::io::stderr).init();
}

fn of_server(format: LogFormat) -> Lines {
    let (lines, writer) = Lines::start();
    let registry = tracing_subscriber::registry().with(filter(SERVERS));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => registry.with(layer.with_ansi(false)).init(),
        LogFormat::Json => {
            registry.with(layer.json().flatten_event(true).with_current_span(true).with_span_list(false)).init();
        }
    }
    lines
}

/// The thread that writes lines.
pub(crate) struct Lines {
    sender: Option<&'static Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What writers of lines share.
struct Shared {
    sender: Mutex<Option<SyncSender<Vec<u8>>>>,
    left_out: AtomicU64,
}

impl Lines {
    fn start() -> (Self, Writer) {
        let (sender, receiver) = sync_channel::<Vec<u8>>(WAITING);
        // One for the life of the process, as the subscriber is.
        let shared: &'static Shared =
            Box::leak(Box::new(Shared { sender: Mutex::new(Some(sender)), left_out: AtomicU64::new(0) }));
        let thread = std::thread::spawn(move || {
            let mut out = std::io::stderr();
            for line in receiver {
                // Nobody reads any more: the process goes on without a log.
                let _ = out.write_all(&line);
            }
        });
        (Self { sender: Some(shared), thread: Some(thread) }, Writer(shared))
    }
}

impl Drop for Lines {
    /// Writes what waits.
    fn drop(&mut self) {
        if let Some(shared) = self.sender.take() {
            drop(shared.sender.lock().map(|mut sender| sender.take()));
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Takes lines for the thread.
#[derive(Clone, Copy)]
struct Writer(&'static Shared);

impl std::io::Write for Writer {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let sender = self.0.sender.lock().ok().and_then(|sender| sender.clone());
        let Some(sender) = sender else { return std::io::stderr().write(line) };
        let missing = self.0.left_out.swap(0, Ordering::Relaxed);
        let mut text = Vec::with_capacity(line.len());
        if missing > 0 {
            text.extend(format!("{{\"message\":\"lines of the log were left out\",\"lines\":{missing}}}\n").bytes());
        }
        text.extend(line);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sender.try_send(text) {
            self.0.left_out.fetch_add(missing + 1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

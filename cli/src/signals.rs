//! Being interrupted.
//!
//! While there is nothing to end in order, a signal ends the compiler, if it runs, and this process. While somebody has
//! asked for signals ([`in_order`]), the first one lets it end in order and the second one at once.

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};

use dialoguer::console::Term;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::Ending;
use crate::console::progress;

/// Cancelled by the first signal.
static GENTLY: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);
/// Cancelled by the second.
static AT_ONCE: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);
/// Whether somebody ends in order.
static IN_ORDER: AtomicBool = AtomicBool::new(false);
/// The process group of the compiler; 0 while none runs.
static COMPILER: AtomicI32 = AtomicI32::new(0);
/// The number of the last signal; 0 before the first.
static SIGNAL: AtomicU8 = AtomicU8::new(0);

/// What the process is told while this is there: whoever has it ends in order.
#[derive(Debug)]
pub(crate) struct Interruption {
    /// Cancelled by the first signal: end in order.
    pub(crate) gently: CancellationToken,
    /// Cancelled by the second: end at once.
    pub(crate) at_once: CancellationToken,
}

impl Drop for Interruption {
    fn drop(&mut self) {
        IN_ORDER.store(false, Ordering::SeqCst);
    }
}

/// The number of the signal that came, if one did.
pub(crate) fn signal_that_came() -> Option<u8> {
    Some(SIGNAL.load(Ordering::Relaxed)).filter(|number| *number > 0)
}

/// Listens for SIGINT, SIGTERM and SIGHUP, on a thread of its own, as long as this process lives. A hangup that whoever
/// started this wants ignored (`nohup`) stays ignored.
pub(crate) fn listen() -> std::io::Result<()> {
    let ignores_hangup = is_ignored(SignalKind::hangup());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, hangup) = {
        let _guard = runtime.enter();
        let hangup = if ignores_hangup { None } else { Some(signal(SignalKind::hangup())?) };
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, hangup)
    };
    let mut hangup = hangup;
    let listening = move || {
        runtime.block_on(async {
            loop {
                let kind = tokio::select! {
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = next(&mut hangup) => SignalKind::hangup(),
                };
                came(u8::try_from(kind.as_raw_value()).unwrap_or_default());
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listening)?;
    Ok(())
}

async fn next(signal: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether this process was started with a signal ignored, as far as the system says so (proc(5)).
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    ignored & (1 << (kind.as_raw_value() - 1)) != 0
}

/// A signal has come.
fn came(number: u8) {
    SIGNAL.store(number, Ordering::Relaxed);
    if IN_ORDER.load(Ordering::SeqCst) {
        if AT_ONCE.is_cancelled() {
            // Asked a third time: what is left is swept up by the next run.
            std::process::exit(i32::from(interrupted(number).code()));
        }
        if GENTLY.is_cancelled() {
            AT_ONCE.cancel();
        }
        GENTLY.cancel();
        return;
    }
    if let Some(group) = Pid::from_raw(COMPILER.load(Ordering::SeqCst)) {
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    std::process::exit(i32::from(interrupted(number).code()));
}

/// The end of a command that was interrupted before there was anything to sum up; says so.
pub(crate) fn interrupted(signal: u8) -> Ending {
    let _ = progress().clear();
    let terminal = Term::stderr();
    if terminal.is_term() {
        // A prompt hides the cursor.
        let _ = terminal.show_cursor();
    }
    // Where standard error is closed, nobody listens.
    let _ = writeln!(std::io::stderr(), "interrupted");
    Ending::Interrupted(signal)
}

/// Whether a signal has come that ends this process.
pub(crate) fn is_ending() -> bool {
    signal_that_came().is_some() && !IN_ORDER.load(Ordering::SeqCst)
}

/// Waits for a signal that is on its way to end this process.
pub(crate) fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// From now on, whoever calls this ends in order when a signal comes.
pub(crate) fn in_order() -> Interruption {
    IN_ORDER.store(true, Ordering::SeqCst);
    Interruption { gently: GENTLY.clone(), at_once: AT_ONCE.clone() }
}

/// The compiler of this process group is ended by a signal, until what is returned is dropped.
pub(crate) fn end_with_us(group: u32) -> Compiling {
    let group = i32::try_from(group).unwrap_or_default();
    COMPILER.store(group, Ordering::SeqCst);
    Compiling(group)
}

/// The compiler of this process group runs.
#[derive(Debug)]
pub(crate) struct Compiling(i32);

impl Drop for Compiling {
    fn drop(&mut self) {
        // Another one may have been started since.
        let _ = COMPILER.compare_exchange(self.0, 0, Ordering::SeqCst, Ordering::SeqCst);
    }
}

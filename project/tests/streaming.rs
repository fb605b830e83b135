//! Memory does not grow with the number of rows: counted by an allocator, not guessed from the process.

#![cfg(test)]
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use armada_project::{Configuration, MAX_MISTAKES_PER_FILE, Mode, Overrides};

/// Counts the bytes that are in use, and the most that ever were.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator; the counters are not allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that `work` had in use at once, beyond what was there before.
fn most_in_use<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = IN_USE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let result = work();
    (MOST.load(Ordering::Relaxed) - before, result)
}

fn project(root: &Path, rows: usize, row: impl Fn(usize) -> String) {
    let config = root.join("config");
    std::fs::create_dir_all(&config).unwrap();
    let template = r#"{ "default_job_message": { "url": "", "proxy": { "location": "", "verify": 0 } } }"#;
    std::fs::write(config.join("config_template.json"), template).unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(config.join("data_job.csv")).unwrap());
    writeln!(file, "url,proxy").unwrap();
    (0..rows).for_each(|index| writeln!(file, "{}", row(index)).unwrap());
}

fn resolve(root: &Path) -> Result<Configuration, armada_project::Mistakes> {
    Configuration::resolve(root, Mode::Local, &Overrides::default())
}

/// Resolves and makes all messages in both ways, and says how many there were.
fn merge_all(root: &Path) -> (u64, usize) {
    let configuration = resolve(root).unwrap();
    let messages = configuration.jobs().filter(|message| message.is_ok()).count();
    let (mut jobs, mut line) = (configuration.jobs(), Vec::new());
    while let Some(written) = jobs.write_line(&mut line) {
        written.unwrap();
        line.clear();
    }
    (configuration.number_of_jobs(), messages)
}

/// How many bytes this process has read from files so far.
#[cfg(target_os = "linux")]
fn bytes_read() -> u64 {
    let counters = std::fs::read_to_string("/proc/self/io").unwrap();
    counters.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// Explains all messages, and says how many there were.
fn explain_all(root: &Path) -> usize {
    let mut jobs = resolve(root).unwrap().jobs();
    std::iter::from_fn(|| jobs.explain()).map(Result::unwrap).filter(|values| values.len() == 4).count()
}

// One test, because the counters are one for the whole process.
#[test]
fn memory_is_the_same_for_a_thousand_rows_and_for_two_hundred_thousand() {
    let good = |index| format!(r#"https://quotes.example/page/{index:06},"{{""location"": ""US"", ""verify"": 1}}""#);
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), 1_000, good);
    let (few, _) = most_in_use(|| merge_all(folder.path()));
    project(folder.path(), 200_000, good);
    let (many, counts) = most_in_use(|| merge_all(folder.path()));
    assert_eq!(counts, (200_000, 200_000));
    assert!(many <= few + 16 * 1024, "{few} bytes for a thousand rows, {many} for two hundred thousand");
    assert!(many < 1 << 20, "{many} bytes");

    // Explanations read the file to check it, to merge it and to find its cells.
    project(folder.path(), 1_000, good);
    let (few, _) = most_in_use(|| explain_all(folder.path()));
    project(folder.path(), 10_000, good);
    #[cfg(target_os = "linux")]
    let before = bytes_read();
    let (many, explained) = most_in_use(|| explain_all(folder.path()));
    assert_eq!(explained, 10_000);
    assert!(many <= few + 16 * 1024, "{few} bytes for a thousand explanations, {many} for ten thousand");
    #[cfg(target_os = "linux")]
    {
        let (read, size) = (bytes_read() - before, folder.path().join("config/data_job.csv").metadata().unwrap().len());
        assert!(read < 4 * size, "{read} bytes were read of a file of {size}");
    }

    // Mistakes are kept up to a number, and counted from there on.
    let bad = |index| format!("https://quotes.example/page/{index:06},{{broken}}");
    project(folder.path(), 10_000, bad);
    let (few, _) = most_in_use(|| resolve(folder.path()).unwrap_err());
    project(folder.path(), 100_000, bad);
    let (many, mistakes) = most_in_use(|| resolve(folder.path()).unwrap_err());
    assert!(many <= few + 16 * 1024, "{few} bytes for ten thousand mistakes, {many} for a hundred thousand");
    assert_eq!(mistakes.count(), 100_000);
    assert_eq!(mistakes.iter().count() as u64, MAX_MISTAKES_PER_FILE);
    assert_eq!(mistakes.more().collect::<Vec<_>>(), [("config/data_job.csv", 99_900)]);
    let mut report = String::new();
    miette::NarratableReportHandler::new().render_report(&mut report, &mistakes).unwrap();
    assert!(report.contains("and 99,900 more in config/data_job.csv"), "{report}");
}

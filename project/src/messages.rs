//! The messages of a run's agents or jobs, made while they are asked for.
//!
//! As an iterator it yields each message as a map; [`Messages::write_line`] adds it to a buffer as JSON instead, which
//! is what dispatch sends and costs a fraction, and [`Messages::explain`] says where its values came from.

use serde_json::{Map, Value};

use crate::configuration::Configuration;
use crate::explain::{Recorder, explain_message};
use crate::merge::Unobserved;
use crate::mistake::Mistake;
use crate::origin::Explained;
use crate::plan::Plan;
use crate::rows::{Flaw, Row, Rows, Target};

/// The messages of all agents, or of all jobs, in the order of their indices.
///
/// The configuration was checked, so a mistake here means that a CSV file was changed since. Nothing follows it.
pub struct Messages {
    configuration: Configuration,
    target: Target,
    rows: Option<Rows>,
    next: u64,
    failed: bool,
}

impl Messages {
    pub(crate) fn new(configuration: Configuration, target: Target) -> Messages {
        Messages { configuration, target, rows: None, next: 0, failed: false }
    }

    /// Adds the next message to `out`, as JSON without line breaks, and a line break. `None` after the last.
    pub fn write_line(&mut self, out: &mut Vec<u8>) -> Option<Result<(), Mistake>> {
        self.step(|plan, row| {
            match row {
                Some(row) => plan.write(row, out)?,
                None => plan.write_default(out),
            }
            out.push(b'\n');
            Ok(())
        })
    }

    /// Skips messages that are not asked for, at the price of reading their rows.
    pub fn skip_to(&mut self, index: u64) -> Result<(), Mistake> {
        while self.next < index.min(self.row_count())
            && let Some(result) = self.step(|_, _| Ok(()))
        {
            result?;
        }
        self.next = self.next.max(index.min(self.configuration.side(self.target).count));
        Ok(())
    }

    /// Says of every value of the next message where it came from, instead of making the message. `None` after the
    /// last.
    pub fn explain(&mut self) -> Option<Result<Vec<Explained>, Mistake>> {
        let (index, mut seen) = (self.next, Recorder::default());
        let message = self.step(|plan, row| match row {
            Some(row) => plan.message(row, &mut seen),
            None => Ok(plan.default().clone()),
        })?;
        let rows = self.rows.as_ref().filter(|_| index < self.row_count());
        Some(message.map(|message| explain_message(&self.configuration, self.target, &message, rows, &seen)))
    }

    fn row_count(&self) -> u64 {
        self.configuration.side(self.target).rows
    }

    /// Goes to the next message, which `make` makes of its row, if it has one.
    fn step<T>(&mut self, make: impl FnOnce(&Plan, Option<Row<'_>>) -> Result<T, Flaw>) -> Option<Result<T, Mistake>> {
        let side = self.configuration.side(self.target);
        if self.failed || self.next >= side.count {
            return None;
        }
        let (index, rows) = (self.next, side.rows);
        self.next += 1;
        let plan = self.configuration.plan(self.target);
        let made = if index >= rows {
            make(plan, None).map_err(|_| changed(self.target))
        } else {
            match open(&mut self.rows, &self.configuration, self.target) {
                Err(mistake) => Err(mistake),
                Ok(file) => match file.read() {
                    None => Err(changed(self.target)),
                    Some(read) => match read.and_then(|()| make(plan, Some(file.row()))) {
                        Err(flaw) => Err(file.mistake(&flaw)),
                        Ok(_) if index + 1 == rows && !file.is_unchanged() => Err(changed(self.target)),
                        Ok(made) => Ok(made),
                    },
                },
            }
        };
        self.failed = made.is_err();
        Some(made)
    }
}

impl Iterator for Messages {
    type Item = Result<Map<String, Value>, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(|plan, row| match row {
            Some(row) => plan.message(row, &mut Unobserved),
            None => Ok(plan.default().clone()),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.configuration.side(self.target).count - self.next;
        (0, usize::try_from(left).ok())
    }
}

/// The rows, opened when the first is needed.
fn open<'a>(
    rows: &'a mut Option<Rows>,
    configuration: &Configuration,
    target: Target,
) -> Result<&'a mut Rows, Mistake> {
    let opened = match rows.take() {
        Some(opened) => opened,
        None => {
            let opened = Rows::open(&configuration.resolved().root, target)?.ok_or_else(|| changed(target))?;
            match &configuration.side(target).file {
                Some((_, fingerprint)) if *fingerprint == opened.fingerprint() => opened,
                _ => return Err(changed(target)),
            }
        }
    };
    Ok(rows.insert(opened))
}

fn changed(target: Target) -> Mistake {
    Mistake::new(target.file(), "the file was changed after it was checked").help("start again")
}

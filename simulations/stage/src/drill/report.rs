//! Each attempt and what stopped it.

use packnback_cli::parts::{
    Outcome,
    render::{Voice, path},
};
use serde_json::{Value, json};

use super::attack::Attempt;
use super::safe::Check;

/// The same attempt against several hosts, with the same end.
struct Row<'a> {
    attempt: &'a Attempt,
    against: Vec<&'a str>,
}

/// Everything that was tried and looked at.
#[derive(Default)]
pub(super) struct Report {
    attempts: Vec<Attempt>,
    checks: Vec<Check>,
    /// Names of hosts by their ids in hex.
    names: Vec<(String, String)>,
}

/// Refused, or allowed because it harms nobody.
fn good(attempt: &Attempt) -> bool {
    matches!(attempt.outcome.as_str(), "refused" | "allowed")
}

fn mark(good: bool) -> &'static str {
    if good { "PASS" } else { "FAIL" }
}

impl Report {
    pub(super) fn name(&mut self, id: String, name: &str) {
        self.names.push((id, name.to_owned()));
    }

    fn named<'a>(&'a self, id: &'a str) -> &'a str {
        if id.is_empty() {
            return "itself";
        }
        let found = self.names.iter().find(|(known, _)| known == id);
        found.map_or(id, |(_, name)| name)
    }

    /// Adds attempts and shows them.
    pub(super) fn attempts(&mut self, voice: Voice, attempts: Vec<Attempt>) -> Outcome<()> {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for attempt in &attempts {
            let same = rows.iter_mut().find(|row| {
                (&row.attempt.family, &row.attempt.name) == (&attempt.family, &attempt.name)
                    && row.attempt.outcome == attempt.outcome
            });
            match same {
                Some(row) => row.against.push(self.named(&attempt.host)),
                None => rows.push(Row {
                    attempt,
                    against: vec![self.named(&attempt.host)],
                }),
            }
        }
        for Row { attempt, against } in rows {
            voice.say(&format!(
                "{}  {:<9}  {:<8}  {}",
                mark(good(attempt)),
                attempt.family,
                against.join(" "),
                attempt.what_was_tried
            ))?;
            voice.say(&format!(
                "      {}: {}",
                attempt.outcome,
                path(attempt.refusal.as_bytes())
            ))?;
        }
        self.attempts.extend(attempts);
        Ok(())
    }

    /// Adds checks and shows them.
    pub(super) fn checks(&mut self, voice: Voice, checks: Vec<Check>) -> Outcome<()> {
        for check in &checks {
            voice.say(&format!("{}  {}", mark(check.good), check.what))?;
            voice.say(&format!("      {}", path(check.found.as_bytes())))?;
        }
        self.checks.extend(checks);
        Ok(())
    }

    fn ended(&self, how: &str) -> usize {
        let like = |attempt: &&Attempt| attempt.outcome == how;
        self.attempts.iter().filter(like).count()
    }

    /// Whether nothing succeeded, everything could be tried, and all is as it has to be.
    pub(super) fn passed(&self) -> bool {
        let tried = !self.attempts.is_empty() && self.attempts.iter().all(good);
        tried && !self.checks.is_empty() && self.checks.iter().all(|check| check.good)
    }

    /// In one line, for people.
    pub(super) fn summary(&self) -> String {
        let bad = self.checks.iter().filter(|check| !check.good).count();
        format!(
            "{} attempts: {} refused, {} allowed and harmless, {} succeeded, {} could not be tried. {} checks, {bad} failed.",
            self.attempts.len(),
            self.ended("refused"),
            self.ended("allowed"),
            self.ended("succeeded"),
            self.ended("error"),
            self.checks.len(),
        )
    }

    /// For programs.
    pub(super) fn json(&self, seconds: f64) -> Value {
        let attempts: Vec<Value> = self
            .attempts
            .iter()
            .map(|attempt| {
                json!({
                    "family": attempt.family,
                    "name": attempt.name,
                    "against": self.named(&attempt.host),
                    "tried": attempt.what_was_tried,
                    "outcome": attempt.outcome,
                    "answer": attempt.refusal,
                    "pass": good(attempt),
                })
            })
            .collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| json!({ "what": check.what, "found": check.found, "pass": check.good }))
            .collect();
        json!({
            "pass": self.passed(),
            "refused": self.ended("refused"),
            "allowed": self.ended("allowed"),
            "succeeded": self.ended("succeeded"),
            "not_tried": self.ended("error"),
            "attempts": attempts,
            "checks": checks,
            "seconds": seconds,
        })
    }
}

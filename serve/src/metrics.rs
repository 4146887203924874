//! Counts of a model's thread, and of the server's answers, in Prometheus' text format.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::job::Work;

/// Number that several threads change.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Subtracts from it.
    pub fn subtract(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Replaces it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of a model's thread. Times are in microseconds.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Tokens of prompts.
    pub prompt_tokens: Count,
    /// Tokens of prompts that a slot had read before.
    pub reused_tokens: Count,
    /// Tokens that were generated.
    pub generated_tokens: Count,
    /// Texts that ended, or documents that were encoded.
    pub finished: Count,
    /// Texts whose client went away.
    pub cancelled: Count,
    /// Texts that run now.
    pub running: Count,
    /// Passes over the weights.
    pub passes: Count,
    /// Tokens in these passes.
    pub pass_tokens: Count,
    /// Time of these passes.
    pub busy: Count,
    /// Time from the first token of a prompt to the end of the text, of all finished texts.
    pub text_time: Count,
}

impl Metrics {
    /// Counts a text that ended.
    pub fn finished(&self, work: &Work) {
        self.finished.add(1);
        self.text_time.add((work.prompt + work.generate).as_micros() as u64);
    }

    /// Mean time of a finished text; a second before the first.
    pub fn mean_time(&self) -> Duration {
        match self.finished.get() {
            0 => Duration::from_secs(1),
            n => Duration::from_micros(self.text_time.get() / n),
        }
    }
}

/// Counts of the server.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    /// Open connections.
    pub connections: Count,
    /// Answers by status.
    answers: Mutex<BTreeMap<u16, u64>>,
}

impl ServerMetrics {
    /// Counts an answer.
    pub fn answered(&self, status: u16) {
        *self.answers.lock().unwrap_or_else(|broken| broken.into_inner()).entry(status).or_default() += 1;
    }

    fn answers(&self) -> BTreeMap<u16, u64> {
        self.answers.lock().unwrap_or_else(|broken| broken.into_inner()).clone()
    }
}

/// Kind of a number: one that only rises, or any.
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// Page of all counts. `models` are names, counts and the numbers of jobs that wait.
pub fn page<'m>(server: &ServerMetrics, models: impl Iterator<Item = (&'m str, &'m Metrics, usize)> + Clone) -> String {
    let mut page = String::new();
    let mut family = |name: &str, kind: &str, help: &str, of: &dyn Fn(&Metrics, usize) -> f64| {
        let _ = writeln!(page, "# HELP nearfield_{name} {help}\n# TYPE nearfield_{name} {kind}");
        for (model, metrics, n_waiting) in models.clone() {
            let _ = writeln!(page, "nearfield_{name}{{model=\"{}\"}} {}", escaped(model), of(metrics, n_waiting));
        }
    };
    let seconds = |count: &Count| count.get() as f64 / 1e6;
    let number = |count: &Count| count.get() as f64;
    family("prompt_tokens_total", COUNTER, "Tokens of prompts and documents.", &|m, _| number(&m.prompt_tokens));
    family("reused_tokens_total", COUNTER, "Tokens of prompts that a slot had read before.", &|m, _| {
        number(&m.reused_tokens)
    });
    family("generated_tokens_total", COUNTER, "Tokens drawn.", &|m, _| number(&m.generated_tokens));
    family("finished_total", COUNTER, "Texts that ended, and encoded documents.", &|m, _| number(&m.finished));
    family("cancelled_total", COUNTER, "Texts whose client went away.", &|m, _| number(&m.cancelled));
    family("passes_total", COUNTER, "Passes over the weights.", &|m, _| number(&m.passes));
    family("pass_tokens_total", COUNTER, "Tokens in these passes.", &|m, _| number(&m.pass_tokens));
    family("busy_seconds_total", COUNTER, "Time of these passes.", &|m, _| seconds(&m.busy));
    family("running", GAUGE, "Texts that run now.", &|m, _| number(&m.running));
    family("waiting", GAUGE, "Jobs in the queue.", &|_, n_waiting| n_waiting as f64);
    page.push_str("# HELP nearfield_connections Open connections.\n# TYPE nearfield_connections gauge\n");
    let _ = writeln!(page, "nearfield_connections {}", server.connections.get());
    page.push_str("# HELP nearfield_answers_total Answers by status.\n# TYPE nearfield_answers_total counter\n");
    for (status, n) in server.answers() {
        let _ = writeln!(page, "nearfield_answers_total{{status=\"{status}\"}} {n}");
    }
    page
}

/// Value of a label: backslash, quote and line feed have a backslash before them.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_has_a_line() {
        let (server, metrics) = (ServerMetrics::default(), Metrics::default());
        metrics.prompt_tokens.add(7);
        metrics.busy.add(1_500_000);
        [200, 404, 200].into_iter().for_each(|status| server.answered(status));
        let page = page(&server, [("a\"b", &metrics, 3)].into_iter());
        for line in [
            "# TYPE nearfield_prompt_tokens_total counter\nnearfield_prompt_tokens_total{model=\"a\\\"b\"} 7\n",
            "nearfield_busy_seconds_total{model=\"a\\\"b\"} 1.5\n",
            "nearfield_waiting{model=\"a\\\"b\"} 3\n",
            "nearfield_answers_total{status=\"200\"} 2\nnearfield_answers_total{status=\"404\"} 1\n",
        ] {
            assert!(page.contains(line), "{line}{page}");
        }
    }
}

//! Prometheus' text format.

use std::fmt::Write as _;

use llmops_domain::meter::Distribution;

use super::{Family, Kind};

/// An answer that grows family by family.
#[derive(Default)]
pub(crate) struct Exposition {
    text: String,
    name: &'static str,
    labels: &'static [&'static str],
}

impl Exposition {
    /// Begins a family.
    pub(super) fn family(&mut self, family: &Family) {
        (self.name, self.labels) = (family.name, family.labels);
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = write!(self.text, "# HELP {} {}\n# TYPE {} {kind}\n", family.name, family.help, family.name);
    }

    /// A sample of the family; values of its labels in their order.
    pub(super) fn sample(&mut self, labels: &[&str], value: f64) {
        self.line("", labels, None, value);
    }

    /// The samples of a histogram.
    pub(super) fn histogram(&mut self, labels: &[&str], of: &Distribution) {
        for (bound, count) in &of.up_to {
            self.line("_bucket", labels, Some(&bound.to_string()), *count as f64);
        }
        self.line("_bucket", labels, Some("+Inf"), of.count as f64);
        self.line("_sum", labels, None, of.sum);
        self.line("_count", labels, None, of.count as f64);
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: f64) {
        debug_assert_eq!(labels.len(), self.labels.len(), "{}", self.name);
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let pairs = self.labels.iter().copied().zip(labels.iter().copied()).chain(bound.map(|bound| ("le", bound)));
        let mut separator = '{';
        for (name, value) in pairs {
            let _ = write!(self.text, "{separator}{name}=\"{}\"", escaped(value));
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The whole answer.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use llmops_domain::meter::Histogram;

    use super::*;

    #[test]
    fn writes_what_prometheus_reads() {
        let family = |name, kind, labels: &'static [&'static str]| {
            let help = "Of a test.";
            Family { name, kind, labels, help, read: |_, _| {} }
        };
        let mut out = Exposition::default();
        out.family(&family("a_total", Kind::Counter, &["of", "to"]));
        out.sample(&["x\"y\\z", "two\nlines"], 3.0);
        out.sample(&["ä", ""], 0.125);
        out.family(&family("b", Kind::Gauge, &[]));
        out.sample(&[], 1e21);
        out.family(&family("c_seconds", Kind::Histogram, &["of"]));
        let histogram = Histogram::new(&[0.5, 1.0]);
        histogram.observe(0.25);
        histogram.observe(2.0);
        out.histogram(&["x"], &histogram.read());
        let expected = r#"# HELP a_total Of a test.
# TYPE a_total counter
a_total{of="x\"y\\z",to="two\nlines"} 3
a_total{of="ä",to=""} 0.125
# HELP b Of a test.
# TYPE b gauge
b 1000000000000000000000
# HELP c_seconds Of a test.
# TYPE c_seconds histogram
c_seconds_bucket{of="x",le="0.5"} 1
c_seconds_bucket{of="x",le="1"} 1
c_seconds_bucket{of="x",le="+Inf"} 2
c_seconds_sum{of="x"} 2.25
c_seconds_count{of="x"} 2
"#;
        assert_eq!(out.into_text(), expected);
    }
}

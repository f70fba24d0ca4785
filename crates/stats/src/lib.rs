//! Statistical tests, intervals, sequential inference, power and drift detectors.

//! What many say: opinions on answers, and sums of them that can be taken back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Feedback, FeedbackContext, Sentiment, Thumb};

/// Most tags of a request that make slices of their own.
const MAX_TAGS: usize = 8;
/// Longest tag that does, with its value, in bytes.
const MAX_TAG: usize = 128;

/// What is thought of one answer: of everything that was said of it, the last word of each kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// When the first of it was said: the day that it counts for.
    pub first_at: Option<Timestamp>,
    /// The last thumb, and when.
    pub thumb: Option<(Timestamp, Thumb)>,
    /// The last rating as a share of its scale, and when.
    pub rating: Option<(Timestamp, f64)>,
    /// Whether it was corrected.
    pub corrected: bool,
    /// Whether there is a comment.
    pub commented: bool,
}

impl Opinion {
    /// The opinion after one more word. The order of arrival does not matter, only when things were said.
    #[must_use]
    pub fn with(mut self, feedback: &Feedback) -> Self {
        let at = feedback.at;
        self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
        if let Some(thumb) = feedback.body.thumb {
            self.thumb = Some(later(self.thumb, (at, thumb)));
        }
        if let Some(rating) = feedback.body.rating {
            self.rating = Some(later(self.rating, (at, rating.share())));
        }
        self.corrected |= feedback.body.correction.is_some();
        self.commented |= feedback.body.comment.is_some();
        self
    }

    /// The opinion on an answer that went by two names.
    #[must_use]
    pub fn merged(self, other: &Self) -> Self {
        Self {
            first_at: [self.first_at, other.first_at].into_iter().flatten().min(),
            thumb: last(self.thumb, other.thumb),
            rating: last(self.rating, other.rating),
            corrected: self.corrected || other.corrected,
            commented: self.commented || other.commented,
        }
    }

    /// Whether the answer was found good, by the last words on it; nothing where nobody says.
    pub fn sentiment(&self) -> Option<Sentiment> {
        super::sentiment(self.thumb.map(|(_, thumb)| thumb), self.rating.map(|(_, share)| share), self.corrected)
    }

    /// What it adds to the sums.
    pub fn tally(&self) -> FeedbackTally {
        let rating = self.rating.map(|(_, share)| share);
        FeedbackTally {
            requests: i64::from(self.first_at.is_some()),
            thumbs: i64::from(self.thumb.is_some()),
            ups: i64::from(self.thumb.is_some_and(|(_, thumb)| thumb == Thumb::Up)),
            rated: i64::from(rating.is_some()),
            rating_sum: rating.unwrap_or(0.0),
            rating_squares: rating.map_or(0.0, |share| share * share),
            corrections: i64::from(self.corrected),
            comments: i64::from(self.commented),
        }
    }
}

/// Of two words where there are two, the one said later.
fn last<T>(one: Option<(Timestamp, T)>, other: Option<(Timestamp, T)>) -> Option<(Timestamp, T)> {
    match other {
        Some(other) => Some(later(one, other)),
        None => one,
    }
}

/// Of two words, the one said later; the one that arrived later where they are of one moment.
fn later<T>(before: Option<(Timestamp, T)>, new: (Timestamp, T)) -> (Timestamp, T) {
    match before {
        Some(before) if before.0 > new.0 => before,
        _ => new,
    }
}

/// Sums over opinions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedbackTally {
    /// Answers that anything was said of.
    pub requests: i64,
    /// Answers with a thumb.
    pub thumbs: i64,
    /// Of those, up.
    pub ups: i64,
    /// Answers with a rating.
    pub rated: i64,
    /// Sum of the ratings, as shares of their scales.
    pub rating_sum: f64,
    /// Sum of their squares.
    pub rating_squares: f64,
    /// Answers that were corrected.
    pub corrections: i64,
    /// Answers with a comment.
    pub comments: i64,
}

impl FeedbackTally {
    /// The sum with another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            thumbs: self.thumbs + other.thumbs,
            ups: self.ups + other.ups,
            rated: self.rated + other.rated,
            rating_sum: self.rating_sum + other.rating_sum,
            rating_squares: self.rating_squares + other.rating_squares,
            corrections: self.corrections + other.corrections,
            comments: self.comments + other.comments,
        }
    }

    /// What takes it back.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            requests: -self.requests,
            thumbs: -self.thumbs,
            ups: -self.ups,
            rated: -self.rated,
            rating_sum: -self.rating_sum,
            rating_squares: -self.rating_squares,
            corrections: -self.corrections,
            comments: -self.comments,
        }
    }

    /// Mean and variance (n − 1) of the ratings; nothing without ratings.
    pub fn rating_moments(&self) -> Option<(u64, f64, f64)> {
        let n = u64::try_from(self.rated).ok().filter(|n| *n > 0)?;
        let mean = self.rating_sum / n as f64;
        // Taking back leaves rounding behind: a spread is never below zero.
        let spread = (self.rating_squares - self.rating_sum * mean).max(0.0);
        Some((n, mean.clamp(0.0, 1.0), spread))
    }
}

/// The sums that an opinion on this answer belongs to: `all`, and one for each thing that summaries are made by. Without
/// a context, only `all`.
pub fn slices(context: Option<&FeedbackContext>) -> Vec<String> {
    let mut slices = vec!["all".to_owned()];
    let Some(context) = context else { return slices };
    let named = [
        ("deployment", context.deployment.as_deref()),
        ("manifest", context.manifest.as_ref().map(super::super::hash::ContentHash::as_str)),
        ("prompt", context.prompt.as_deref()),
        ("model", Some(context.model.as_str()).filter(|model| !model.is_empty())),
        ("variant", context.variant.as_deref()),
    ];
    slices.extend(named.into_iter().filter_map(|(kind, name)| Some(format!("{kind}/{}", name?))));
    let tags = context.tags.iter().map(|(name, value)| format!("tag/{name}={value}"));
    slices.extend(tags.filter(|tag| tag.len() <= MAX_TAG).take(MAX_TAGS));
    slices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::{FeedbackBody, Rating};

    fn said(second: i64, thumb: Option<Thumb>, stars: Option<f64>) -> Feedback {
        let rating = stars.map(|value| Rating { value, scale: 5.0, min: 0.0 });
        let body = FeedbackBody { request_id: Some("r".to_owned()), thumb, rating, ..FeedbackBody::default() };
        let at = Timestamp::from_second(second).unwrap();
        Feedback { id: "fb_1".into(), at, sentiment: body.sentiment(), body, context: None }
    }

    #[test]
    fn the_last_word_counts_whatever_the_order_of_arrival() {
        let words = [said(1, Some(Thumb::Down), None), said(3, Some(Thumb::Up), Some(4.0)), said(2, None, Some(1.0))];
        let orders: [[usize; 3]; 3] = [[0, 1, 2], [2, 1, 0], [1, 0, 2]];
        let opinions: Vec<Opinion> =
            orders.map(|order| order.into_iter().fold(Opinion::default(), |o, i| o.with(&words[i]))).into();
        assert!(opinions.windows(2).all(|pair| pair[0] == pair[1]));
        let tally = opinions[0].tally();
        assert_eq!((tally.requests, tally.thumbs, tally.ups, tally.rated), (1, 1, 1, 1));
        assert_eq!(tally.rating_sum, 0.8);
    }

    #[test]
    fn an_answer_with_two_names_has_one_opinion() {
        let words = [said(2, Some(Thumb::Down), None), said(3, None, Some(4.0)), said(1, Some(Thumb::Up), Some(1.0))];
        let whole = words.iter().fold(Opinion::default(), Opinion::with);
        for split in 0..=words.len() {
            let (one, other) = words.split_at(split);
            let [one, other] = [one, other].map(|part| part.iter().fold(Opinion::default(), Opinion::with));
            assert_eq!(one.clone().merged(&other), whole);
            assert_eq!(other.merged(&one), whole);
        }
        assert_eq!(whole.sentiment(), Some(Sentiment::Negative));
        assert_eq!(Opinion::default().sentiment(), None);
    }

    #[test]
    fn sums_can_be_taken_back() {
        let one = Opinion::default().with(&said(1, Some(Thumb::Up), Some(3.0))).tally();
        let two = Opinion::default().with(&said(2, Some(Thumb::Down), Some(5.0))).tally();
        let left = one.plus(two).plus(two.negated());
        assert_eq!((left.requests, left.thumbs, left.ups, left.rated), (1, 1, 1, 1));
        let (n, mean, spread) = left.rating_moments().unwrap();
        assert!(n == 1 && (mean - 0.6).abs() < 1e-12 && spread.abs() < 1e-12);
        assert_eq!(left.plus(one.negated()).rating_moments(), None);
        assert_eq!(Opinion::default().tally(), FeedbackTally::default());
    }

    #[test]
    fn a_request_with_many_tags_makes_few_slices() {
        let mut context = FeedbackContext { deployment: Some("bot".to_owned()), ..FeedbackContext::default() };
        context.tags = (0..50).map(|i| (format!("t{i:02}"), "x".to_owned())).collect();
        context.tags.insert("a".to_owned(), "y".repeat(500));
        let slices = slices(Some(&context));
        assert_eq!(slices.len(), 2 + MAX_TAGS);
        assert_eq!(slices[..3], ["all", "deployment/bot", "tag/t00=x"]);
        assert_eq!(super::slices(None), ["all"]);
    }
}

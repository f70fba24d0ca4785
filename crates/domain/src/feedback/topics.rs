//! What negative feedback is about: texts grouped by how similar they are, with the words that set a group apart.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation as _;

/// Words of a label.
const LABEL_WORDS: usize = 3;
/// Texts that a topic shows.
const EXAMPLES: usize = 3;
/// Characters of a text that is shown.
const EXCERPT: usize = 160;
/// Fewest texts of a topic: what one person says is no topic.
const FEWEST: usize = 2;

/// Words that say nothing of what a text is about, in English, German, French and Spanish.
const EMPTY_WORDS: &str = "a about after all also am an and any are as at be because been but by can could did do does \
    don for from get got had has have he her him his how i if in into is it its just like me more my no not now of on one \
    or our out really she should so some than that the their them then there these they this to too up us very was we were \
    what when where which who why will with would you your t s re ve ll m d \
    aber alle als am an auch auf aus bei bin bis das dass dem den der des die doch ein eine einen einer es für hat hatte \
    ich ihr im in ist ja kann kein keine man mich mir mit muss nach nicht noch nur oder sehr sein sich sie sind so und uns \
    vom von war was wenn wie wir wird zu zum zur \
    au aux avec ce ces cette dans de des du elle en est et il ils je la le les leur mais me mes mon ne nous on ou par pas \
    plus pour qu que qui sa se ses son sur très un une vous été \
    al con de del el ella en es esta este ha la las lo los me mi muy no o para pero por que se si sin su sus un una y ya";

/// A group of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Topic {
    /// The words that set it apart.
    pub label: String,
    /// Texts in it.
    pub count: u64,
    /// Some of them, the most typical first.
    pub examples: Vec<String>,
}

/// Groups of texts, and what stands alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Topics {
    /// How similarity was measured: `embeddings (MODEL)` or `words (TF-IDF)`, and why.
    pub method: String,
    /// Texts that were looked at.
    pub texts: u64,
    /// The groups, the largest first.
    pub topics: Vec<Topic>,
    /// Texts that belong to no group.
    pub alone: u64,
}

/// Unit vectors of texts by their words: rare words weigh more.
pub fn word_vectors(texts: &[String]) -> Vec<BTreeMap<u32, f64>> {
    let mut ids = HashMap::<String, u32>::new();
    let mut documents = HashMap::<u32, usize>::new();
    let mut counts = Vec::with_capacity(texts.len());
    for text in texts {
        let mut count = BTreeMap::<u32, f64>::new();
        for word in telling(text) {
            let next = u32::try_from(ids.len()).unwrap_or(u32::MAX);
            *count.entry(*ids.entry(word).or_insert(next)).or_default() += 1.0;
        }
        for id in count.keys() {
            *documents.entry(*id).or_default() += 1;
        }
        counts.push(count);
    }
    let all = texts.len() as f64;
    for count in &mut counts {
        for (id, weight) in count.iter_mut() {
            let having = documents.get(id).copied().unwrap_or(1) as f64;
            *weight = (1.0 + weight.ln()) * ((1.0 + all) / (1.0 + having)).ln().mul_add(1.0, 1.0);
        }
        let norm = count.values().map(|weight| weight * weight).sum::<f64>().sqrt();
        for weight in count.values_mut() {
            *weight /= norm;
        }
    }
    counts
}

/// The cosine of two unit vectors of [`word_vectors`].
pub fn word_cosine(a: &BTreeMap<u32, f64>, b: &BTreeMap<u32, f64>) -> f64 {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    few.iter().filter_map(|(id, weight)| Some(weight * many.get(id)?)).sum()
}

/// The words of a text that say what it is about.
fn telling(text: &str) -> impl Iterator<Item = String> {
    let is_empty = |word: &str| EMPTY_WORDS.split_whitespace().any(|known| known == word);
    words(text).into_iter().filter(move |word| {
        let is_word = word.chars().any(char::is_alphabetic);
        is_word && (word.chars().count() > 1 || !word.is_ascii()) && !is_empty(word)
    })
}

/// What a character is part of, by how its script writes words.
#[derive(Clone, Copy, PartialEq)]
enum Script {
    /// Chinese, or Korean with its particles: two characters in a row say something.
    Dense,
    /// Hiragana: the grammar of Japanese, and few words.
    Hiragana,
    /// Katakana: words of Japanese that end where another script begins.
    Katakana,
    /// Everything else that is written in letters or digits.
    Letters,
    /// What stands between words.
    Gap,
}

impl Script {
    fn of(character: &str) -> Self {
        let Some(first) = character.chars().next() else { return Self::Gap };
        match u32::from(first) {
            0x3041..=0x309F => Self::Hiragana,
            0x30A1..=0x30FA | 0x30FC..=0x30FF => Self::Katakana,
            0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0x2_0000..=0x3_134F => Self::Dense,
            _ if first.is_alphanumeric() => Self::Letters,
            _ => Self::Gap,
        }
    }
}

/// The words of a text, lower-cased. A character keeps its marks, without which Thai or Hindi would fall to pieces.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let characters: Vec<&str> = text.graphemes(true).collect();
    let (mut words, mut hiragana) = (Vec::new(), Vec::new());
    for run in characters.chunk_by(|a, b| Script::of(a) == Script::of(b)) {
        match Script::of(run[0]) {
            Script::Dense if run.len() > 1 => words.extend(run.windows(2).map(<[&str]>::concat)),
            Script::Dense | Script::Katakana | Script::Letters => words.push(run.concat()),
            Script::Hiragana => hiragana.push(run.concat()),
            Script::Gap => {}
        }
    }
    // Beside other words it is endings and particles, which any two texts have in common.
    if words.is_empty() { hiragana } else { words }
}

/// Groups `count` texts: the two most similar groups become one, until none are as similar as `threshold` on average
/// (agglomerative clustering with average linkage). Groups are lists of positions, the largest first.
pub fn cluster(count: usize, similarity: impl Fn(usize, usize) -> f64, threshold: f64) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..count).map(|place| vec![place]).collect();
    let mut near: Vec<Vec<f64>> = (0..count).map(|a| (0..a).map(|b| similarity(a, b)).collect()).collect();
    let mut alive: Vec<usize> = (0..count).collect();
    let at = |near: &[Vec<f64>], a: usize, b: usize| if a > b { near[a][b] } else { near[b][a] };
    loop {
        let mut best: Option<(f64, usize, usize)> = None;
        for (i, &a) in alive.iter().enumerate() {
            for &b in &alive[..i] {
                let found = at(&near, a, b);
                if best.is_none_or(|(most, _, _)| found > most) {
                    best = Some((found, b, a));
                }
            }
        }
        let Some((_, into, from)) = best.filter(|(found, _, _)| *found >= threshold) else { break };
        let (n, m) = (groups[into].len() as f64, groups[from].len() as f64);
        for &other in alive.iter().filter(|&&other| other != into && other != from) {
            let mean = (n * at(&near, into, other) + m * at(&near, from, other)) / (n + m);
            if into > other {
                near[into][other] = mean;
            } else {
                near[other][into] = mean;
            }
        }
        let moved = std::mem::take(&mut groups[from]);
        groups[into].extend(moved);
        alive.retain(|&place| place != from);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_iter().filter(|group| !group.is_empty()).collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group.first().copied()));
    groups
}

/// Groups texts into topics with readable labels. `similarity` is between 0 and 1, by position.
pub fn topics(method: String, texts: &[String], similarity: impl Fn(usize, usize) -> f64, threshold: f64) -> Topics {
    // Texts without words, such as the same emoji twice, are as alike as any two that are equal.
    let similarity = |a: usize, b: usize| if texts[a] == texts[b] { 1.0 } else { similarity(a, b) };
    let groups = cluster(texts.len(), similarity, threshold);
    let alone = groups.iter().filter(|group| group.len() < FEWEST).count() as u64;
    let groups: Vec<Vec<usize>> = groups.into_iter().filter(|group| group.len() >= FEWEST).collect();
    let labels = labels(texts, &groups);
    let topics = groups.iter().zip(labels).map(|(group, label)| Topic {
        label,
        count: group.len() as u64,
        examples: typical(group, &similarity).into_iter().map(|place| excerpt(&texts[place])).collect(),
    });
    Topics { method, texts: texts.len() as u64, topics: topics.collect(), alone }
}

/// For each group the words that are more frequent in it than elsewhere (class-based TF-IDF).
fn labels(texts: &[String], groups: &[Vec<usize>]) -> Vec<String> {
    let mut everywhere = HashMap::<String, f64>::new();
    for word in texts.iter().flat_map(|text| telling(text)) {
        *everywhere.entry(word).or_default() += 1.0;
    }
    let mean = everywhere.values().sum::<f64>() / groups.len().max(1) as f64;
    let label = |group: &Vec<usize>| {
        let mut here = BTreeMap::<String, f64>::new();
        for &place in group {
            // Once a text: somebody who repeats a word makes no topic of it.
            let mut once: Vec<String> = telling(&texts[place]).collect();
            once.sort();
            once.dedup();
            for word in once {
                *here.entry(word).or_default() += 1.0;
            }
        }
        let weigh = |(word, count): (String, f64)| {
            let total = everywhere.get(&word).copied().unwrap_or(1.0);
            (count * (1.0 + mean / total).ln(), word)
        };
        let mut words: Vec<(f64, String)> = here.into_iter().map(weigh).collect();
        words.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let words: Vec<String> = words.into_iter().take(LABEL_WORDS).map(|(_, word)| word).collect();
        if words.is_empty() { wordless(texts, group) } else { words.join(", ") }
    };
    groups.iter().map(label).collect()
}

/// The label of a group without words: what it says instead.
fn wordless(texts: &[String], group: &[usize]) -> String {
    let said = group.iter().map(|place| excerpt(&texts[*place])).find(|said| !said.is_empty());
    said.unwrap_or_else(|| "(no words)".to_owned())
}

/// The texts of a group that are most similar to the others.
fn typical(group: &[usize], similarity: &impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut ranked: Vec<(f64, usize)> = group
        .iter()
        .map(|&place| {
            (group.iter().filter(|&&other| other != place).map(|&other| similarity(place, other)).sum(), place)
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().take(EXAMPLES).map(|(_, place)| place).collect()
}

fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[&str]) -> Topics {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let vectors = word_vectors(&texts);
        topics("words".to_owned(), &texts, |a, b| word_cosine(&vectors[a], &vectors[b]), 0.15)
    }

    #[test]
    fn complaints_fall_into_topics() {
        let found = found(&[
            "the delivery price is wrong",
            "Wrong delivery price again!",
            "price of delivery was wrong, we pay 4.90",
            "it answered in English, I wrote German",
            "Why English? I wrote in German",
            "the plant died",
        ]);
        let shown: Vec<(&str, u64)> = found.topics.iter().map(|topic| (&*topic.label, topic.count)).collect();
        assert_eq!(shown, [("delivery, price, wrong", 3), ("english, german, wrote", 2)]);
        assert_eq!((found.texts, found.alone), (6, 1));
        assert!(found.topics[0].examples[0].contains("elivery"));
    }

    #[test]
    fn groups_by_average_linkage() {
        let place = |i: usize| [0.0_f64, 0.1, 0.2, 5.0, 5.1, 9.0][i];
        let near = |a: usize, b: usize| 1.0 - (place(a) - place(b)).abs();
        assert_eq!(cluster(6, near, 0.5), [vec![0, 1, 2], vec![3, 4], vec![5]]);
        assert_eq!(cluster(0, near, 0.5), Vec::<Vec<usize>>::new());
        assert_eq!(cluster(2, |_, _| f64::NAN, 0.5), [vec![0], vec![1]]);
    }

    #[test]
    fn odd_texts_do_no_harm() {
        let found = found(&["", "the", "!!!", "四", "四"]);
        assert_eq!(found.texts, 5);
        assert_eq!(found.topics.len(), 1);
        assert_eq!(found.topics[0].label, "四");
        assert_eq!(super::topics(String::new(), &[], |_, _| 0.0, 0.5).topics, []);
    }

    #[test]
    fn words_of_every_script() {
        let check = |text: &str, expected: &[&str]| assert_eq!(telling(text).collect::<Vec<_>>(), expected, "{text}");
        check("Don't ship PLANTS, please: 12 of v2!", &["ship", "plants", "please", "v2"]);
        check("配送料が高いです", &["配送", "送料", "高"]);
        check("サイズが違う", &["サイズ", "違"]);
        check("ひどい", &["ひどい"]);
        check("价格错误", &["价格", "格错", "错误"]);
        check("배송이 늦어요", &["배송", "송이", "늦어", "어요"]);
        check("ค่าส่งแพงมาก", &["ค่าส่งแพงมาก"]);
        check("क़ीमत ग़लत है", &["क़ीमत", "ग़लत", "है"]);
        check("👎🏽 👎🏽", &[]);
    }

    #[test]
    fn topics_of_every_script() {
        let check = |texts: &[&str], label: &str| {
            let shown: Vec<(String, u64)> = found(texts).topics.into_iter().map(|t| (t.label, t.count)).collect();
            assert_eq!(shown, [(label.to_owned(), texts.len() as u64)]);
        };
        check(&["配送料が間違っています", "配送料は違いますよ"], "送料, 配送, 違");
        check(&["👎", "👎", "👎"], "👎");
        check(&["ค่าส่งผิด", "ค่าส่งผิด"], "ค่าส่งผิด");
    }
}

//! The Porter stemmer with the extensions of NLTK, for lower-case ASCII words of more than two characters.
//!
//! Porter, M. "An algorithm for suffix stripping", Program 14.3 (1980), with the changes that NLTK's default mode makes
//! (a table of irregular forms, `ies`/`ied` in short words, `y` after consonants only, `alli` first, `fulli`, `logi`).
//! Digits count as consonants.

/// Forms that the rules would get wrong, with their stems.
const IRREGULAR: &[(&[u8], &[u8])] = &[
    (b"skies", b"sky"),
    (b"dying", b"die"),
    (b"lying", b"lie"),
    (b"tying", b"tie"),
    (b"news", b"news"),
    (b"innings", b"inning"),
    (b"inning", b"inning"),
    (b"outings", b"outing"),
    (b"outing", b"outing"),
    (b"cannings", b"canning"),
    (b"canning", b"canning"),
    (b"howe", b"howe"),
    (b"proceed", b"proceed"),
    (b"exceed", b"exceed"),
    (b"succeed", b"succeed"),
];

/// A suffix and what takes its place. The first suffix that fits decides, whether or not its condition holds.
type Rule = (&'static [u8], &'static [u8]);

const STEP_1A: &[Rule] = &[(b"sses", b"ss"), (b"ies", b"i"), (b"ss", b"ss"), (b"s", b"")];

const STEP_2: &[Rule] = &[
    (b"ational", b"ate"),
    (b"tional", b"tion"),
    (b"enci", b"ence"),
    (b"anci", b"ance"),
    (b"izer", b"ize"),
    (b"bli", b"ble"),
    (b"alli", b"al"),
    (b"entli", b"ent"),
    (b"eli", b"e"),
    (b"ousli", b"ous"),
    (b"ization", b"ize"),
    (b"ation", b"ate"),
    (b"ator", b"ate"),
    (b"alism", b"al"),
    (b"iveness", b"ive"),
    (b"fulness", b"ful"),
    (b"ousness", b"ous"),
    (b"aliti", b"al"),
    (b"iviti", b"ive"),
    (b"biliti", b"ble"),
    (b"fulli", b"ful"),
    (b"logi", b"log"),
];

const STEP_3: &[Rule] = &[
    (b"icate", b"ic"),
    (b"ative", b""),
    (b"alize", b"al"),
    (b"iciti", b"ic"),
    (b"ical", b"ic"),
    (b"ful", b""),
    (b"ness", b""),
];

const STEP_4: &[Rule] = &[
    (b"al", b""),
    (b"ance", b""),
    (b"ence", b""),
    (b"er", b""),
    (b"ic", b""),
    (b"able", b""),
    (b"ible", b""),
    (b"ant", b""),
    (b"ement", b""),
    (b"ment", b""),
    (b"ent", b""),
    (b"ion", b""),
    (b"ou", b""),
    (b"ism", b""),
    (b"ate", b""),
    (b"iti", b""),
    (b"ous", b""),
    (b"ive", b""),
    (b"ize", b""),
];

/// Replaces the word at the end of `buffer`, which begins at `start`, by its stem.
pub(super) fn stem(buffer: &mut Vec<u8>, start: usize) {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(form, _)| *form == &buffer[start..]) {
        buffer.truncate(start);
        buffer.extend_from_slice(stem);
        return;
    }
    let mut word = Word { buffer, start };
    word.step_1a();
    word.step_1b();
    word.step_1c();
    word.step_2();
    word.apply(STEP_3, |_, stem| Shape::of(stem).measure > 0);
    word.apply(STEP_4, |suffix, stem| {
        Shape::of(stem).measure > 1 && (suffix != b"ion" || matches!(stem.last(), Some(b's' | b't')))
    });
    word.step_5();
}

/// What the rules ask about a stem, found in one pass.
#[derive(Default)]
struct Shape {
    /// How many times a vowel is followed by a consonant: the `m` of the paper.
    measure: usize,
    has_vowel: bool,
    /// Whether the last three letters are consonants, the last one in the lowest bit.
    consonants: u8,
}

impl Shape {
    fn of(stem: &[u8]) -> Self {
        let mut shape = Self::default();
        // A `y` is a consonant at the start and after a vowel.
        let mut after_consonant = false;
        for &letter in stem {
            let consonant = match letter {
                b'a' | b'e' | b'i' | b'o' | b'u' => false,
                b'y' => !after_consonant,
                _ => true,
            };
            shape.measure += usize::from(consonant && shape.consonants & 1 == 0 && shape.has_vowel);
            shape.has_vowel |= !consonant;
            shape.consonants = shape.consonants << 1 | u8::from(consonant);
            after_consonant = consonant;
        }
        shape
    }

    /// Consonant, vowel, consonant other than w, x, y; or a whole stem of vowel and consonant.
    fn ends_cvc(&self, stem: &[u8]) -> bool {
        match stem {
            [_, _] => self.consonants & 0b11 == 0b01,
            [.., last] if stem.len() > 2 => self.consonants & 0b111 == 0b101 && !matches!(last, b'w' | b'x' | b'y'),
            _ => false,
        }
    }
}

struct Word<'b> {
    buffer: &'b mut Vec<u8>,
    start: usize,
}

impl Word<'_> {
    fn letters(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The word without `suffix`, when it ends so.
    fn stem_before(&self, suffix: &[u8]) -> Option<&[u8]> {
        // Most suffixes differ in their last letter; that comparison is cheaper than the call for the rest.
        if self.buffer.last() == suffix.last() { self.letters().strip_suffix(suffix) } else { None }
    }

    fn replace(&mut self, suffix: &[u8], replacement: &[u8]) {
        self.buffer.truncate(self.buffer.len() - suffix.len());
        self.buffer.extend_from_slice(replacement);
    }

    fn apply(&mut self, rules: &[Rule], condition: impl Fn(&[u8], &[u8]) -> bool) {
        for (suffix, replacement) in rules {
            if let Some(stem) = self.stem_before(suffix) {
                if condition(suffix, stem) {
                    self.replace(suffix, replacement);
                }
                return;
            }
        }
    }

    /// Plurals.
    fn step_1a(&mut self) {
        if self.buffer.last() != Some(&b's') {
            return;
        }
        if self.letters().len() == 4 && self.stem_before(b"ies").is_some() {
            self.replace(b"ies", b"ie");
        } else {
            self.apply(STEP_1A, |_, _| true);
        }
    }

    /// Past tense and gerund.
    fn step_1b(&mut self) {
        if !matches!(self.buffer.last(), Some(b'd' | b'g')) {
            return;
        }
        if self.stem_before(b"ied").is_some() {
            let short = self.letters().len() == 4;
            self.replace(b"ied", if short { b"ie" } else { b"i" });
            return;
        }
        if let Some(stem) = self.stem_before(b"eed") {
            if Shape::of(stem).measure > 0 {
                self.replace(b"eed", b"ee");
            }
            return;
        }
        for suffix in [&b"ed"[..], b"ing"] {
            if self.stem_before(suffix).is_some_and(|stem| Shape::of(stem).has_vowel) {
                self.replace(suffix, b"");
                self.mend_after_1b();
                return;
            }
        }
    }

    /// Restores the `e`, or removes the doubled consonant, that the suffix had brought about.
    fn mend_after_1b(&mut self) {
        let stem = self.letters();
        let shape = Shape::of(stem);
        if let [.., b'a', b't'] | [.., b'b', b'l'] | [.., b'i', b'z'] = stem {
            self.buffer.push(b'e');
        } else if let [.., before, last] = stem
            && before == last
            && shape.consonants & 1 == 1
        {
            if !matches!(last, b'l' | b's' | b'z') {
                self.buffer.pop();
            }
        } else if shape.measure == 1 && shape.ends_cvc(stem) {
            self.buffer.push(b'e');
        }
    }

    /// `y` after a consonant that is not the only letter before it.
    fn step_1c(&mut self) {
        if let Some(stem) = self.stem_before(b"y")
            && stem.len() > 1
            && Shape::of(stem).consonants & 1 == 1
        {
            self.replace(b"y", b"i");
        }
    }

    fn step_2(&mut self) {
        // `alli` becomes `al` before anything else, and the result is looked at again.
        while self.stem_before(b"alli").is_some_and(|stem| Shape::of(stem).measure > 0) {
            self.replace(b"alli", b"al");
        }
        let letters = self.letters().len();
        if !matches!(self.buffer.last(), Some(b'l' | b'i' | b'r' | b'n' | b'm' | b's')) || letters < 3 {
            return;
        }
        self.apply(STEP_2, |suffix, stem| {
            // The `l` of `logi` belongs to the stem, so that `geologi` and `archaeologi` are treated alike.
            if suffix == b"logi" {
                let mut longer = Shape::of(stem);
                longer.measure += usize::from(longer.has_vowel && longer.consonants & 1 == 0);
                longer.measure > 0
            } else {
                Shape::of(stem).measure > 0
            }
        });
    }

    /// A final `e`, then a doubled `l`.
    fn step_5(&mut self) {
        if let Some(stem) = self.stem_before(b"e") {
            let shape = Shape::of(stem);
            if shape.measure > 1 || (shape.measure == 1 && !shape.ends_cvc(stem)) {
                self.buffer.pop();
            }
        }
        if self.stem_before(b"ll").is_some() && Shape::of(&self.letters()[..self.letters().len() - 1]).measure > 1 {
            self.buffer.pop();
        }
    }
}

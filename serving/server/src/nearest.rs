//! Owns the suggestion for a name that is not known: the known name that was probably meant.

/// The known name with the fewest edits from `name`, if they are few enough to be a slip: at most a third of the
/// name's length, and at least one is forgiven. Equal distances go to the name that is declared first.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Longer texts are no slip of a name; comparing them would only cost time.
    if name.len() > 128 {
        return None;
    }
    let forgiven = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (n_edits(name, candidate), candidate))
        .filter(|(n_edits, _)| *n_edits <= forgiven)
        .min_by_key(|(n_edits, _)| *n_edits)
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance: insertions, deletions and replacements of one character that turn `a` into `b`.
fn n_edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
            ("añb", "anb", 1),
        ] {
            assert_eq!(n_edits(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn slips_find_their_name_and_strangers_do_not() {
        let known = ["context", "unit", "decision_id"];
        assert_eq!(nearest("contxt", known), Some("context"));
        assert_eq!(nearest("unti", known), None);
        assert_eq!(nearest("uni", known), Some("unit"));
        assert_eq!(nearest("decisionid", known), Some("decision_id"));
        assert_eq!(nearest("weather", known), None);
    }
}

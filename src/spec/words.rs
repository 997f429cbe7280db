//! Splits a command line into words by the quoting rules of the POSIX shell, without expanding anything.

/// The words of a command line: blanks part them, quotes and backslashes keep them together.
///
/// # Errors
/// A sentence when a quote is not closed or the text ends with a backslash.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("the command ends with a backslash".to_owned()),
            },
            '\'' | '"' => quoted(c, &mut chars, word.get_or_insert_default())?,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => match chars.next() {
                Some('\n') => {}
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                Some(next) => word.extend(['\\', next]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err(format!("the quote {quote} is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_as_a_shell_sees_them() {
        let words = split(r#"sh -c "echo \"hi\" 'a b'" it''s '' a\ b "\n""#).unwrap();
        assert_eq!(words, ["sh", "-c", r#"echo "hi" 'a b'"#, "its", "", "a b", r"\n"]);
        assert!(split("a 'b").is_err() && split("a \"b").is_err() && split("a\\").is_err());
        assert_eq!(split("  ").unwrap(), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("\\PC{0,12}", 0..6)) {
            let line: Vec<String> = words.iter().map(|w| format!("'{}'", w.replace('\'', r"'\''"))).collect();
            prop_assert_eq!(split(&line.join(" ")).unwrap(), words);
        }
    }
}

//! Rust source with comments, or comments and strings, blanked out, so that rules look at code
//! only. Lines stay where they are.

/// Two views of a file's code.
#[derive(Debug)]
pub(super) struct Code {
    /// Without comments.
    pub(super) with_strings: String,
    /// Without comments and without what is inside quotes.
    pub(super) bare: String,
}

/// What the scanner is inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    /// How deeply nested.
    BlockComment(usize),
    Quotes,
    /// How many `#` end it.
    RawQuotes(usize),
}

impl Code {
    /// Reads `text`.
    pub(super) fn of(text: &str) -> Self {
        Scanner {
            rest: text,
            inside: Inside::Code,
            with_strings: String::new(),
            bare: String::new(),
        }
        .scan()
    }

    /// The part before the file's own tests, which come last.
    pub(super) fn before_tests(view: &str) -> &str {
        view.find("#[cfg(test)]\nmod ")
            .map_or(view, |at| &view[..at])
    }
}

struct Scanner<'a> {
    rest: &'a str,
    inside: Inside,
    with_strings: String,
    bare: String,
}

/// Which views keep a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Both,
    WithStrings,
    Neither,
}

impl Scanner<'_> {
    fn scan(mut self) -> Code {
        while !self.rest.is_empty() {
            self.step();
        }
        Code {
            with_strings: self.with_strings,
            bare: self.bare,
        }
    }

    fn step(&mut self) {
        match self.inside {
            Inside::Code => self.step_in_code(),
            Inside::LineComment => self.step_until("\n", Keep::Neither),
            Inside::BlockComment(depth) => self.step_in_block_comment(depth),
            Inside::Quotes if self.rest.starts_with('\\') => self.take(2, Keep::WithStrings),
            Inside::Quotes => self.step_until("\"", Keep::WithStrings),
            Inside::RawQuotes(marks) => {
                let end = format!("\"{}", "#".repeat(marks));
                self.step_until(&end, Keep::WithStrings);
            }
        }
    }

    fn step_in_code(&mut self) {
        if self.rest.starts_with("//") {
            self.inside = Inside::LineComment;
        } else if self.rest.starts_with("/*") {
            self.take(2, Keep::Neither);
            self.inside = Inside::BlockComment(1);
        } else if self.rest.starts_with('"') {
            self.take(1, Keep::Both);
            self.inside = Inside::Quotes;
        } else if let Some(marks) = self.raw_string() {
            self.take(marks + 2, Keep::Both);
            self.inside = Inside::RawQuotes(marks);
        } else if let Some(length) = character_literal(self.rest) {
            self.take(length, Keep::WithStrings);
        } else {
            self.take(1, Keep::Both);
        }
    }

    fn step_in_block_comment(&mut self, depth: usize) {
        if self.rest.starts_with("/*") {
            self.take(2, Keep::Neither);
            self.inside = Inside::BlockComment(depth + 1);
        } else if self.rest.starts_with("*/") {
            self.take(2, Keep::Neither);
            self.inside = if depth == 1 {
                Inside::Code
            } else {
                Inside::BlockComment(depth - 1)
            };
        } else {
            self.take(1, Keep::Neither);
        }
    }

    /// Takes one character, or the end mark and with it the way back into code.
    fn step_until(&mut self, end: &str, keep: Keep) {
        if self.rest.starts_with(end) {
            self.take(end.chars().count(), Keep::Both);
            self.inside = Inside::Code;
        } else {
            self.take(1, keep);
        }
    }

    /// The number of `#` of a raw string that begins here.
    fn raw_string(&self) -> Option<usize> {
        let after = self.rest.strip_prefix('r')?;
        let marks = after.len() - after.trim_start_matches('#').len();
        let before = self.bare.chars().next_back();
        let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && !self.bare.ends_with(" b")
            && !self.bare.ends_with("(b");
        (!in_word && after[marks..].starts_with('"')).then_some(marks)
    }

    fn take(&mut self, characters: usize, keep: Keep) {
        for character in self.rest.chars().take(characters) {
            let blank = if character == '\n' { '\n' } else { ' ' };
            let (with_strings, bare) = match keep {
                Keep::Both => (character, character),
                Keep::WithStrings => (character, blank),
                Keep::Neither => (blank, blank),
            };
            self.with_strings.push(with_strings);
            self.bare.push(bare);
        }
        let end = self
            .rest
            .char_indices()
            .nth(characters)
            .map_or(self.rest.len(), |(at, _)| at);
        self.rest = &self.rest[end..];
    }
}

/// The length in characters of a character literal that begins here, which a lifetime does not.
fn character_literal(rest: &str) -> Option<usize> {
    let mut characters = rest.strip_prefix('\'')?.chars();
    match characters.next()? {
        '\\' => {
            characters.next()?;
            characters.position(|c| c == '\'').map(|inside| inside + 4)
        }
        _ => (characters.next()? == '\'').then_some(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, with_strings: &str, bare: &str) {
        let code = Code::of(text);
        let squeeze = |view: &str| view.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&code.with_strings), with_strings);
        assert_eq!(squeeze(&code.bare), bare);
        assert_eq!(code.bare.matches('\n').count(), text.matches('\n').count());
    }

    #[test]
    fn comments_go_and_lines_stay() {
        check("a // b\nc /* d /* e */\n f */ g", "a c g", "a c g");
    }

    #[test]
    fn strings_go_from_the_bare_view_only() {
        check("f(\"x // y\", z)", "f(\"x // y\", z)", "f(\" \", z)");
        check(r#"f("a\"b", c)"#, r#"f("a\"b", c)"#, "f(\" \", c)");
    }

    #[test]
    fn raw_strings_end_at_their_own_mark() {
        check("f(r#\"x\"y\"#, z)", "f(r#\"x\"y\"#, z)", "f(r#\" \"#, z)");
        check("f(br\"x\", z)", "f(br\"x\", z)", "f(br\" \", z)");
    }

    #[test]
    fn quotes_in_character_literals_begin_no_string() {
        check(
            "'\"' a 'b' '\\'' '\\u{1f}' c",
            "'\"' a 'b' '\\'' '\\u{1f}' c",
            "a c",
        );
        check(
            "fn f<'a>(x: &'a str)",
            "fn f<'a>(x: &'a str)",
            "fn f<'a>(x: &'a str)",
        );
    }

    #[test]
    fn tests_at_the_end_can_be_left_out() {
        assert_eq!(Code::before_tests("a\n#[cfg(test)]\nmod tests {}"), "a\n");
        assert_eq!(
            Code::before_tests("a\n#[cfg(test)]\nfn b() {}"),
            "a\n#[cfg(test)]\nfn b() {}"
        );
    }
}

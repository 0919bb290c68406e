//! Patterns with `*` and `?`, matched as a whole.

/// Whether `text` matches `pattern`: `*` stands for any number of characters, `?` for one, neither
/// for `separator`.
pub(super) fn matches(pattern: &str, text: &str, separator: Option<char>) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let wild = |c: char| Some(c) != separator;
    // Where to go on when the last star takes one character more.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some('?') if wild(text[t]) => (p, t) = (p + 1, t + 1),
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((star, taken)) if wild(text[taken]) => {
                    retry = Some((star, taken + 1));
                    (p, t) = (star + 1, taken + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names() {
        let rows = [
            ("kernel", "kernel", true),
            ("kernel", "kernel_params", false),
            ("kernel", "akernel", false),
            ("default_*", "default_memory", true),
            ("default_*", "default_", true),
            ("*", "", true),
            ("*", "anything", true),
            ("", "a", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*a*b", "xaaxb", true),
            ("*a*b", "xaaxbc", false),
            (".*", "kernel", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(matches(pattern, text, None), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_stays_within_a_folder() {
        let rows = [
            ("/opt/kernels/*", "/opt/kernels/a", true),
            ("/opt/kernels/*", "/opt/kernels/a/b", false),
            ("/opt/kernels/*", "/opt/kernels", false),
            ("/opt/*/vmlinux", "/opt/a/vmlinux", true),
            ("/opt/*/vmlinux", "/opt/a/b/vmlinux", false),
            ("/opt/?", "/opt//", false),
            ("/opt/*", "/x/opt/a", false),
            ("/*/*", "/a/b", true),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(
                matches(pattern, text, Some('/')),
                expected,
                "{pattern} {text}"
            );
        }
    }
}

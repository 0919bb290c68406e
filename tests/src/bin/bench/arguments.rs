//! What to measure, how often, and how to show it.

use anyhow::{Result, bail};

/// How the figures are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A table in Markdown.
    Table,
    /// An array of objects.
    Json,
}

/// The words after `cargo xtask bench`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Fewer repetitions, and nothing that takes minutes.
    pub(crate) quick: bool,
    pub(crate) format: Format,
    filters: Vec<String>,
}

impl Arguments {
    /// Reads the words; `None` when only help was asked for, which is then shown.
    pub(crate) fn parse(
        words: impl IntoIterator<Item = String>,
        names: &[&str],
    ) -> Result<Option<Self>> {
        let mut arguments = Self {
            quick: false,
            format: Format::Table,
            filters: Vec::new(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--help" | "-h" => {
                    println!("bench [--quick] [--format table|json] [FIGURE]...");
                    println!(
                        "figures, selected by any part of the name: {}",
                        names.join(", ")
                    );
                    return Ok(None);
                }
                "--quick" => arguments.quick = true,
                "--format" => {
                    arguments.format = match words.next().as_deref() {
                        Some("table") => Format::Table,
                        Some("json") => Format::Json,
                        _ => bail!("--format takes table or json"),
                    };
                }
                option if option.starts_with('-') => bail!("{option} is not known; try --help"),
                filter if names.iter().any(|name| name.contains(filter)) => {
                    arguments.filters.push(filter.to_owned());
                }
                other => bail!(
                    "no figure is called {other}; there are {}",
                    names.join(", ")
                ),
            }
        }
        Ok(Some(arguments))
    }

    /// Whether the figure of this name is to be measured.
    pub(crate) fn selects(&self, name: &str) -> bool {
        self.filters.is_empty()
            || self
                .filters
                .iter()
                .any(|filter| name.contains(filter.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["sizes", "guest-boot", "guest-memory"];

    fn parse(line: &str) -> Result<Option<Arguments>> {
        Arguments::parse(line.split_whitespace().map(str::to_owned), NAMES)
    }

    #[test]
    fn a_filter_selects_by_a_part_of_the_name() {
        let arguments = parse("--quick guest --format json").unwrap().unwrap();
        assert!(arguments.quick);
        assert_eq!(arguments.format, Format::Json);
        let selected: Vec<_> = NAMES
            .iter()
            .filter(|name| arguments.selects(name))
            .collect();
        assert_eq!(selected, [&"guest-boot", &"guest-memory"]);
    }

    #[test]
    fn without_a_filter_all_are_selected() {
        let arguments = parse("").unwrap().unwrap();
        assert!(NAMES.iter().all(|name| arguments.selects(name)));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in ["--fast", "nothing", "--format", "--format xml"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
